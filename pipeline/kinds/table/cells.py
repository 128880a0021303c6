"""What a cell of a table says: a number, a moment, a category or nothing; alike in files and in served records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import polars as pl

from pipeline.kinds.table import numerals

# What an encoder without "missing_marks" was made with; data.prepare.missing_marks says it for a new one
MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-")

# Tried in this order on every date column
ISO = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
)
OLDEST = 1000  # a year before it is one of two digits, which a form with %y reads
COMPACT = "%Y%m%d"
LATEST = 2069  # by %y, where POSIX has 69 to 99 of the last century; Polars has 70 to 99

NAN = float("nan")
FEW = 10_000  # cells of short columns that are read as one: each call costs more than its cells
Way = tuple[str, str | list[str] | None]  # a column's type, and the form of its cells


@dataclass(frozen=True)
class Marks:
    """What stands for a missing cell: words, as they may be written, and numbers."""

    words: list[str]
    numbers: list[float]


@lru_cache(maxsize=64)
def marks_of(given: tuple[str, ...]) -> Marks:
    """Of the words of data.prepare.missing_marks, each in lower, upper and title case; blanks always are missing."""
    forms = {form for word in ("", *given) for form in (word, word.lower(), word.upper(), word.title())}
    forms |= {"NaN", "NaT"} if {"nan", "nat"} & set(given) else set()
    numbers = pl.Series(sorted(forms)).cast(pl.Float64, strict=False)
    return Marks(sorted(forms), numbers.filter(numbers.is_finite().fill_null(False)).unique().sort().to_list())


OLD = marks_of(MISSING)


def read(kind: str, cells: pl.Series, form: str | list[str] | None = None, marks: Sequence[str] = MISSING) -> pl.Series:
    """The cells as a column of type `kind`: Float64 of numbers and dates, String of categories; null where missing.

    A date is its seconds since 1970, UTC. NaN stands for a cell that can't be read, such as a word among numbers.
    `form`: of a date as strptime has it, of a number a name of numerals.FORMS; None: ISO dates, plain numbers.
    """
    if cells.dtype == pl.Null or is_text(cells.dtype):
        cells = cells.cast(pl.String)
    known = marks_of(tuple(marks))
    if kind == "category":
        return category(cells, known)
    if kind == "number":
        return number(cells, cast("str | None", form), known)  # several are of dates alone
    return moment(cells, form, known)


def read_frame(frame: pl.DataFrame, ways: Mapping[str, Way], marks: Sequence[str] = MISSING) -> pl.DataFrame:
    """Each of the columns `ways` as `read` gives it; those that are read alike at once, where they are short."""
    alike: dict[tuple[str, str, pl.DataType], list[str]] = {}
    schema = frame.schema
    for name, (kind, form) in ways.items():
        alike.setdefault((kind, repr(form), schema[name]), []).append(name)
    found: dict[str, pl.Series] = {}
    for names in alike.values():
        kind, form = ways[names[0]]
        for some in chunked(names, len(frame), FEW):
            texts = pl.concat([frame[name] for name in some])
            cells = read(kind, texts, form, marks)
            for place, name in enumerate(some):
                found[name] = cells.slice(place * len(frame), len(frame)).alias(name)
    return pl.DataFrame([found[name] for name in ways])


def chunked(names: Sequence[str], rows: int, most: int) -> Iterator[Sequence[str]]:
    """So many of the names that their columns of `rows` have `most` cells together; one where a column has more."""
    size = max(1, most // max(1, rows))
    return (names[start : start + size] for start in range(0, len(names), size))


def is_text(dtype: pl.DataType) -> bool:
    return dtype == pl.String or dtype.base_type() in (pl.Categorical, pl.Enum)


def words(cells: pl.Series, marks: Marks = OLD) -> pl.Series:
    """Without blanks around them; null where missing."""
    texts = cells.str.strip_chars()
    missing = texts.is_in(marks.words)
    return texts.set(missing, None) if missing.any() else texts


def number(cells: pl.Series, form: str | None, marks: Marks) -> pl.Series:
    if cells.dtype == pl.String:
        values = spelled(cells, form, marks)
    elif cells.dtype.is_numeric() or cells.dtype == pl.Boolean:
        values = cells.cast(pl.Float64).fill_nan(None)
    else:
        values = pl.Series(np.full(len(cells), NAN)).set(cells.is_null(), None)
    if marks.numbers and (marked := values.is_in(marks.numbers).fill_null(False)).any():
        values = values.set(marked, None)
    infinite = values.is_infinite()
    return values.set(infinite, NAN) if infinite.any() else values


def spelled(cells: pl.Series, form: str | None, marks: Marks) -> pl.Series:
    """Float64 of texts; NaN where one is neither a number nor missing. Most are read once, the odd ones again."""
    values = numerals.parse(cells, form) if form else cells.cast(pl.Float64, strict=False)
    odd = (values.is_null() & cells.is_not_null()) | (values.is_nan() | values.is_infinite()).fill_null(False)
    if not odd.any():
        return values
    texts = words(cells.filter(odd), marks)
    again = (numerals.parse(texts, form) if form else texts.cast(pl.Float64, strict=False)).fill_nan(None)
    return values.scatter(odd.arg_true(), again.set(again.is_null() & texts.is_not_null(), NAN))


def category(cells: pl.Series, marks: Marks) -> pl.Series:
    """One word for what is the same: 1, 1.0 and "1.0" are "1"; true, "True" and "TRUE" are "true"."""
    if cells.dtype.is_float():
        cells = cells.fill_nan(None)
    if cells.dtype == pl.Boolean or cells.dtype.is_integer():
        return words(cells.cast(pl.String), marks) if marks.numbers else cells.cast(pl.String)
    texts = words(cells.cast(pl.String), marks)
    if texts.str.ends_with(".0").any():
        texts = texts.str.replace(r"^([+-]?\d+)\.0$", "$1")
    truths = texts.is_in(["True", "TRUE", "False", "FALSE"]).fill_null(False)
    return texts.str.to_lowercase().zip_with(truths, texts) if truths.any() else texts


def moment(cells: pl.Series, dates: str | list[str] | None, marks: Marks = OLD) -> pl.Series:
    """`dates`: the forms of this column, tried in this order before ISO's."""
    if cells.dtype == pl.Date or cells.dtype.base_type() == pl.Datetime:
        return cells.cast(pl.Datetime("us")).cast(pl.Int64) / 1e6
    forms = [dates] if isinstance(dates, str) else list(dates or [])
    if cells.dtype.is_integer() and COMPACT in forms:
        cells = cells.cast(pl.String)
    if cells.dtype.is_float():
        cells = cells.fill_nan(None)  # as pandas writes a missing date
    if cells.dtype != pl.String:
        return pl.Series(np.full(len(cells), NAN)).set(cells.is_null(), None)
    texts = words(cells, marks)
    values = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(texts))
    for form in [*forms, *ISO]:
        left = values.is_null() & texts.is_not_null()
        if not left.any():
            return values
        values = values.scatter(left.arg_true(), parsed(texts.filter(left), form))
    return values.set(values.is_null() & texts.is_not_null(), NAN)


def parsed(texts: pl.Series, form: str) -> pl.Series:
    """Seconds since 1970, UTC; null where the text is not of this form."""
    values = texts.str.to_datetime(form, strict=False, time_unit="us", ambiguous="null")
    if form.endswith("z"):
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if "%y" in form and (late := values.dt.year() == LATEST).any():
        values = values.zip_with(~late, values.dt.offset_by("-100y"))
    seconds = values.cast(pl.Int64) / 1e6
    return seconds.set((values.dt.year() < OLDEST).fill_null(False), None)
