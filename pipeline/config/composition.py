"""One function makes every config: conf/ as Hydra composes it, then params.yaml, then overrides."""

import difflib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from pipeline.config.schema import Config, impossible
from pipeline.project import paths
from pipeline.project.errors import ConfigError
from pipeline.project.files import write_text
from pipeline.project.secrets import redact, secret_values

HEADER = "# Written by `ratchet compose` from conf/ and params.yaml: edit those, not this.\n"


def compose(overrides: Sequence[str] = ()) -> Config:
    """The config of conf/ + params.yaml + `overrides` (Hydra's grammar), or one ConfigError with every mistake."""
    leaves = [*flatten(read_params()), *parse(overrides)]
    choices, leaves = split_choices(leaves)
    space = compose_groups(choices)
    known = OmegaConf.to_container(space)
    for key, value in leaves:
        try:
            OmegaConf.update(space, key, value, force_add=True)
        except OmegaConfBaseException:
            raise ConfigError(f"{key}={value!r}: {key.rpartition('.')[0]} is one value, it has no parts") from None
    return checked(resolve(space), known)


def load() -> Config:
    """The config that the last `ratchet compose` wrote; what the DVC stages run with."""
    settings = read_yaml(paths.LOCK, "Type: ratchet compose")
    return checked(settings, settings)


def chosen(overrides: Sequence[str], locked: bool) -> Config:
    """A verb's config: params.lock.yaml as it is (`--locked`, the DVC stages), or composed with overrides."""
    if locked and overrides:
        raise ConfigError("--locked takes no overrides: the settings are those of params.lock.yaml")
    return load() if locked else compose(overrides)


def write_lock(config: Config) -> None:
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=True, allow_unicode=True)
    write_text(paths.LOCK, f"{HEADER}# config hash {config.hash}\n{text}")


def read_params() -> dict[str, Any]:
    params = read_yaml(paths.PARAMS, "It names the scenario at least: scenario: mnist_mlp")
    if "scenario" not in params:
        raise ConfigError(f"{paths.PARAMS} names no scenario; the scenarios are {names(options('scenario'))}")
    return params


def read_yaml(path: Path, hint: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}.\n{hint}") from None
    if marker := re.search(r"^(<{7}|={7}|>{7})( |$)", text, re.MULTILINE):
        line = text.count("\n", 0, marker.start()) + 1
        raise ConfigError(
            f"{path}:{line} holds a conflict marker ({marker.group(1)}) of an unfinished git merge.\n"
            f"Keep one side, delete the markers, then type: git add {path}"
            + (" (or `ratchet compose`, which writes it anew)" if path == paths.LOCK else "")
        )
    try:
        value = OmegaConf.to_container(OmegaConf.create(text)) if text.strip() else {}
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} is no valid YAML: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a {type(value).__name__}; it must hold settings, `key: value`")
    return value


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of each leaf; keys that hold dots or slashes, such as metrics, stay in their mapping."""
    for key, value in tree.items():
        simple = isinstance(value, dict) and value and all(re.fullmatch(r"\w+", str(k)) for k in value)
        if simple:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def parse(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    try:
        parsed = [OverridesParser.create().parse_override(override) for override in overrides]
    except HydraException as error:
        raise ConfigError(f"{error}\nSettings are given as key=value, such as optimizer.lr=0.01") from None
    for override in parsed:
        if override.is_delete() or override.is_sweep_override():
            raise ConfigError(f"{override.input_line!r} is no single value; give one as key=value")
    return [(override.key_or_group, override.value()) for override in parsed]


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (paths.CONF / group).glob("*.yaml"))


def split_choices(leaves: list[tuple[str, Any]]) -> tuple[dict[str, str], list[tuple[str, Any]]]:
    """Group choices (`optimizer: sgd` or `optimizer.name: sgd`) apart from leaves; the later one wins."""
    choices, rest, problems = {}, [], []
    for key, value in leaves:
        group = key.removesuffix(".name")
        if not (paths.CONF / group).is_dir():
            rest.append((key, value))
        elif value in options(group):
            choices[group] = value
        else:
            problems.append((group, value, f"one of {names(options(group))}", options(group)))
    if problems:
        raise ConfigError(report(problems))
    return choices, rest


def compose_groups(choices: dict[str, str]) -> DictConfig:
    try:
        with initialize_config_dir(str(paths.CONF.resolve()), version_base="1.3"):
            space = hydra_compose("config", [f"{group}={name}" for group, name in choices.items()])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"conf/ can't be composed with {choices}: {error}") from None
    OmegaConf.set_struct(space, False)
    return space


def resolve(space: DictConfig) -> dict[str, Any]:
    """Plain values; `${oc.env:NAME}` stays as written, so that no secret reaches a file."""
    try:
        return OmegaConf.to_container(OmegaConf.create(keep_environment(OmegaConf.to_container(space))), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"a reference in conf/ or params.yaml can't be resolved: {error}") from None


def keep_environment(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: keep_environment(value) for key, value in node.items()}
    if isinstance(node, list):
        return [keep_environment(value) for value in node]
    return node.replace("${oc.env:", "\\${oc.env:") if isinstance(node, str) else node


def checked(settings: dict[str, Any], known: Any) -> Config:
    """The typed config, or a ConfigError that lists every mistake with what was given and what is allowed."""
    problems = [(key, given, allowed, []) for key, given, allowed in impossible(settings)]
    problems += [
        (key, "a secret", f"${{oc.env:{name}}}: the value is that of the environment variable {name}", [])
        for key, value in flatten(settings)
        for name, secret in secret_values(os.environ).items()
        if secret in json.dumps(value, default=str, ensure_ascii=False)
    ]
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        problems += [explain(mistake, settings, known) for mistake in error.errors()]
    if problems:
        raise ConfigError(report(problems))
    return config


def explain(mistake: dict[str, Any], settings: Any, known: Any) -> tuple[str, Any, str, list[str]]:
    """(key, given, allowed, the names that stand beside it in conf/) of one of pydantic's errors."""
    keys, node, near = [], settings, known
    last = len(mistake["loc"]) - 1
    for position, part in enumerate(mistake["loc"]):
        inside = (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int))
        if not inside and position < last:
            continue  # pydantic names the member of a union, which is no key
        keys.append(str(part))
        node = node[part] if inside else None
        if position < last:
            near = near[part] if isinstance(near, dict) and part in near else {}
    key = ".".join(keys)
    if mistake["type"] == "extra_forbidden":
        siblings = sorted(near) if isinstance(near, dict) else []
        return key, node, f"no such setting; the settings here are {names(siblings)}", siblings
    if mistake["type"] == "missing":
        return key, None, "a value is required", []
    message = mistake["msg"].removeprefix("Value error, ")
    return key, node, message[0].lower() + message[1:], []


def names(known: list[str]) -> str:
    return ", ".join(known) or "(none)"


def report(problems: list[tuple[str, Any, str, list[str]]]) -> str:
    lines = [f"{len(problems)} setting{'s' if len(problems) > 1 else ''} can't be used; nothing was run:"]
    for key, given, allowed, known in problems:
        name = str(given) if f"one of {names(known)}" == allowed else key.rpartition(".")[2]
        near = difflib.get_close_matches(name, known, n=1)
        lines.append(f"  {key}: given {given!r}; {allowed}" + (f". Did you mean {near[0]}?" if near else ""))
    return redact("\n".join([*lines, "Correct them in params.yaml, conf/ or on the command line."]))
