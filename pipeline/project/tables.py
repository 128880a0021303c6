"""Tables, numbers and times as people read them."""

from collections.abc import Sequence
from typing import Any

LONGEST = 40  # characters of a cell


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their longest cell, two spaces apart."""
    shown = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown)


def cell(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def number(value: float | None) -> str:
    """Four places, as everywhere; more where only they are not zero, and none of a count."""
    if value is None:
        return "-"
    if value == round(value, 0) and abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """For people: 4.2 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
