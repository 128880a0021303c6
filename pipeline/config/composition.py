"""One function makes every config: conf/ as Hydra composes it, then params.yaml, then overrides."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.checking import checked, flatten, names, report
from pipeline.config.lock import read_yaml
from pipeline.config.overrides import parse
from pipeline.config.schema import Config
from pipeline.config.writing import keep_environment, parse_yaml
from pipeline.project import paths
from pipeline.project.errors import ConfigError

LONG = 100  # entries of a list


def compose(overrides: Sequence[str] = ()) -> Config:
    """The config of conf/ + params.yaml + `overrides` (Hydra's grammar), or one ConfigError with every mistake."""
    given = parse(overrides)
    return composed([*flatten(read_params()), *set_by_own_groups(given), *given])


def composed(leaves: list[tuple[str, Any]]) -> Config:
    return checked(*settled(leaves))


def settled(leaves: list[tuple[str, Any]]) -> tuple[dict[str, Any], Any]:
    """(the settings that these leaves make of conf/, resolved and not yet checked; what conf/ alone says)."""
    choices, leaves = split_choices(leaves)
    space = compose_groups(choices)
    known = OmegaConf.to_container(space)
    leaves, long = stood_in(leaves)
    for key, value in leaves:
        try:
            OmegaConf.update(space, key, value, merge=False, force_add=True)
        except OmegaConfBaseException:
            raise ConfigError(f"{key}={value!r}: {key.rpartition('.')[0]} is one value, it has no parts") from None
    return replaced(resolve(space), long), known


def stood_in(leaves: list[tuple[str, Any]]) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """The leaves, with a word for each long list that refers to nothing; and those, by their words.

    OmegaConf takes seconds for the columns of a wide table.
    """
    long: dict[str, Any] = {}
    keys, found = [key for key, _ in leaves], []
    for key, value in leaves:
        plain = isinstance(value, list) and len(value) > LONG and "${" not in json.dumps(value, default=str)
        if plain and not any(other.startswith((f"{key}.", f"{key}[")) for other in keys):
            word = f"the list {key} ({len(long)})"
            long[word], value = value, word
        found.append((key, value))
    return found, long


def replaced(tree: Any, long: dict[str, Any]) -> Any:
    if isinstance(tree, dict):
        return {key: replaced(value, long) for key, value in tree.items()}
    if isinstance(tree, list):
        return [replaced(value, long) for value in tree]
    return long.get(tree, tree) if isinstance(tree, str) else tree


def read_params() -> dict[str, Any]:
    params = read_yaml(paths.PARAMS, "It names the scenario at least: scenario: mnist_mlp", parse_yaml)
    if "scenario" not in params:
        raise ConfigError(f"{paths.PARAMS} names no scenario; the scenarios are {names(options('scenario'))}")
    return params


def options(group: str) -> list[str]:
    folder = paths.CONF / group
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))


def is_group(key: str) -> bool:
    return (paths.CONF / key).is_dir() and key != "sweep"  # which is how to search, not what to train


def split_choices(leaves: list[tuple[str, Any]]) -> tuple[dict[str, str], list[tuple[str, Any]]]:
    """Group choices (`optimizer: sgd` or `optimizer.name: sgd`) apart from leaves; the later one wins."""
    leaves = [leaf for one in leaves for leaf in (flatten(dict([one])) if is_group(one[0]) else [one])]
    choices, rest, problems = {}, [], []
    own = dict(leaves).get("data.kind")  # a person's own data: its kind names the file, and its name is its own
    for key, value in leaves:
        group = "data" if key == "data.kind" else key.removesuffix(".name")
        if not is_group(group) or (key == "data.name" and own is not None):
            rest.append((key, value))
        elif value in options(group):
            choices[group] = value
        else:
            problems.append((group, value, f"one of {names(options(group))}", options(group)))
    if problems:
        raise ConfigError(report(problems))
    return choices, rest


def compose_groups(choices: dict[str, str]) -> DictConfig:
    """A group that conf/config.yaml does not list, such as a person's own experiment/, comes after all that it does."""
    listed = groups_listed()
    chosen = [f"{'' if group in listed else '+'}{group}={name}" for group, name in choices.items()]
    try:
        with set_aside(), initialize_config_dir(str(paths.CONF.resolve()), version_base="1.3"):
            space = hydra_compose("config", chosen)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"conf/ can't be composed with {' '.join(chosen)}: {error}") from None
    for group in choices.keys() - listed - Config.model_fields.keys():
        if group.partition("/")[0] in space:
            raise ConfigError(
                f"conf/{group}/{choices[group]}.yaml sets {group}.…, and there is no such setting.\n"
                "So that it sets what stands in it, begin it with the line: # @package _global_"
            )
    OmegaConf.set_struct(space, False)
    return space


def set_by_own_groups(given: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """What the files of such groups set, for on the command line +experiment=quick stands above params.yaml."""
    for group, name in given:
        if is_group(group) and name in options(group) and group not in groups_listed():
            file = read_yaml(paths.CONF / group / f"{name}.yaml", "", parse_yaml)
            yield from flatten({key: value for key, value in file.items() if key != "defaults"})


def groups_listed() -> set[str]:
    """Those of the defaults list in conf/config.yaml."""
    defaults = read_yaml(paths.CONF / "config.yaml", "Bring it back: git checkout conf", parse_yaml).get("defaults", [])
    keys = [key for one in defaults if isinstance(one, dict) for key in one]
    return {key.split()[-1].partition("@")[0] for key in keys}


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
        kept = OmegaConf.create(keep_environment(OmegaConf.to_container(space)))
        return cast("dict[str, Any]", OmegaConf.to_container(kept, resolve=True))  # as it was made of a DictConfig
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"a reference in conf/ or params.yaml can't be resolved: {error}\nA text that holds ${{ is written \\${{"
        ) from None
