"""From rows of a table to the network's inputs: float32 (N, numbers + categories), numbers scaled.

A record is {column: value}, in which a number is a number, a date is written as in the training data, and null is
missing.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np

MISSING = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-")

Encoder = dict[str, Any]  # encoder.json
Column = dict[str, Any]  # of encoder["columns"]


def encode(encoder: Encoder, records: list[Any]) -> np.ndarray:
    """Numbers and dates in the order of encoder["columns"], then categories."""
    rows: tuple[list[list[float]], list[list[float]]] = ([], [])
    marks = {"", *(mark.lower() for mark in encoder.get("missing_marks", MISSING))}
    for record in records:
        numbers: list[float] = []
        categories: list[float] = []
        for column in encoder["columns"]:
            value = cell(record[column["name"]], marks)
            if value is None and encoder["missing"] == "drop":
                raise ValueError(f"{column['name']} is missing; the model was made without such rows")
            if column["type"] == "category":
                categories.append(column["values"].index(value) + 1 if value in column["values"] else 0)
            else:
                numbers += measured(column, value)
        rows[0].append(numbers)
        rows[1].append(categories)
    return np.concatenate([np.array(part, np.float32).reshape(len(records), -1) for part in rows], axis=1)


def cell(value: Any, marks: set[str]) -> str | None:
    """A category's text as the encoder knows it; None where it is missing."""
    if isinstance(value, bool):
        return str(value).lower()
    value = "" if value is None else str(value).strip()
    whole = value.removesuffix(".0")
    return None if {value.lower(), whole} & marks else whole if whole.lstrip("+-").isdigit() else value


def measured(column: Column, value: str | None) -> list[float]:
    given = None if value is None else float(value) if column["type"] == "number" else seconds(value, column)
    number = column["fill"] if given is None else given
    number = max(number, column["low"]) if column["low"] is not None else number
    number = min(number, column["high"]) if column["high"] is not None else number
    scaled = [(part_of(number, part["part"], column) - part["subtract"]) * part["multiply"] for part in column["parts"]]
    return [*scaled, *[given is None] * column["flag"]]


def seconds(value: str, column: Column) -> float:
    """Since 1970, UTC; by the first of the column's forms that fits, otherwise as ISO writes it."""
    forms = [column["format"]] if isinstance(column["format"], str) else column["format"] or []
    for form in forms:
        try:
            moment = datetime.strptime(value, form.replace("%S%.f", "%S.%f").replace("%#z", "%z"))
            break
        except ValueError:
            continue
    else:
        moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def part_of(number: float, part: str, column: Column) -> float:
    if part in ("value", "seconds"):
        return number if part == "value" else number - column["start"]
    moment = datetime.fromtimestamp(number, UTC)
    return moment.isoweekday() if part == "weekday" else getattr(moment, part)
