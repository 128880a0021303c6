"""YAML as Hydra reads it and as it is written for Hydra: numbers, and references such as ${data.name}."""

import re
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

REFERENCE = re.compile(r"(?<!\\)\$\{oc\.env:|(\\*)\$\{")  # to the environment | to a setting


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


def keep_environment(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: keep_environment(value) for key, value in node.items()}
    if isinstance(node, list):
        return [keep_environment(value) for value in node]
    return re.sub(r"(?<!\\)((?:\\\\)*)(?=\$\{oc\.env:)", r"\1\\", node) if isinstance(node, str) else node
