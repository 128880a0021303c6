"""One pass over a table's file: each cell read once, into a scratch file of typed columns that can be read again."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.data import PrepareTable
from pipeline.kinds.table import cells
from pipeline.kinds.table.encoder import LARGEST, NEEDED
from pipeline.project.errors import DataError
from pipeline.store.splits import Unusable
from pipeline.tables.dates import form_of
from pipeline.tables.faults import explained
from pipeline.tables.profile import is_plain
from pipeline.tables.reading import RAGGED, Table
from pipeline.tasks import task as tasks

# No column's name begins with a blank: reading.stripped
TARGET, GROUP, TIME, HASH, WRONG, GAP, BLANK = " target", " group", " time", " hash", " wrong", " gap", " blank"
BATCH = 100_000  # rows
CELLS = 1_000_000  # that are read at once
LOOK = 10_000  # rows in which the form of dates is looked for
MOST_QUARANTINED = 200_000  # rows that are kept whole, in memory


@dataclass(frozen=True)
class Check:
    """A reason for which a row can't be used: where `fails` holds, as the cell of `column` is not what is `needed`."""

    fails: pl.Expr
    column: str
    needed: str
    marks: Sequence[str] = ()  # of missing cells

    @property
    def kind(self) -> str:
        """By which such rows are counted together."""
        if self.column == RAGGED:
            return "a line that is no row of the table"
        return f"column {self.column!r}: it needs {self.needed.partition(', such as')[0]}"


@dataclass(frozen=True)
class Parsed:
    """The scratch file: columns as cells.read gives them, by their names, and those that are named above."""

    table: Table
    path: Path
    rows: int
    checks: list[Check]
    forms: dict[str, str | list[str] | None]  # column of numbers or dates → how they are written

    def column(self, name: str) -> pl.Series:
        return pl.scan_ipc(self.path).select(name).collect().to_series()

    def columns(self, names: Sequence[str]) -> Iterator[tuple[str, pl.Series]]:
        """Each of them, CELLS of them at once."""
        for some in cells.chunked(names, self.rows, CELLS):
            frame = pl.scan_ipc(self.path).select(some).collect()
            yield from ((name, frame[name]) for name in some)

    def batches(self, names: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """(first row, columns) of BATCH rows each."""
        for start in range(0, self.rows, BATCH):
            yield start, pl.scan_ipc(self.path).select(names).slice(start, BATCH).collect()

    def unusable(self, wrong: np.ndarray) -> list[Unusable]:
        """The rows (ascending) of which `wrong` (N,) names a check, whole, with the line and the reason."""
        rows = np.flatnonzero(wrong >= 0)
        kept = pl.Series(rows, dtype=pl.UInt64).implode()
        frame = self.table.frame.with_row_index(" row").filter(pl.col(" row").cast(pl.UInt64).is_in(kept))
        records = frame.drop(" row").collect().iter_rows(named=True)
        places = self.table.where(rows.tolist(), self.rows)
        return [
            Unusable(row, f"{place}: {reason(check := self.checks[wrong[row]], record)}", as_json(record), check.kind)
            for row, place, record in zip(rows.tolist(), places, records, strict=True)
        ]


def reason(check: Check, record: dict[str, Any]) -> str:
    if check.column == RAGGED:
        return record[RAGGED]
    value = record[check.column]
    empty = value is None or value != value or str(value).strip() in cells.marks_of(tuple(check.marks)).words
    given = "is empty" if empty else f"holds {value!r}"
    return f"column {check.column!r} {given}; it needs {check.needed}"


def as_json(record: dict[str, Any]) -> bytes:
    cells = {name: value for name, value in record.items() if name != RAGGED}
    return json.dumps(cells, ensure_ascii=False, default=str).encode()


def parse(table: Table, settings: PrepareTable, folder: Path) -> Parsed:
    schema = table.schema
    read: dict[str, str] = {column.name: column.type for column in settings.columns if column.type != "ignore"}
    read |= {name: "category" for name in settings.slices if name not in read}
    refuse_nested(schema, [*read, settings.target])
    dates = forms(table, {column.name: column.format for column in settings.columns if column.type == "date"})
    numbers = {column.name: column.format for column in settings.columns if column.type == "number"}
    written = numbers | dates
    ways = {name: (kind, written.get(name)) for name, kind in read.items()}
    used = [column.name for column in settings.columns if column.type != "ignore"]
    columns = roles(table, settings, dates)
    checks = checks_of(settings, read)
    wrong = pl.coalesce(pl.when(check.fails).then(pl.lit(place, pl.Int16)) for place, check in enumerate(checks))
    columns[HASH] = pl.sum_horizontal(
        pl.col(name).hash(place) for place, name in enumerate(table.names) if not schema[name].is_nested()
    )
    columns[RAGGED] = pl.col(RAGGED)
    columns[BLANK] = pl.all_horizontal(pl.col(table.names).is_null())
    frame = table.frame.select(*read, *(expression.alias(name) for name, expression in columns.items()))
    frame = reading_all(frame, ways, settings.missing_marks)
    gap = pl.any_horizontal(pl.col(used).is_null()) if used else pl.lit(False)
    frame = frame.with_columns(wrong.alias(WRONG), gap.alias(GAP)).drop(RAGGED)
    path = folder / "parsed.ipc"
    with explained(table):
        frame.sink_ipc(path, record_batch_size=BATCH)
    rows = pl.scan_ipc(path).select(pl.len()).collect().item()
    return Parsed(table, path, rows, checks, written)


def reading_all(frame: pl.LazyFrame, ways: dict[str, cells.Way], marks: Sequence[str]) -> pl.LazyFrame:
    """cells.read_frame of some of its columns, in a stream; the others as they are."""
    made = {name: pl.String if kind == "category" else pl.Float64 for name, (kind, _) in ways.items()}
    schema = frame.collect_schema() | made

    def read(some: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([cells.read_frame(some, ways, marks), some.drop(ways)], how="horizontal")

    return frame.map_batches(read, schema=pl.Schema(schema), streamable=True)


def reading(name: str, kind: str, form: str | list[str] | None, marks: list[str]) -> pl.Expr:
    """cells.read of a column, in a stream."""
    made = pl.String if kind == "category" else pl.Float64
    return pl.col(name).map_batches(lambda series: cells.read(kind, series, form, marks), made, is_elementwise=True)


def roles(table: Table, settings: PrepareTable, dates: dict[str, str | list[str] | None]) -> dict[str, pl.Expr]:
    """Target, group and time."""
    split, marks = settings.split, settings.missing_marks
    kind = "number" if tasks.by_name(settings.task).numeric else "category"
    found = {TARGET: reading(settings.target, kind, settings.target_format, settings.target_marks)}
    if split.group is not None:
        group = reading(split.group, "category", None, marks)
        found[GROUP] = pl.when(group.is_not_null()).then(group.hash(0))
    if split.time is not None:
        kind, form = kind_of_time(split.time, table, settings, dates)
        found[TIME] = reading(split.time, kind, form, marks)
    return found


def kind_of_time(
    name: str, table: Table, settings: PrepareTable, dates: dict[str, str | list[str] | None]
) -> tuple[str, str | list[str] | None]:
    column = next((column for column in settings.columns if column.name == name), None)
    if column is not None and column.type in ("number", "date"):
        return column.type, column.format if column.type == "number" else dates.get(name)
    if table.schema[name].is_numeric():
        return "number", None
    texts = head(table, name)
    numbers = cells.read("number", texts, None, settings.missing_marks).is_finite().sum()
    return ("number", None) if 2 * numbers > texts.count() else ("date", forms(table, {name: None})[name])


def head(table: Table, name: str) -> pl.Series:
    with explained(table):
        return table.frame.select(name).head(LOOK).collect().to_series()


def forms(table: Table, wanted: dict[str, str | None]) -> dict[str, str | list[str] | None]:
    """The forms of each column of dates; DataError where day and month can't be told apart, or where they are none."""
    found: dict[str, str | list[str] | None] = {}
    with explained(table):
        first = table.frame.select(list(wanted)).head(LOOK).collect()
    for name, form in wanted.items():
        texts = first[name]
        if texts.dtype != pl.String:
            found[name] = form
            continue
        dates = form_of(texts, form)
        if dates.ambiguous:
            raise DataError(
                f"the dates of column {name!r}, such as {texts.drop_nulls()[0]!r}, may be day/month or month/day.\n"
                f"Choose one: {dates.advice}, or give the column the type ignore"
            )
        found[name] = dates.form
    return found


def checks_of(settings: PrepareTable, kinds: dict[str, str]) -> list[Check]:
    """In the order in which they are tried; a row fails by the first."""
    target, split, marks = pl.col(TARGET), settings.split, settings.missing_marks
    ragged = Check(pl.col(RAGGED).is_not_null(), RAGGED, "")
    if tasks.by_name(settings.task).numeric:
        bad = target.is_null() | target.is_nan() | (target.abs() > LARGEST)
        checks = [Check(bad, settings.target, NEEDED["number"], settings.target_marks)]
    else:
        checks = [Check(target.is_null(), settings.target, "a class", settings.target_marks)]
    if split.group is not None:
        needed = "a group, by data.prepare.split.group"
        checks.append(Check(pl.col(GROUP).is_null(), split.group, needed, marks))
    if split.time is not None:
        needed = "a number or date, by data.prepare.split.time"
        checks.append(Check(pl.col(TIME).is_null() | pl.col(TIME).is_nan(), split.time, needed, marks))
    checks += [Check(pl.col(name).is_nan(), name, NEEDED[kind]) for name, kind in kinds.items() if kind in NEEDED]
    return [ragged, *checks]


def refuse_nested(schema: pl.Schema, names: list[str]) -> None:
    for name in names:
        if not is_plain(schema[name]):
            raise DataError(
                f"column {name!r} is of type {schema[name]}; a cell is one number, text or date.\n"
                "Give it the type ignore in data.prepare.columns, or write its parts as columns"
            )
