"""Settings put into the text of a YAML file, or taken out of it; all else stays as it was typed, byte for byte.

Not a round trip through ruamel.yaml, which gives the comment above a section to the key before it, so that a new key
parts the two and a deleted one takes the comment along; and which lays out the rest of the file anew.
"""

import math
import re
from typing import Any, cast

import yaml

from pipeline.config.writing import dump_yaml

Pair = tuple[yaml.Node, yaml.Node]  # key and value; the whole file, which has no key, stands for its own


def put(text: str, key: str, value: Any) -> str:
    """`text` with this value at a dotted key: in its place if the key is there, else at the end of its section."""
    pairs, rest = found(text, key)
    node = pairs[-1][1]
    if not rest:
        return spliced(text, node.start_mark.index, end(text, node), rendered(value, node))
    if not isinstance(node, yaml.MappingNode):  # `optimizer: sgd`
        whole = value if rest == "name" else {"name": node.value} | nested(rest, value)
        return spliced(text, node.start_mark.index, end(text, node), flow(whole))
    ((name, inner),) = nested(rest, value).items()
    return inserted(text, node, f"{flow(name)}: {flow(inner)}")


def drop(text: str, key: str) -> str:
    """`text` without a dotted key that it has, and without the sections that are empty then."""
    pairs, _ = found(text, key)
    while len(pairs[-2][1].value) == 1:
        pairs.pop()
    section, pair = cast("yaml.MappingNode", pairs[-2][1]), pairs[-1]  # what has entries is a mapping
    start, stop = pair[0].start_mark.index, end(text, pair[1])
    if not section.flow_style:
        return spliced(text, text.rfind("\n", 0, start) + 1, line_end(text, stop, behind=True), "")
    position = section.value.index(pair)
    if position > 0:
        start = end(text, section.value[position - 1][1])  # with the comma before it
    else:
        stop = section.value[1][0].start_mark.index
    return spliced(text, start, stop, "")


def found(text: str, key: str) -> tuple[list[Pair], str]:
    """The entries on the way to a dotted key, from the whole file on, and what of the key none of them is."""
    whole = cast("yaml.Node", yaml.compose(text, yaml.SafeLoader))  # params.yaml names the scenario at least
    pairs: list[Pair] = [(whole, whole)]
    while key and isinstance(pairs[-1][1], yaml.MappingNode):
        fitting = (pair for pair in pairs[-1][1].value if f"{key}.".startswith(f"{pair[0].value}."))
        if (pair := next(fitting, None)) is None:
            break
        pairs.append(pair)
        key = key[len(pair[0].value) + 1 :]
    return pairs, key


def inserted(text: str, section: yaml.MappingNode, entry: str) -> str:
    if section.flow_style and not section.value:
        at = section.start_mark.index + 1
        return spliced(text, at, at, entry)
    at = end(text, section.value[-1][1])
    if section.flow_style:
        return spliced(text, at, at, f", {entry}")
    at, newline = line_end(text, at), "\r\n" if "\r\n" in text else "\n"
    return spliced(text, at, at, f"{newline}{' ' * section.value[0][0].start_mark.column}{entry}")


def spliced(text: str, start: int, stop: int, new: str) -> str:
    space = " " if new and text[start - 1 : start] == ":" else ""  # after a key without a value
    return f"{text[:start]}{space}{new}{text[stop:]}"


def end(text: str, node: yaml.Node) -> int:
    """Where a value ends: for a block that is its last entry's end, since its own mark stands after later comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return end(text, last[1] if isinstance(last, tuple) else last)
    return max(node.start_mark.index, len(text[: node.end_mark.index].rstrip()))


def line_end(text: str, index: int, behind: bool = False) -> int:
    """The end of the line of `index`, before its newline or `behind` it."""
    newline = next(re.compile(r"\r?\n|$").finditer(text, index))
    return newline.end() if behind else newline.start()


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def rendered(value: Any, old: yaml.Node) -> str:
    """In the lines of the block list that it replaces, or in one."""
    if isinstance(value, list) and value and isinstance(old, yaml.SequenceNode) and not old.flow_style:
        return ("\n" + " " * old.start_mark.column).join(f"- {flow(item)}" for item in value)
    return flow(value)


def flow(value: Any) -> str:
    """In one line."""
    return dump_yaml(value, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()
