"""One function makes every config: conf/ as Hydra composes it, then params.yaml, then overrides."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.checking import checked, flatten, names, report
from pipeline.config.lock import read_yaml
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import ConfigError

REFERENCE = re.compile(r"(?<!\\)\$\{oc\.env:|(\\*)\$\{")  # to the environment | to a setting


def compose(overrides: Sequence[str] = ()) -> Config:
    """The config of conf/ + params.yaml + `overrides` (Hydra's grammar), or one ConfigError with every mistake."""
    return composed([*flatten(read_params()), *parse(overrides)])


def composed(leaves: list[tuple[str, Any]]) -> Config:
    return checked(*settled(leaves))


def settled(leaves: list[tuple[str, Any]]) -> tuple[dict[str, Any], Any]:
    """(the settings that these leaves make of conf/, resolved and not yet checked; what conf/ alone says)."""
    choices, leaves = split_choices(leaves)
    space = compose_groups(choices)
    known = OmegaConf.to_container(space)
    for key, value in leaves:
        try:
            OmegaConf.update(space, key, value, merge=False, force_add=True)
        except OmegaConfBaseException:
            raise ConfigError(f"{key}={value!r}: {key.rpartition('.')[0]} is one value, it has no parts") from None
    return resolve(space), known


def read_params() -> dict[str, Any]:
    params = read_yaml(paths.PARAMS, "It names the scenario at least: scenario: mnist_mlp", parse_yaml)
    if "scenario" not in params:
        raise ConfigError(f"{paths.PARAMS} names no scenario; the scenarios are {names(options('scenario'))}")
    return params


def parse_yaml(text: str) -> Any:
    """As Hydra reads conf/: 1e-3 is a number."""
    try:
        return OmegaConf.to_container(OmegaConf.create(text))
    except OmegaConfBaseException as error:
        raise ValueError(str(error)) from None


class Dumper(yaml.SafeDumper):
    """Quotes what `parse_yaml` would take for numbers, such as the text 1e-3."""


Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[\d._]+[eE][-+]?\d+$"), list("-+.0123456789"))


def dump_yaml(value: Any, **layout: Any) -> str:
    """The text that composes to this value."""
    return yaml.dump(literal(value), Dumper=Dumper, allow_unicode=True, sort_keys=False, **layout)


def literal(value: Any) -> Any:
    """With no reference in it: a column may be called ${x}. Those to the environment are never resolved here."""
    if isinstance(value, dict):
        return {key: literal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [literal(one) for one in value]
    return REFERENCE.sub(escape, value) if isinstance(value, str) else value


def escape(reference: re.Match[str]) -> str:
    return reference[0] if reference[1] is None else f"{2 * reference[1]}\\${{"


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
    own = dict(leaves).get("data.kind")  # a person's own data: its kind names the file, and its name is its own
    for key, value in leaves:
        group = "data" if key == "data.kind" else key.removesuffix(".name")
        if not (paths.CONF / group).is_dir() or (key == "data.name" and own is not None):
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
        with set_aside(), initialize_config_dir(str(paths.CONF.resolve()), version_base="1.3"):
            space = hydra_compose("config", [f"{group}={name}" for group, name in choices.items()])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"conf/ can't be composed with {choices}: {error}") from None
    OmegaConf.set_struct(space, False)
    return space


@contextmanager
def set_aside() -> Iterator[None]:
    """Hydra composes one thing at a time, and an application that calls this one may be in the middle of its own."""
    hydra = GlobalHydra.instance()
    outer, hydra.hydra = hydra.hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = outer


def resolve(space: DictConfig) -> dict[str, Any]:
    """Plain values; `${oc.env:NAME}` stays as written, so that no secret reaches a file."""
    try:
        return OmegaConf.to_container(OmegaConf.create(keep_environment(OmegaConf.to_container(space))), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"a reference in conf/ or params.yaml can't be resolved: {error}\nA text that holds ${{ is written \\${{"
        ) from None


def keep_environment(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: keep_environment(value) for key, value in node.items()}
    if isinstance(node, list):
        return [keep_environment(value) for value in node]
    return re.sub(r"(?<!\\)((?:\\\\)*)(?=\$\{oc\.env:)", r"\1\\", node) if isinstance(node, str) else node
