"""What `ratchet init` infers from a table: its format, the type of each column, the task and the split."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config.data import FileFormat
from pipeline.kinds.table import cells
from pipeline.kinds.table.frames import nearest
from pipeline.own_data import suspicions, targets
from pipeline.own_data.columns import FREE_TEXT, GROUP, Found, column_of, repeated
from pipeline.project.errors import DataError
from pipeline.project.files import quoted
from pipeline.tables.profile import Profile, profile
from pipeline.tables.reading import Table, open_table, ragged
from pipeline.tables.sniffing import look


@dataclass(frozen=True)
class Inferred:
    kind: str  # table or text
    format: FileFormat
    rows: int
    target: Found
    task: str
    columns: list[Found]  # in the file's order; the target is among them only where the file has no header
    text: str | None  # the longest column of free text
    split: dict[str, Any]  # validation, test, group, time
    marks: list[str]  # words that stand for a missing cell
    target_marks: list[str]  # the same in the target's column
    target_met: list[str]  # such words that stand there, in lower case
    leading: float  # share of the most frequent class
    groups: list[str] = field(default_factory=list)  # columns by which rows may belong together
    times: list[str] = field(default_factory=list)  # columns of dates
    ragged: int = 0  # lines that are no rows of the table; preprocess sets them apart
    notes: list[str] = field(default_factory=list)  # how the file was understood, where that was not plain
    warnings: list[str] = field(default_factory=list)
    outliers: list[str] = field(default_factory=list)  # notes on numbers far outside their column


def infer(
    path: Path,
    target: str | None,
    kind: str | None = None,
    task: str | None = None,
    marks: Sequence[str] = cells.MISSING,
    header: bool | None = None,
) -> Inferred:
    """A few passes over the whole file in streams; DataError for a file that is no table, or has no such target."""
    form, notes = look(path, header)
    with tempfile.TemporaryDirectory(prefix="ratchet-") as scratch:
        table = open_table(path, form, Path(scratch))
        target = require_target(path, table, target)
        by_name = {one.name: one for one in profile(table, marks)}
        plain = by_name.pop(target)
        wanted, target_marks = targets.with_classes(table, plain, marks)
        odd, first = ragged(table)
    notes += table.notes
    if odd:
        notes.append(f"{odd:,} lines are no rows of the table and are set apart, the first {first}")
    met = {mark.lower(): rows for mark, rows in plain.marks}
    goal = targets.target_of(wanted, path, task)
    columns = [column_of(one, table.names[0] == one.name) for one in by_name.values()]
    text = longest_text(columns, by_name, kind)
    kind = kind or ("text" if text and all(one.type == "ignore" for one in columns) else "table")
    refuse_useless(path, kind, columns, text)
    pairs = [(one, by_name[one.name]) for one in columns] if kind == "table" else []
    if not form.header:
        columns.insert(table.names.index(target), Found(target, "ignore", "the target", goal.missing, goal.distinct))
    return Inferred(
        kind=kind,
        format=form,
        rows=wanted.rows,
        target=goal,
        task=goal.type,
        columns=columns,
        text=text,
        split={"validation": 0.15, "test": 0.15, "group": None, "time": None},
        marks=[*marks, *words_for_missing(pairs, marks)],
        target_marks=target_marks,
        target_met=list(met),
        leading=targets.leading_share(wanted) if goal.type == "classification" else 0.0,
        groups=[one.name for one in columns if one.reason.startswith(GROUP)],
        times=[one.name for one in columns if one.type == "date"],
        ragged=odd,
        notes=notes,
        warnings=[*targets.doubts(wanted, goal, met, target_marks), *suspicions.giveaways(pairs, wanted, goal)],
        outliers=suspicions.outliers(pairs),
    )


def require_target(path: Path, table: Table, target: str | None) -> str:
    if target in table.names:
        return target
    given = "no target was given" if target is None else f"{path} has no column {target!r}"
    if len(table.names) == 1 and table.format.name == "csv":
        given += ": its lines were not cut, since no comma, semicolon, tab, bar or blanks do so alike"
    raise DataError(
        f"{given}{nearest(target or '', table.names)}\nType: ratchet init --data {quoted(path)} --target COLUMN"
    )


def longest_text(columns: list[Found], by_name: dict[str, Profile], kind: str | None) -> str | None:
    """The column of free text whose cells are the longest; of texts alone any column of words will do."""
    texts = {one.name: by_name[one.name].bytes for one in columns if one.reason.startswith(FREE_TEXT)}
    if kind == "text" and not texts:
        texts = {one.name: one.bytes for one in by_name.values() if one.dtype == pl.String}
    return max(texts, key=texts.__getitem__, default=None)


def words_for_missing(pairs: list[tuple[Found, Profile]], marks: Sequence[str]) -> list[str]:
    """Words that come back among the numbers of a column, as they are written: they stand for a missing cell there."""
    new: list[str] = []
    for word in (word for one, about in pairs if one.type == "number" for word, _ in repeated(about)):
        if word not in cells.marks_of((*marks, *new)).words:
            new.append(word)
    return new


def refuse_useless(path: Path, kind: str, columns: list[Found], text: str | None) -> None:
    if kind == "text" and text is None:
        raise DataError(f"{path} has no column of text besides the target; a table of numbers is --kind table")
    if kind == "table" and all(one.type == "ignore" for one in columns):
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in columns) or "the target stands alone"
        raise DataError(f"{path} has no column to learn from besides the target. {reasons}")
