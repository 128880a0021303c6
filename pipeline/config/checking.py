"""Every mistake in the settings, found together and explained: what was given, what is allowed, the nearest name."""

import copy
import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.combinations import impossible
from pipeline.config.schema import Config
from pipeline.project.errors import ConfigError
from pipeline.project.secrets import redact, secret_values

Problem = tuple[str, Any, str, list[str]]  # key, given, allowed, the names that stand beside it in conf/
SECTIONS = ("model_type", "model_attributes_type", "dict_type")  # pydantic's word for what is no mapping


def checked(settings: dict[str, Any], known: Any) -> Config:
    """The typed config, or a ConfigError that lists every mistake with what was given and what is allowed."""
    problems: list[Problem] = [(key, given, allowed, []) for key, given, allowed in impossible(settings)]
    problems += [
        (key, "a secret", f"${{oc.env:{name}}}: the value is that of the environment variable {name}", [])
        for key, value in flatten(settings)
        for name, secret in secret_values(os.environ).items()
        if secret in json.dumps(value, default=str, ensure_ascii=False)
    ]
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        problems += explained(error.errors(), settings, known, Config)
    if problems:
        raise ConfigError(report(problems))
    return config


def explained(mistakes: list[ErrorDetails], settings: Any, known: Any, model: type[BaseModel]) -> Iterator[Problem]:
    """A problem for each key, though each member of a union says by itself what it needs."""
    by_key: dict[tuple[Any, ...], list[ErrorDetails]] = {}
    for mistake in mistakes:
        by_key.setdefault(keys_of(mistake, settings), []).append(mistake)
    strangers = {keys for keys, (first, *_) in by_key.items() if first["type"] == "extra_forbidden"}
    for keys, (first, *others) in by_key.items():
        key, given = ".".join(map(str, keys)), follow(settings, keys)
        if keys in strangers:
            beside = settings_at(known, keys[:-1])
            near = [name for name in beside if (*keys[:-1], name) not in strangers]
            yield key, given, stranger(keys, settings, beside, near), near
        elif first["type"] in ("union_tag_invalid", "union_tag_not_found"):
            part = first["ctx"]["discriminator"].strip("'")
            tags = re.findall("'([^']+)'", first["ctx"].get("expected_tags", ""))
            allowed = f"one of {names(tags)}" if tags else "a value is required"
            yield f"{key}.{part}", follow(given, (part,)), allowed, tags
        elif first["type"] == "missing":
            yield key, None, "a value is required", []
        elif given == "???":
            yield key, given, "a value is required; for data of your own, `ratchet init --data PATH` writes it", []
        elif first["type"] in SECTIONS:
            yield key, given, f"it holds settings by name: {names(settings_at(known, keys) or ['{NAME: VALUE}'])}", []
        else:
            yield (
                key,
                given,
                allowed_of([first, *others]) + (" or null" if takes_null(keys, settings, model) else ""),
                [],
            )


def keys_of(mistake: ErrorDetails, settings: Any) -> tuple[Any, ...]:
    """The place of one of pydantic's errors, without the names that it gives to the members of unions."""
    keys, node, last = [], settings, len(mistake["loc"]) - 1
    for position, part in enumerate(mistake["loc"]):
        inside = (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int))
        if inside or (position == last and mistake["type"] in ("missing", "extra_forbidden")):
            keys.append(part)
            node = follow(node, (part,))
    return tuple(keys)


def follow(tree: Any, keys: Iterable[Any]) -> Any:
    for key in keys:
        if isinstance(tree, list):
            tree = tree[key] if key in range(len(tree)) else None
        else:
            tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def settings_at(known: Any, keys: tuple[Any, ...]) -> list[str]:
    found = follow(known, keys)
    return sorted(found) if isinstance(found, dict) else []


def stranger(keys: tuple[Any, ...], settings: Any, beside: list[str], near: list[str]) -> str:
    """Why there is no such setting; one that stands in conf/ all the same is of another choice of its group."""
    group, name = keys[0], follow(settings, (keys[0], "name"))
    if keys[-1] in beside and name is not None:
        scenario = f"scenario {settings.get('scenario')} is made for another {group}"
        return f"{group} {name} has no such setting, and {scenario}; those of {name} are {names(near)}"
    return f"no such setting; the settings here are {names(near)}"


def allowed_of(mistakes: list[ErrorDetails]) -> str:
    """Of a union, what each member needs: input should be a valid integer or 'auto'."""
    first, *others = dict.fromkeys(mistake["msg"].removeprefix("Value error, ") for mistake in mistakes)
    return " or ".join([first[0].lower() + first[1:], *(each.removeprefix("Input should be ") for each in others)])


def takes_null(keys: tuple[Any, ...], settings: Any, model: type[BaseModel]) -> bool:
    """Asked of the schema itself."""
    changed = copy.deepcopy(settings)
    holder = follow(changed, keys[:-1])
    holder[keys[-1]] = None
    try:
        model.model_validate(changed)
    except ValidationError as error:
        return all(keys_of(mistake, changed) != keys for mistake in error.errors())
    return True


def names(known: list[str]) -> str:
    return ", ".join(known) or "(none)"


def report(problems: list[Problem]) -> str:
    lines = [f"{len(problems)} setting{'s' if len(problems) > 1 else ''} can't be used; nothing was run:"]
    for key, given, allowed, known in problems:
        name = given if f"one of {names(known)}" == allowed else key.rpartition(".")[2]
        near = difflib.get_close_matches(name, known, n=1) if isinstance(name, str) else []
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
