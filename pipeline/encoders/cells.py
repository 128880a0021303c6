"""What a cell of a table says: a number, a moment, a category or nothing; alike in files and in served records."""

import numpy as np
import polars as pl

# A cell of one of these words, in lower, upper or title case, is missing; so are null, NaN and blanks
MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-")
WORDS = sorted({form for word in (*MISSING, "NaN", "NaT") for form in (word, word.lower(), word.upper(), word.title())})

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


def read(kind: str, cells: pl.Series, dates: str | list[str] | None = None) -> pl.Series:
    """The cells as a column of type `kind`: Float64 of numbers and dates, String of categories; null where missing.

    A date is its seconds since 1970, UTC. NaN stands for a cell that can't be read, such as a word among numbers.
    """
    if cells.dtype == pl.Null or is_text(cells.dtype):
        cells = cells.cast(pl.String)
    if kind == "category":
        return category(cells)
    return number(cells) if kind == "number" else moment(cells, dates)


def is_text(dtype: pl.DataType) -> bool:
    return dtype == pl.String or dtype.base_type() in (pl.Categorical, pl.Enum)


def words(cells: pl.Series) -> pl.Series:
    """Without blanks around them; null where missing."""
    texts = cells.str.strip_chars()
    missing = texts.is_in(WORDS)
    return texts.set(missing, None) if missing.any() else texts


def number(cells: pl.Series) -> pl.Series:
    if cells.dtype == pl.String:
        values = cells.cast(pl.Float64, strict=False)
        odd = values.is_null() & cells.is_not_null()
        if odd.any():  # few cells, so that most are read once
            texts = words(cells.filter(odd))
            again = texts.cast(pl.Float64, strict=False)
            again = again.set(again.is_null() & texts.is_not_null(), NAN)
            values = values.scatter(odd.arg_true(), again)
        missing = values.is_nan() & cells.str.strip_chars().is_in(WORDS) if values.is_nan().any() else None
    elif cells.dtype.is_numeric() or cells.dtype == pl.Boolean:
        values = cells.cast(pl.Float64)
        missing = values.is_nan()
    else:
        values, missing = pl.Series(np.full(len(cells), NAN)), cells.is_null()
    if missing is not None and missing.any():
        values = values.set(missing, None)
    infinite = values.is_infinite()
    return values.set(infinite, NAN) if infinite.any() else values


def category(cells: pl.Series) -> pl.Series:
    """One word for what is the same: 1, 1.0 and "1.0" are "1"; true, "True" and "TRUE" are "true"."""
    if cells.dtype.is_float():
        cells = cells.fill_nan(None)
    if cells.dtype == pl.Boolean or cells.dtype.is_integer():
        return cells.cast(pl.String)
    texts = words(cells.cast(pl.String))
    if texts.str.ends_with(".0").any():
        texts = texts.str.replace(r"^([+-]?\d+)\.0$", "$1")
    truths = texts.is_in(["True", "TRUE", "False", "FALSE"]).fill_null(False)
    return texts.str.to_lowercase().zip_with(truths, texts) if truths.any() else texts


def moment(cells: pl.Series, dates: str | list[str] | None) -> pl.Series:
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
    texts = words(cells)
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
