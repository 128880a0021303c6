"""Counts of a table's columns over the whole file, in streams and flat memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.data.faults import explained
from pipeline.data.reading import Table
from pipeline.encoders import numerals
from pipeline.encoders.cells import marks_of, read
from pipeline.project.errors import DataError

LOOK = 50_000  # rows from the beginning, for examples and for how cells are written
EXACT = 1_000_000  # rows up to which distinct values are counted; above they are estimated, to about 10%
BATCH = 50_000  # rows
MOST_WORDS = 20  # that are listed of a column
LIKELY = 0.3  # share of the first cells that resemble numbers, from which their form is looked for
NESTED = {"numbers": 0, "whole": 0, "low": None, "high": None, "zeros": 0.0, "bytes": 0.0, "rising": False}


@dataclass(frozen=True)
class Profile:
    """A column: counts over the whole file, shares and examples of its first rows."""

    name: str
    dtype: pl.DataType
    rows: int
    given: int  # cells that are not missing
    numbers: int  # that are finite numbers
    whole: int  # that are whole numbers
    distinct: int  # values
    low: float | None
    high: float | None
    head: pl.Series  # as categories
    zeros: float  # share of cells with a leading zero, such as 007
    bytes: float  # of a cell on average
    rising: bool  # whether each number of the first rows is greater than the one before
    form: str | None = None  # of numerals.FORMS, in which most of its numbers are written; None: plainly
    rival: str | None = None  # another form in which they may be meant
    marks: tuple[tuple[str, int], ...] = ()  # missing marks in the first rows, and how often
    words: tuple[tuple[str, int], ...] = ()  # what is neither a number nor missing there, and how often

    @property
    def all_different(self) -> bool:
        """Nearly so."""
        return self.given >= 10 and self.distinct >= (0.95 if self.rows <= EXACT else 0.8) * self.given

    @property
    def looked(self) -> int:
        """Cells of the first rows that are not missing."""
        return len(self.head) - self.head.null_count()

    @property
    def odd_share(self) -> float:
        """Of the cells that are not missing, those that are no numbers."""
        return 1 - self.numbers / self.given if self.given else 0.0

    @property
    def example(self) -> str | None:
        given = self.head.drop_nulls()
        return given[0] if len(given) else None


def profile(table: Table, marks: Sequence[str]) -> list[Profile]:
    """Rows that are blank in all columns are left out. `marks`: words that stand for a missing cell."""
    frame = table.frame.filter(~pl.all_horizontal(pl.col(table.names).is_null()))
    plain = [name for name in table.names if is_plain(table.schema[name])]
    with explained(table):
        rows = frame.select(pl.len()).collect().item()
        if not rows:
            raise DataError(f"{table.path} has no rows below its header; give a table with a row for each example")
        head = table.frame.head(LOOK).collect()
        found = counted(frame, plain, rows <= EXACT, marks, {})
        forms = forms_of(table, [name for name in plain if may_be_formed(head[name], found[name], marks)], marks)
        again = {name: form for name, (form, _) in forms.items() if form}
        found |= counted(frame, list(again), rows <= EXACT, marks, again)
    profiles = []
    for name in table.names:
        if name in plain:
            form, rival = forms.get(name, (None, None))
            about = found[name] | written(head[name], form, marks) | {"form": form, "rival": rival}
            about["distinct"] = min(about["distinct"], about["given"])
        else:
            about = NESTED | {"given": rows, "distinct": rows, "head": pl.Series([], dtype=pl.String)}
        profiles.append(Profile(name=name, dtype=table.schema[name], rows=rows, **about))
    return profiles


def may_be_formed(cells: pl.Series, found: Mapping[str, Any], marks: Sequence[str]) -> bool:
    """Whether a column's numbers may be written in a form of their own, by its counts and its first cells."""
    if cells.dtype != pl.String or not found["given"]:
        return False
    if found["numbers"] == found["given"]:
        return bool(cells.str.contains(r"^\s*[+-]?\d{1,3}\.\d{3}\s*$").any())  # 1.234 may be 1234
    given = read("category", cells, None, marks).drop_nulls()
    return not len(given) or (numerals.resemble(given).mean() or 0.0) >= LIKELY


def forms_of(table: Table, names: list[str], marks: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Of each column the form in which its numbers are written, from all its cells, and another that would do."""
    if not names:
        return {}
    tallies: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in names}
    missing = marks_of(tuple(marks)).words
    for batch in table.frame.select(names).collect_batches(chunk_size=BATCH):
        for name in names:
            texts = batch[name].drop_nulls()
            tallies[name] += numerals.tally(texts.filter(~texts.str.strip_chars().is_in(missing)))
    return {name: numerals.choose(found, table.format.separator == ";") for name, found in tallies.items()}


def is_plain(dtype: pl.DataType) -> bool:
    """Whether a cell is one number, text or date."""
    return not dtype.is_nested() and dtype not in (pl.Binary, pl.Object)


def counted(
    frame: pl.LazyFrame, names: list[str], exact: bool, marks: Sequence[str], forms: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Column → given, numbers, whole, distinct, low and high, of the whole file in one pass."""
    if not names:
        return {}

    def reading(name: str, kind: str, made: Any) -> pl.Expr:
        form = forms.get(name) if kind == "number" else None
        return pl.col(name).map_batches(lambda series: read(kind, series, form, marks), made, is_elementwise=True)

    columns, aggregates = {}, {}
    for place, name in enumerate(names):
        columns[f"{place}.number"] = reading(name, "number", pl.Float64)
        columns[f"{place}.text"] = reading(name, "category", pl.String) if exact else pl.col(name)
        number, text = pl.col(f"{place}.number"), pl.col(f"{place}.text").drop_nulls()
        real = pl.when(number.is_finite()).then(number)
        aggregates |= {
            f"{place}.given": number.count(),
            f"{place}.numbers": number.is_finite().sum(),
            f"{place}.whole": (real == real.floor()).sum(),
            f"{place}.distinct": text.n_unique() if exact else text.approx_n_unique(),
            f"{place}.low": real.min(),
            f"{place}.high": real.max(),
        }
    named = (expression.alias(name) for name, expression in columns.items())
    row = frame.select(named).select(expression.alias(name) for name, expression in aggregates.items()).collect()
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in row.row(0, named=True).items():
        place, what = key.split(".")
        found[names[int(place)]][what] = value
    return found


def written(cells: pl.Series, form: str | None, marks: Sequence[str]) -> dict[str, Any]:
    """How the first cells are written."""
    words = cells.dtype == pl.String
    texts = read("category", cells, None, marks)
    numbers = read("number", cells, form, marks)
    given, real = texts.drop_nulls(), numbers.drop_nulls()
    return {
        "head": texts,
        "zeros": (given.str.contains(r"^0\d").mean() or 0.0) if words else 0.0,
        "bytes": given.str.len_bytes().mean() or 0.0,
        "rising": len(real) > 1 and bool((real.diff().drop_nulls() > 0).all()),
        "marks": frequent(cells.filter(texts.is_null()).str.strip_chars()) if words else (),
        "words": frequent(texts.filter(numbers.is_nan().fill_null(False))),
    }


def frequent(texts: pl.Series) -> tuple[tuple[str, int], ...]:
    """The most frequent that are no blanks, and how often."""
    counts = texts.filter(texts != "").rename("text").value_counts(name="rows")
    return tuple(counts.sort(["rows", "text"], descending=[True, False]).head(MOST_WORDS).rows())
