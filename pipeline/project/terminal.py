"""Words that must not be overlooked."""

import os
import sys
from typing import TextIO


def loud(text: str, stream: TextIO | None = None) -> str:
    """Red on a terminal that has colours, unless NO_COLOR is set (no-color.org)."""
    stream = stream or sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\033[1;31m{text}\033[0m"
