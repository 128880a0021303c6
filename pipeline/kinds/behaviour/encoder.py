"""Histories of items, the latest last: lists of item ids as a user gives them, numbers from 1 for the net."""

import json
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.project.errors import DataError

COLUMN = "items"
SHOWN = 5  # items of a history in a line of text
ALLOWED = 'a list of item ids, the oldest first, as ["50", "181"], or {"items": ["50", "181"]} or {"items": "50 181"}'


def encode(encoder: dict[str, Any], records: Any) -> np.ndarray:
    """int32 (N, L), right-aligned, 0 = no item; DataError names the record and the item that can't be used.

    Records: a list of histories, or a table with a column `items`. L grows with the longest history, since what was
    seen is not recommended again. An empty history gets what suits somebody unknown.
    """
    index = {label: position for position, label in enumerate(encoder["labels"], start=1)}
    rows = [indices(index, row, items) for row, items in enumerate(given(records))]
    width = max([encoder["shape"][0], *map(len, rows)])
    inputs = np.zeros((len(rows), width), np.int32)  # (N, L)
    for row, items in enumerate(rows):
        inputs[row, width - len(items) :] = items
    return inputs


def faults(encoder: dict[str, Any], records: Any) -> dict[int, str]:
    """Row → why it is no history that can be used."""
    index = {label: position for position, label in enumerate(encoder["labels"], start=1)}
    found = {}
    for row, items in enumerate(given(records)):
        try:
            indices(index, row, items)
        except DataError as error:
            found[row] = str(error)
    return found


def decode(encoder: dict[str, Any], inputs: np.ndarray) -> list[str]:
    """The titles of each history's last items, the latest last."""
    lines = []
    for row in inputs.tolist():
        items = [item for item in row if item]
        titles = [encoder["titles"][item - 1] for item in items[-SHOWN:]]
        lines.append(" → ".join(["…", *titles] if len(items) > SHOWN else titles))
    return lines


def given(records: Any) -> Iterable[Any]:
    """The history of each record; DataError where `records` are no list and no table of them."""
    columns = getattr(records, "columns", None)
    if columns is not None:
        if COLUMN not in columns:
            raise DataError(f"the table has the columns {list(columns)}; allowed is {COLUMN}: each cell {ALLOWED}")
        return [{COLUMN: cell} for cell in records[COLUMN]]
    if not isinstance(records, list | tuple | np.ndarray):
        raise DataError(f"the records are {reprlib.repr(records)}; allowed is a list, each record {ALLOWED}")
    return records


def indices(index: dict[str, int], row: int, record: Any) -> list[int]:
    items = record
    if isinstance(record, dict):
        if set(record) != {COLUMN}:
            raise DataError(f"record {row} has the keys {list(record)}; allowed is {ALLOWED}")
        items = record[COLUMN]
        if isinstance(items, str):  # a cell of a CSV file, or a list of a JSON-lines file as it is written there
            items = listed(items)
    if isinstance(items, str | bytes | dict) or not isinstance(items, Iterable):
        raise DataError(f"record {row} is {reprlib.repr(record)}; allowed is {ALLOWED}")
    return [position(index, row, item) for item in items]


def listed(cell: str) -> Any:
    try:
        items = json.loads(cell)
    except ValueError:
        return cell.split()
    return items if isinstance(items, list) else cell.split()


def position(index: dict[str, int], row: int, item: Any) -> int:
    name = str(int(item)) if isinstance(item, float | np.floating) and float(item).is_integer() else str(item)
    if isinstance(item, bool | np.bool_) or name not in index:
        few = ", ".join(list(index)[:3])
        raise DataError(
            f"record {row}: the item {item!r} is not one of the {len(index):,} that this model knows ({few}, …); "
            "they are the encoder's labels.\nLeave it out to rank by the other items of the history"
        )
    return index[name]
