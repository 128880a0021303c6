"""Counts of a table's columns over the whole file, in one pass and flat memory."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.data.faults import explained
from pipeline.data.reading import RAGGED, Table
from pipeline.encoders.cells import read
from pipeline.project.errors import DataError

LOOK = 50_000  # rows from the beginning, for examples and for how cells are written
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
    """Rows that are blank in all columns are left out, and lines that are no rows of the table."""
    frame = table.frame.filter(~pl.all_horizontal(pl.col(table.names).is_null()) & pl.col(RAGGED).is_null())
    with explained(table):
        rows = frame.select(pl.len()).collect().item()
        if not rows:
            raise DataError(f"{table.path} has no rows below its header; give a table with a row for each example")
        head = table.frame.head(LOOK).collect()
        plain = [name for name in table.names if is_plain(table.schema[name])]
        found = counts(frame, plain, rows <= EXACT).collect().row(0, named=True)
    profiles = []
    for name in table.names:
        if name in plain:
            prefix = f"{plain.index(name)}."
            about = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
            about |= written(head[name]) | {"distinct": min(about["distinct"], about["given"])}
        else:
            about = NESTED | {"given": rows, "distinct": rows, "head": pl.Series([], dtype=pl.String)}
        profiles.append(Profile(name=name, dtype=table.schema[name], rows=rows, **about))
    return profiles


def is_plain(dtype: pl.DataType) -> bool:
    """Whether a cell is one number, text or date."""
    return not dtype.is_nested() and dtype.base_type() not in (pl.Binary, pl.Object, pl.Duration)


def counts(frame: pl.LazyFrame, names: list[str], exact: bool) -> pl.LazyFrame:
    """ "2.given" → the count of the column at place 2, and so on, in one pass."""

    def reading(name: str, kind: str, made: Any) -> pl.Expr:
        return pl.col(name).map_batches(lambda series: read(kind, series), made, is_elementwise=True)

    columns = {}
    for place, name in enumerate(names):
        columns[f"{place}.number"] = reading(name, "number", pl.Float64)
        columns[f"{place}.text"] = reading(name, "category", pl.String) if exact else pl.col(name)
    aggregates = {}
    for place in range(len(names)):
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
    return frame.select(named).select(expression.alias(name) for name, expression in aggregates.items())


def written(cells: pl.Series) -> dict[str, Any]:
    """How the first cells are written."""
    words = cells.dtype == pl.String
    texts = read("category", cells)
    given = texts.drop_nulls()
    return {
        "head": texts,
        "zeros": (given.str.contains(r"^0\d").mean() or 0.0) if words else 0.0,
        "commas": (given.str.contains(COMMAS).mean() or 0.0) if words else 0.0,
        "bytes": given.str.len_bytes().mean() or 0.0,
    }
