"""Records of a table in any of the forms that users have, as one Polars frame of the columns that are needed."""

import difflib
import reprlib
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import polars as pl

from pipeline.project.errors import DataError

PLAIN = "biufM"  # kinds of NumPy's types that Polars takes as they are
Number = int | float | None
FORMS = "a Polars or pandas frame, a list of records {column: value}, or a dict of columns {column: values}"


def frame(records: Any, wanted: Sequence[str]) -> pl.DataFrame:
    """The `wanted` columns, by name; others are left out. A single record {column: value} is a frame of one row."""
    made = pl.DataFrame([series(name, column) for name, column in columns(records, wanted).items()])
    for name, dtype in made.schema.items():
        if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
            raise DataError(f"column {name!r} is of type {dtype}; a cell is one number, text or date")
    return made


def columns(records: Any, wanted: Sequence[str]) -> dict[str, Any]:
    if isinstance(records, list | tuple):
        return transposed(records, wanted)
    if is_pandas(records):
        names = named(list(records.columns), wanted)
        return {want: unwrapped(records[name]) for want, name in names.items()}
    if isinstance(records, pl.DataFrame):
        return {want: records[name] for want, name in named(records.columns, wanted).items()}
    if not isinstance(records, Mapping):
        raise DataError(f"the records are {reprlib.repr(records)}; allowed are {FORMS}")
    found = {want: records[name] for want, name in named(list(records), wanted).items()}
    found = {want: unwrapped(column) if is_pandas(column) else column for want, column in found.items()}
    if not any(isinstance(column, list | tuple | np.ndarray | pl.Series) for column in found.values()):
        return {want: [value] for want, value in found.items()}
    lengths = {want: len(column) if isinstance(column, Sized) else None for want, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns have different lengths: {reprlib.repr(lengths)}; give a value for each record")
    return found


def is_pandas(value: Any) -> bool:
    """A frame or series, without importing pandas, which may not be there."""
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "to_numpy")


def unwrapped(column: Any) -> Any:
    """Of pandas: an array where NumPy has the type, else a list."""
    array = column.to_numpy()
    return array if array.dtype.kind in PLAIN else column.tolist()


def named(given: Sequence[Any], wanted: Sequence[str], where: str = "the records have") -> dict[str, Any]:
    """wanted → the name as given, blanks around it apart; DataError for the first that is missing or there twice."""
    names: dict[str, list[Any]] = {}
    for name in given:
        names.setdefault(str(name).strip(), []).append(name)
    for want in wanted:
        if want not in names:
            raise DataError(f"{where} no column {want!r}{nearest(want, list(names))}")
        if len(names[want]) > 1:
            raise DataError(f"{where} the column {want!r} {len(names[want])} times; give it once")
    return {want: names[want][0] for want in wanted}


def nearest(name: str, known: Sequence[str]) -> str:
    """How a message on an unknown name ends: the nearest known name, and the known ones."""
    near = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(map(repr, known[:30])) + (", …" if len(known) > 30 else "")
    return (f". Did you mean {near[0]!r}?" if near else ".") + f" The columns are: {listed or '(none)'}"


def transposed(records: Sequence[Any], wanted: Sequence[str]) -> dict[str, list[Any]]:
    for row, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise DataError(f"record {row} is {reprlib.repr(record)}; allowed are {FORMS}")
        if any(want not in record for want in wanted):
            named(list(record), wanted, f"record {row} has")
    usual = all(want in record for record in records for want in wanted)
    if usual:
        return {want: [record[want] for record in records] for want in wanted}
    chosen = [(record, named(list(record), wanted)) for record in records]
    return {want: [record[names[want]] for record, names in chosen] for want in wanted}


def series(name: str, values: Any) -> pl.Series:
    """Of mixed types, such as numbers among words, each value becomes the text that a file would hold."""
    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise DataError(f"column {name!r} has the shape {values.shape}; give one value for each record")
        if values.dtype.kind in PLAIN:
            return pl.Series(name, values)
        values = values.tolist()
    if any(isinstance(value, float) for value in values) and all(isinstance(value, Number) for value in values):
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    try:
        column = pl.Series(name, values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        column = None
    if column is not None and not column.dtype.is_nested() and column.dtype not in (pl.Object, pl.Binary):
        return column
    return pl.Series(name, [text(name, row, value) for row, value in enumerate(values)], pl.String)


def text(name: str, row: int, value: Any) -> str | None:
    if isinstance(value, list | tuple | Mapping | set | np.ndarray | bytes):
        raise DataError(
            f"record {row}: column {name!r} holds {reprlib.repr(value)}; a cell is one number, text or date"
        )
    return None if value is None else str(value)
