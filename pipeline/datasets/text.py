"""A person's own texts: a column of a table, and what is to be predicted from it in another."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.config.data import PrepareText, TextData, of_kind
from pipeline.config.schema import Config
from pipeline.datasets.texts import Corpus, describe, prepared
from pipeline.kinds.table import cells
from pipeline.kinds.table.frames import named
from pipeline.project import paths
from pipeline.project.errors import ConfigError, DataError
from pipeline.store.splits import Fold, Prepared, Split, Unusable, refuse_too_many_unusable
from pipeline.tables.dates import form_of
from pipeline.tables.faults import explained
from pipeline.tables.reading import RAGGED, Table, only_file, open_table
from pipeline.tasks import task as tasks

FEWEST = 3  # rows of a class: one for each split
LOOK = 10_000  # rows in which the form of dates is looked for
ROW, REASON, BLANK = " row", " reason", " blank"  # no column's name begins with a blank: reading.stripped
NEEDED = {"text": "a text", "target": "a class", "group": "a group", "time": "a number or date"}


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """Rows without a text, a target, a group or a time are set apart, as are classes of fewer than 3 rows."""
    data = of_kind(config.data, TextData)
    settings = data.prepare
    corpus, blank = usable(raw, data)
    encoder = describe(raw, settings.task, corpus.labels, settings.text, settings.max_length)
    shares = (settings.split.validation, settings.split.test)
    done = prepared(corpus, encoder, shares, settings.max_quarantined, raw, fold)
    done.statistics["blank"] = blank
    return replace(done, dropped={"blank": blank})


def usable(raw: Path, data: TextData) -> tuple[Corpus, int]:
    """The texts that can be used, with those that can't; and how many rows are all blank."""
    settings = data.prepare
    table = opened(raw, data)
    frame, blank = judged(table, settings)
    good = frame.filter(pl.col(REASON).is_null())
    bad = unusable(table, frame.filter(pl.col(REASON).is_not_null()), len(frame) + blank)
    rows = good[ROW].to_numpy().astype(np.int64)
    refuse_too_many_unusable({"the file": Split(rows, rows, rows, bad)}, settings.max_quarantined)
    return as_corpus(good, rows, settings, bad), blank


def opened(raw: Path, data: TextData) -> Table:
    """The one file of the source, as it was named by its sum. Without a header its columns are column_1, column_2 …"""
    return open_table(only_file(raw, data.source), data.prepare.format, Path(tempfile.mkdtemp(dir=paths.scratch())))


def columns_of(table: Table, settings: PrepareText) -> dict[str, str]:
    """Role → column, of those that are set."""
    split = settings.split
    roles = {"text": settings.text, "target": settings.target, "group": split.group, "time": split.time}
    given = {role: column for role, column in roles.items() if column is not None}
    for role, column in given.items():
        key = f"split.{role}" if role in ("group", "time") else role
        named(table.names, [column], f"data.prepare.{key} can't be found: {table.path} has")
    if settings.text == settings.target:
        raise ConfigError(f"data.prepare.text and target are both {settings.text!r}; a text can't be its own target")
    if not cells.is_text(table.schema[settings.text]):
        kind = table.schema[settings.text]
        raise DataError(
            f"the column {settings.text!r} of {table.path} is of type {kind}; data.prepare.text needs texts"
        )
    return given


def judged(table: Table, settings: PrepareText) -> tuple[pl.DataFrame, int]:
    """The rows by their roles, and ROW and REASON, why a row can't be used; and how many others were all blank."""
    columns = columns_of(table, settings)
    with explained(table):
        blank = pl.all_horizontal(pl.all().is_null()).alias(BLANK)
        used = table.frame.select(blank, RAGGED, *[pl.col(column).alias(role) for role, column in columns.items()])
        frame = used.with_row_index(ROW).collect()
    blanks = int(frame[BLANK].sum())
    frame = frame.filter(~pl.col(BLANK)).with_columns(pl.col(RAGGED).alias(REASON))
    needed = NEEDED | ({"target": "a number"} if tasks.by_name(settings.task).numeric else {})
    for role, column in columns.items():
        frame = frame.with_columns(read(role, settings, frame[role], column).alias(f"{role} read"))
        value = pl.col(f"{role} read")
        wrong = value.is_null() | (value.is_nan() if frame.schema[f"{role} read"].is_float() else False)
        holds = pl.format("holds '{}'", pl.col(role).cast(pl.String))
        given = pl.when(value.is_null()).then(pl.lit("is empty")).otherwise(holds)
        reason = pl.format("column '{}' {}; it needs {}", pl.lit(column), given, pl.lit(needed[role]))
        frame = refused(frame, wrong, reason)
    frame = frame.select(ROW, REASON, *[pl.col(f"{role} read").alias(role) for role in columns])
    if tasks.by_name(settings.task).classes:
        rows = pl.len().over("target", pl.col(REASON).is_null())
        found = pl.format("its class '{}' has {} usable rows; {} are needed", "target", rows, pl.lit(FEWEST))
        frame = refused(frame, rows < FEWEST, found)
    return frame, blanks


def read(role: str, settings: PrepareText, values: pl.Series, column: str) -> pl.Series:
    """Texts as they are, classes and groups as words, and numbers; null where empty, NaN where no number."""
    if role == "text":
        texts = values.cast(pl.String)
        return texts.set((texts.str.strip_chars() == "").fill_null(False), None)
    if role == "time":
        return moments(values, column, settings.missing_marks)
    if role == "group":
        return cells.read("category", values, None, settings.missing_marks)
    kind = "number" if tasks.by_name(settings.task).numeric else "category"
    return cells.read(kind, values, settings.target_format, settings.target_marks)


def moments(values: pl.Series, column: str, marks: list[str]) -> pl.Series:
    """Numbers where most cells are numbers, otherwise dates."""
    numbers = cells.read("number", values, None, marks)
    if 2 * (numbers.is_finite().sum() or 0) > values.count():
        return numbers
    dates = form_of(values.head(LOOK)) if values.dtype == pl.String else None
    if dates and dates.ambiguous:
        raise DataError(
            f"the dates of column {column!r}, such as {values.drop_nulls()[0]!r}, may be day/month or month/day.\n"
            "Write them as 2024-01-31 in the file, or set data.prepare.split.time to null"
        )
    return cells.read("date", values, dates.form if dates else None, marks)


def refused(frame: pl.DataFrame, where: pl.Expr, reason: pl.Expr) -> pl.DataFrame:
    """With `reason` in the rows that have none yet and are `where`."""
    fresh = pl.when(pl.col(REASON).is_null() & where).then(reason).otherwise(pl.col(REASON))
    return frame.with_columns(fresh.alias(REASON))


def as_corpus(frame: pl.DataFrame, rows: np.ndarray, settings: PrepareText, bad: list[Unusable]) -> Corpus:
    labels: list[str] = []
    if tasks.by_name(settings.task).numeric:
        targets = frame["target"].to_numpy().astype(np.float32)
    else:
        labels = sorted(frame["target"].unique())
        if len(labels) < 2:
            raise DataError(
                f"the target {settings.target!r} has {len(labels)} classes of {FEWEST} usable rows or more; 2 are "
                "needed.\nGive more rows, or name another data.prepare.target"
            )
        index = {label: place for place, label in enumerate(labels)}
        targets = np.array([index[label] for label in frame["target"]], np.int64)
    groups = frame["group"].to_list() if "group" in frame.columns else None
    times = frame["time"].to_numpy() if "time" in frame.columns else None
    return Corpus(frame["text"].to_list(), targets, rows, bad, labels, groups, times)


def unusable(table: Table, bad: pl.DataFrame, total: int) -> list[Unusable]:
    """With the place in the file of `total` rows, and all columns as JSON."""
    rows = bad[ROW].to_list()
    whole = table.frame.with_row_index(ROW).filter(pl.col(ROW).is_in(rows)).drop(ROW, RAGGED).collect()
    places = table.where(rows, total)
    return [
        Unusable(row, f"{where}: {reason}", json.dumps(record, ensure_ascii=False, default=str).encode())
        for row, where, reason, record in zip(rows, places, bad[REASON], whole.to_dicts(), strict=True)
    ]
