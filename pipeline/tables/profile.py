"""Counts of a table's columns over the whole file, in streams and flat memory."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import polars as pl

from pipeline.kinds.table import numerals
from pipeline.kinds.table.cells import FEW, chunked, marks_of, read_frame
from pipeline.project.errors import DataError
from pipeline.tables.faults import explained
from pipeline.tables.reading import RAGGED, Table

LOOK = 50_000  # rows from the beginning, for examples and for how cells are written; fewer of wide tables
CELLS = 2_000_000  # of all columns that are in memory at once
GROUP = 200  # columns in one query
EXACT = 1_000_000  # rows up to which distinct values are counted; above they are estimated, to about 10%
TINY = 1e-6  # that a number less than a million may be off a whole one
MOST_WORDS = 20  # that are listed of a column
LIKELY = 0.3  # share of the first cells that resemble numbers, from which their form is looked for
NOTHING = pl.Series([], dtype=pl.String)
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
    first: pl.Series  # the same rows as numbers; null where missing, NaN where a cell is none
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
    """Rows that are blank in all columns are left out, as are lines that are no rows; `marks` mean a missing cell."""
    schema = table.schema
    plain = [name for name in table.names if is_plain(schema[name])]
    blank = pl.all_horizontal(pl.col(table.names).is_null()) | pl.col(RAGGED).is_not_null()
    with explained(table):
        rows = table.frame.select((~blank).sum()).collect().item()  # as a filter it costs a wide table minutes
        if not rows:
            raise DataError(f"{table.path} has no rows below its header; give a table with a row for each example")
        found = counts(table.frame, plain, rows <= EXACT, marks, {})
        forms = forms_of(
            table, [name for name in plain if schema[name] == pl.String and may_be_formed(found[name])], marks
        )
        again = {name: form for name, (form, _) in forms.items() if form}
        found |= counts(table.frame, list(again), rows <= EXACT, marks, again)
    profiles = []
    for name in table.names:
        if name in found:
            form, rival = forms.get(name, (None, None))
            about = found[name] | {"form": form, "rival": rival}
        else:
            about = NESTED | {"given": rows, "distinct": rows, "head": NOTHING, "first": NOTHING}
        profiles.append(Profile(name=name, dtype=schema[name], rows=rows, **about))
    return profiles


def may_be_formed(found: Mapping[str, Any]) -> bool:
    """Whether a column's numbers may be written in a form of their own, by its counts and its first cells."""
    if not found["words"] and found["numbers"] == found["given"]:
        first = found["first"].to_numpy()  # 1.234 and 12 are such
        thousands = np.abs(first) < 1000
        thousands &= np.abs(first * 1000 - np.rint(first * 1000)) < TINY
        return bool((thousands | np.isnan(first)).all()) and numerals.may_be_thousands(found["head"].drop_nulls())
    if not found["given"]:
        return False
    alike = cast("float | None", numerals.resemble(found["head"].drop_nulls()).mean())  # of booleans
    return (alike or 0.0) >= LIKELY


def forms_of(table: Table, names: list[str], marks: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Of each column the form in which its numbers are written, from all its cells, and another that would do."""
    if not names:
        return {}
    tallies: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in names}
    missing = marks_of(tuple(marks)).words
    for batch in batches(table.frame, names):
        for some in chunked(names, len(batch), FEW):
            texts = pl.concat([batch[name] for name in some])
            given = texts.is_not_null() & ~texts.str.strip_chars().is_in(missing).fill_null(True)
            column = np.repeat(np.arange(len(some)), len(batch))[given.to_numpy()]
            for name, tally in zip(some, numerals.tally(texts.filter(given), column, len(some)), strict=True):
                tallies[name] += tally
    return {name: numerals.choose(found, table.format.separator == ";") for name, found in tallies.items()}


def is_plain(dtype: pl.DataType) -> bool:
    """Whether a cell is one number, text or date."""
    return not dtype.is_nested() and dtype.base_type() not in (pl.Binary, pl.Object, pl.Duration)


def batches(frame: pl.LazyFrame, names: list[str]) -> Iterator[pl.DataFrame]:
    """Some rows at a time, without lines that are no rows."""
    rows = max(1000, CELLS // max(1, len(names)))
    for batch in frame.select(*names, RAGGED).collect_batches(chunk_size=rows, maintain_order=True):
        whole = batch[RAGGED].is_null()
        batch = batch if whole.all() else batch.filter(whole)
        if len(batch):
            yield batch


def counts(
    frame: pl.LazyFrame, names: list[str], exact: bool, marks: Sequence[str], forms: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """What Profile says of each column. A query of all of them takes time and memory by the square of their number."""
    if not names:
        return {}
    found = {name: Counts() for name in names}
    for batch in batches(frame, names):
        numbers = read_frame(batch, {name: ("number", forms.get(name)) for name in names}, marks)
        texts = read_frame(batch, {name: ("category", None) for name in names if exact or not found[name].head}, marks)
        letters = letters_of(texts.head(LOOK))
        for name in names:
            found[name].add(numbers[name])
            if name in letters:
                found[name].look(batch[name], texts[name], numbers[name], letters[name])
    estimated = {} if exact else estimates(frame, names)
    return {name: one.told(estimated.get(name)) for name, one in found.items()}


@dataclass
class Counts:
    """Of a column, as far as it was read."""

    given: int = 0
    numbers: int = 0
    whole: int = 0
    low: float = math.inf
    high: float = -math.inf
    values: list[pl.Series] = field(default_factory=list)  # hashes of the distinct ones of each batch
    head: dict[str, Any] = field(default_factory=dict)

    def add(self, numbers: pl.Series) -> None:
        """Cells of the file as numbers."""
        self.given += len(numbers) - numbers.null_count()
        finite = numbers.to_numpy()
        finite = finite[np.isfinite(finite)]
        self.numbers += len(finite)
        self.whole += int((finite == np.floor(finite)).sum())
        self.low, self.high = float(finite.min(initial=self.low)), float(finite.max(initial=self.high))

    def look(self, cells: pl.Series, texts: pl.Series, numbers: pl.Series, letters: dict[str, float]) -> None:
        """At how they are written; `texts` are they as categories."""
        self.values.append(texts.drop_nulls().hash().unique())
        self.head = self.head or letters | written(cells.head(LOOK), texts.head(LOOK), numbers.head(LOOK))

    def told(self, distinct: int | None) -> dict[str, Any]:
        distinct = pl.concat(self.values).n_unique() if distinct is None else distinct
        low, high = (self.low, self.high) if self.numbers else (None, None)
        counted = {"given": self.given, "numbers": self.numbers, "whole": self.whole, "low": low, "high": high}
        return counted | {"distinct": min(distinct, self.given)} | self.head


def estimates(frame: pl.LazyFrame, names: list[str]) -> dict[str, int]:
    """Distinct values of each column, about; in flat memory."""
    found: dict[str, int] = {}
    for start in range(0, len(names), GROUP):
        columns = pl.col(names[start : start + GROUP]).drop_nulls().approx_n_unique()
        found |= frame.select(columns).collect().row(0, named=True)
    return found


def letters_of(texts: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Of each column `bytes` and `zeros`, as Profile has them."""
    found: dict[str, dict[str, float]] = {}
    for some in chunked(texts.columns, len(texts), FEW):
        column, shape = pl.concat([texts[name] for name in some]), (len(some), len(texts))
        given = np.maximum((~column.is_null().to_numpy()).reshape(shape).sum(1), 1)
        sizes = column.str.len_bytes().fill_null(0).to_numpy().reshape(shape).sum(1)
        zeros = column.str.contains(r"^0\d").fill_null(False).to_numpy().reshape(shape).sum(1)
        shares = zip(some, (sizes / given).tolist(), (zeros / given).tolist(), strict=True)
        found |= {name: {"bytes": size, "zeros": zero} for name, size, zero in shares}
    return found


def written(cells: pl.Series, texts: pl.Series, numbers: pl.Series) -> dict[str, Any]:
    """How the first cells are written; `texts` are they as categories, `numbers` as numbers."""
    real = numbers.to_numpy()
    missing, odd = numbers.null_count(), np.isnan(real).sum() > numbers.null_count()
    real = real[~numbers.is_null().to_numpy()] if missing else real
    words = cells.dtype == pl.String
    return {
        "head": texts,
        "first": numbers,
        "rising": len(real) > 1 and bool((np.diff(real) > 0).all()),
        "marks": frequent(cells.filter(texts.is_null()).str.strip_chars()) if words and texts.null_count() else (),
        "words": frequent(texts.filter(numbers.is_nan().fill_null(False))) if odd else (),
    }


def frequent(texts: pl.Series) -> tuple[tuple[str, int], ...]:
    """The most frequent that are no blanks, and how often."""
    counts = texts.filter(texts != "").rename("text").value_counts(name="rows")
    return tuple(counts.sort(["rows", "text"], descending=[True, False]).head(MOST_WORDS).rows())
