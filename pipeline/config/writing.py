"""YAML as Hydra reads it and as it is written for Hydra: numbers, and references such as ${data.name}."""

import re
from typing import Any

import yaml

REFERENCE = re.compile(r"(?<!\\)\$\{oc\.env:|(\\*)\$\{")  # to the environment | to a setting


FLOAT = re.compile(
    r"""^(?:[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*[eE][-+]?[0-9]+
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # not every PyYAML has its C part
    """What OmegaConf's loader gives, which takes seconds for the columns of a wide table: 1e-3 is a number, 2024-01-31
    a text, and a key that stands twice a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if key.tag == yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"found duplicate key {key}", node.start_mark)
        return super().construct_mapping(node, deep=deep)


Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> Any:
    """As Hydra reads conf/."""
    return yaml.load(text, Loader)


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
