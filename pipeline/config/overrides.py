"""Settings on the command line, in Hydra's grammar."""

import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from pipeline.config.writing import literal
from pipeline.project.errors import ConfigError


def parse(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    """(dotted key, value) of each; the + of Hydra's users, which adds, is taken and not needed."""
    return [(override.key_or_group, override.value()) for override in map(single, overrides)]


def single(text: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(f"{text!r} can't be read: {str(error).splitlines()[0]}.\n{advice(text)}") from None
    if override.is_delete() or override.is_sweep_override():
        raise ConfigError(f"{text!r} is no single value; give one as key=value.\n{advice(text)}")
    return override


def advice(text: str) -> str:
    key, _, value = text.partition("=")
    if value[:1] in ("[", "{"):
        return "What Hydra's grammar does not take can stand in params.yaml, where any text may be quoted"
    quoted = f"{key}={QuotedString(literal(value), Quote.double).with_quotes()}"
    try:
        override = OverridesParser.create().parse_override(quoted)
    except HydraException:
        override = None
    if override is None or not value or override.is_delete():
        return "Settings are given as key=value, such as optimizer.lr=0.01"
    return f"If it is one text, put it in quotes of its own. Type: {shlex.quote(quoted)}"
