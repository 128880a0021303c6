"""Counts of a table's columns over the whole file, in one pass and flat memory."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pipeline.data.faults import explained
from pipeline.data.reading import Table
from pipeline.encoders.cells import read
from pipeline.project.errors import DataError

LOOK = 50_000  # rows from the beginning, for examples and for how cells are written; fewer of wide tables
CELLS = 2_000_000  # of all columns that are in memory at once
GROUP = 200  # columns in one query
EXACT = 1_000_000  # rows up to which distinct values are counted; above they are estimated, to about 10%
COMMAS = r"^[+-]?(\d{1,3}([.,' ]\d{3})+([.,]\d+)?|\d+,\d+)$"  # decimal commas, thousands separators
NESTED = {"numbers": 0, "whole": 0, "low": None, "high": None, "zeros": 0.0, "commas": 0.0, "bytes": 0.0}


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
    commas: float  # share of cells such as 1.234,5
    bytes: float  # of a cell on average

    @property
    def all_different(self) -> bool:
        """Nearly so."""
        return self.given >= 10 and self.distinct >= (0.95 if self.rows <= EXACT else 0.8) * self.given

    @property
    def example(self) -> str | None:
        given = self.head.drop_nulls()
        return given[0] if len(given) else None


def profile(table: Table) -> list[Profile]:
    """Rows that are blank in all columns are left out."""
    schema = table.schema
    plain = [name for name in table.names if is_plain(schema[name])]
    blank = pl.all_horizontal(pl.col(table.names).is_null())
    with explained(table):
        rows = table.frame.select((~blank).sum()).collect().item()  # as a filter it costs a wide table minutes
        if not rows:
            raise DataError(f"{table.path} has no rows below its header; give a table with a row for each example")
        found = counts(table.frame, plain, rows <= EXACT)
    profiles = []
    for name in table.names:
        if name in found:
            about = found[name]
        else:
            about = NESTED | {"given": rows, "distinct": rows, "head": pl.Series([], dtype=pl.String)}
        profiles.append(Profile(name=name, dtype=schema[name], rows=rows, **about))
    return profiles


def is_plain(dtype: pl.DataType) -> bool:
    """Whether a cell is one number, text or date."""
    return not dtype.is_nested() and dtype not in (pl.Binary, pl.Object)


def counts(frame: pl.LazyFrame, names: list[str], exact: bool) -> dict[str, dict[str, Any]]:
    """What Profile says of each column. A query of all of them takes time and memory by the square of their number."""
    found = {name: Counts() for name in names}
    rows = max(1000, CELLS // max(1, len(names)))
    for batch in frame.select(names).collect_batches(chunk_size=rows, maintain_order=True):
        for name in names:
            found[name].add(batch[name], exact)
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

    def add(self, cells: pl.Series, exact: bool) -> None:
        numbers = read("number", cells)
        self.given += numbers.count()
        finite = numbers.to_numpy()
        finite = finite[np.isfinite(finite)]
        self.numbers += len(finite)
        self.whole += int((finite == np.floor(finite)).sum())
        self.low, self.high = float(finite.min(initial=self.low)), float(finite.max(initial=self.high))
        if exact or not self.head:
            texts = read("category", cells)
            self.values.append(texts.drop_nulls().hash().unique())
            self.head = self.head or written(cells.head(LOOK), texts.head(LOOK))

    def told(self, distinct: int | None) -> dict[str, Any]:
        distinct = pl.concat(self.values).n_unique() if distinct is None else distinct
        low, high = (self.low, self.high) if self.numbers else (None, None)
        counted = {"given": self.given, "numbers": self.numbers, "whole": self.whole, "low": low, "high": high}
        return counted | {"distinct": min(distinct, self.given)} | self.head


def estimates(frame: pl.LazyFrame, names: list[str]) -> dict[str, int]:
    """Distinct values of each column, about; in flat memory."""
    found = {}
    for start in range(0, len(names), GROUP):
        columns = pl.col(names[start : start + GROUP]).drop_nulls().approx_n_unique()
        found |= frame.select(columns).collect().row(0, named=True)
    return found


def written(cells: pl.Series, texts: pl.Series) -> dict[str, Any]:
    """How the first cells are written; `texts` are they as categories."""
    words = cells.dtype == pl.String
    given = texts.drop_nulls()
    return {
        "head": texts,
        "zeros": (given.str.contains(r"^0\d").mean() or 0.0) if words else 0.0,
        "commas": (given.str.contains(COMMAS).mean() or 0.0) if words else 0.0,
        "bytes": given.str.len_bytes().mean() or 0.0,
    }
