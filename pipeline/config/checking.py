"""Every mistake in the settings, found together and explained: what was given, what is allowed, the nearest name."""

import difflib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from pipeline.config.combinations import impossible
from pipeline.config.schema import Config
from pipeline.project.errors import ConfigError
from pipeline.project.secrets import redact, secret_values


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
    if node == "???":
        return key, node, "a value is required; for data of your own, `ratchet init --data PATH` writes it", []
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


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of each leaf; keys that hold dots or slashes, such as metrics, stay in their mapping."""
    for key, value in tree.items():
        simple = isinstance(value, dict) and value and all(re.fullmatch(r"\w+", str(k)) for k in value)
        if simple:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
