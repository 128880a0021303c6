"""Tables: numbers and parts of dates, scaled as train was, then codes of categories.

The encoder's columns, in their order: name and type; of numbers and dates `parts`, each with what is subtracted and
multiplied, `fill` for missing cells, `flag` (whether a further input says that it was missing), `low` and `high`
(bounds or null), and `format`, how they are written; of dates `start`; of categories `values`, whose codes are 1, 2, …
(null: missing).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.kinds.table import cells, frames
from pipeline.project.errors import DataError

DATE_PARTS = ("year", "month", "weekday", "hour", "seconds")  # seconds since the first of train
LARGEST = float(np.finfo(np.float32).max)
NEEDED = {"number": "a finite number, such as 1234.5", "date": "a date, such as 2024-01-31"}


def encode(encoder: dict[str, Any], records: Any) -> np.ndarray:
    """float32 (N, numbers + categories); records by the original columns, in any order and form of frames.frame.

    DataError names the column that is missing, or the record and column of a cell that can't be read.
    """
    if isinstance(records, list | tuple) and not records:
        return np.empty((0, *encoder["shape"]), np.float32)
    frame, parsed = read(encoder, records)
    for row, reason in unusable(encoder, frame, parsed):
        raise DataError(f"record {row}: {reason}")
    return inputs(encoder, parsed)


def faults(encoder: dict[str, Any], records: Any) -> dict[int, str]:
    """Row → the first reason for which it can't be used."""
    found: dict[int, str] = {}
    for row, reason in unusable(encoder, *read(encoder, records)):
        found.setdefault(row, reason)
    return found


def marks_of(encoder: dict[str, Any]) -> Sequence[str]:
    return encoder.get("missing_marks", cells.MISSING)


def read(encoder: dict[str, Any], records: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The encoder's columns as given, and as cells.read gives them."""
    ways = {column["name"]: (column["type"], column.get("format")) for column in encoder["columns"]}
    frame = frames.frame(records, list(ways))
    return frame, cells.read_frame(frame, ways, marks_of(encoder))


def unusable(encoder: dict[str, Any], frame: pl.DataFrame, parsed: pl.DataFrame) -> Iterator[tuple[int, str]]:
    """(row, reason) of each cell that can't be used, column by column."""
    for column in encoder["columns"]:
        name, kind = column["name"], column["type"]
        if kind in NEEDED and (wrong := parsed[name].is_nan()).any():
            for row in wrong.fill_null(False).arg_true():
                yield row, f"column {name!r} holds {frame[name][row]!r}; it needs {NEEDED[kind]}"
        if encoder["missing"] == "drop" and parsed[name].null_count():
            for row in parsed[name].is_null().arg_true():
                yield (
                    row,
                    f"column {name!r} is empty, and the model was made without such rows "
                    "(data.prepare.missing is drop). Give a value, or train with data.prepare.missing=fill",
                )


def inputs(encoder: dict[str, Any], parsed: pl.DataFrame) -> np.ndarray:
    """Columns as cells.read gives them → float32 (N, numbers + categories)."""
    encoded = np.empty((len(parsed), *encoder["shape"]), np.float32)
    place = 0
    for column in encoder["columns"]:
        if column["type"] == "category":
            continue
        values = parsed[column["name"]].to_numpy()  # float64, NaN where missing
        missing = np.isnan(values)
        values = np.clip(np.where(missing, column["fill"], values), column["low"], column["high"])
        for part in column["parts"]:
            encoded[:, place] = scaled(part_of(values, part["part"], column), part)
            place += 1
        if column["flag"]:
            encoded[:, place] = missing
            place += 1
    for column in encoder["columns"]:
        if column["type"] == "category":
            encoded[:, place] = codes(parsed[column["name"]], column["values"])
            place += 1
    return encoded


def scaled(values: np.ndarray, part: dict[str, Any]) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.clip((values - part["subtract"]) * part["multiply"], -LARGEST, LARGEST)


def part_of(values: np.ndarray, part: str, column: dict[str, Any]) -> np.ndarray:
    """(N,) float64 of seconds since 1970 → year, month 1 to 12, weekday 1 (Monday) to 7, hour, or seconds."""
    if part == "value":
        return values
    if part == "seconds":
        return values - column["start"]
    moments = pl.Series(np.rint(values * 1e6).astype(np.int64)).cast(pl.Datetime("us"))
    return getattr(moments.dt, part)().cast(pl.Float64).to_numpy()


def codes(values: pl.Series, known: list[str | None]) -> np.ndarray:
    """(N,) uint32: 1 and up for the known values, 0 for any other."""
    if not known:
        return np.zeros(len(values), np.uint32)
    numbers = pl.Series(range(1, len(known) + 1), dtype=pl.UInt32)
    old = pl.Series(known, dtype=pl.String)
    return values.replace_strict(old, numbers, default=0, return_dtype=pl.UInt32).to_numpy()


def decode(encoder: dict[str, Any], inputs: np.ndarray) -> list[str]:
    """ "age=35, since=2024-01-31, city=Oslo" for each row; ? where a value was missing, … for a rare one."""
    columns, place = [], 0
    for column in encoder["columns"]:
        if column["type"] != "category":
            width = len(column["parts"]) + column["flag"]
            columns.append(readable(column, np.asarray(inputs[:, place : place + width], np.float64)))
            place += width
    for column in encoder["columns"]:
        if column["type"] == "category":
            names = ["…", *("?" if value is None else value for value in column["values"])]
            columns.append([f"{column['name']}={names[int(code)]}" for code in inputs[:, place]])
            place += 1
    return [", ".join(row) for row in zip(*columns, strict=True)]


def readable(column: dict[str, Any], encoded: np.ndarray) -> list[str]:
    part = column["parts"][-1]  # the value, or the seconds
    values = encoded[:, len(column["parts"]) - 1] / (part["multiply"] or np.inf) + part["subtract"]
    if column["type"] == "date":
        seconds = pl.Series(((values + column["start"]) * 1e6).round().astype(np.int64)).cast(pl.Datetime("us"))
        texts = seconds.dt.round("1m").dt.to_string("%Y-%m-%d %H:%M").to_list()
    else:
        texts = [f"{value:.6g}" for value in values]
    missing = encoded[:, -1] == 1 if column["flag"] else np.zeros(len(encoded), bool)
    return [f"{column['name']}={'?' if gone else text}" for text, gone in zip(texts, missing, strict=True)]
