"""What `ratchet init` infers from a table: its format, the type of each column, the task and the split."""

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config.data import FileFormat
from pipeline.data.dates import form_of
from pipeline.data.profile import Profile, is_plain, profile
from pipeline.data.reading import open_table, ragged
from pipeline.data.sniffing import look
from pipeline.encoders.cells import COMPACT
from pipeline.encoders.frames import nearest
from pipeline.project.errors import DataError

MOSTLY, NEARLY = 0.95, 0.99  # shares of cells: that are dates, that are numbers
LONG = 30  # bytes of a cell on average from which a text is free text
CLASSES = 20  # whole numbers of up to so many values are classes
MANY = 1000  # values of a category
LOOK = 10_000  # rows in which the form of dates is looked for
FREE_TEXT, GROUP = "free text", "an id that comes back"
ID = re.compile(r"(^|[_\W])(id|uuid|guid|index|key|no|nr)$|[a-z]I[dD]$|^unnamed|编号|序号|^column_1$", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A column: the type to use, and why, or what to know of it."""

    name: str
    type: str  # number, category, date or ignore; of the target its task
    reason: str
    missing: int  # cells
    distinct: int  # values; about, in a large file


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
    groups: list[str] = field(default_factory=list)  # columns by which rows may belong together
    times: list[str] = field(default_factory=list)  # columns of dates
    ragged: int = 0  # lines that are no rows of the table; preprocess sets them apart
    notes: list[str] = field(default_factory=list)  # how the file was understood, where that was not plain


def infer(path: Path, target: str | None, kind: str | None = None, header: bool | None = None) -> Inferred:
    """One pass over the whole file in a stream; DataError for a file that is no table, or has no such target."""
    form, notes = look(path, header)
    with tempfile.TemporaryDirectory(prefix="ratchet-") as scratch:
        table = open_table(path, form, Path(scratch))
        if target is None or target not in table.names:
            given = "no target was given" if target is None else f"{path} has no column {target!r}"
            if len(table.names) == 1 and form.name == "csv":
                given += ": its lines were not cut, since no comma, semicolon, tab, bar or blanks do so alike"
            raise DataError(
                f"{given}{nearest(target or '', table.names)}\nType: ratchet init --data {path} --target COLUMN"
            )
        profiles = profile(table)
        odd, first = ragged(table)
    notes += table.notes
    if odd:
        notes.append(f"{odd:,} lines are no rows of the table and are set apart, the first {first}")
    by_name = {one.name: one for one in profiles}
    goal = target_of(by_name.pop(target), path)
    columns = [column_of(one) for one in by_name.values()]
    texts = {one.name: by_name[one.name].bytes for one in columns if one.reason.startswith(FREE_TEXT)}
    if kind == "text" and not texts:
        texts = {one.name: one.bytes for one in by_name.values() if one.dtype == pl.String}
    text = max(texts, key=texts.get, default=None)
    kind = kind or ("text" if text and all(one.type == "ignore" for one in columns) else "table")
    refuse_useless(path, kind, columns, text)
    if not form.header:
        columns.insert(table.names.index(target), Found(target, "ignore", "the target", goal.missing, goal.distinct))
    dates = [one.name for one in columns if one.type == "date"]
    split = {"validation": 0.15, "test": 0.15, "group": None, "time": None}
    groups = [one.name for one in columns if one.reason.startswith(GROUP)]
    return Inferred(kind, form, profiles[0].rows, goal, goal.type, columns, text, split, groups, dates, odd, notes)


def refuse_useless(path: Path, kind: str, columns: list[Found], text: str | None) -> None:
    if kind == "text" and text is None:
        raise DataError(f"{path} has no column of text besides the target; a table of numbers is --kind table")
    if kind == "table" and all(one.type == "ignore" for one in columns):
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in columns) or "the target stands alone"
        raise DataError(f"{path} has no column to learn from besides the target. {reasons}")


def target_of(one: Profile, path: Path) -> Found:
    """As type the task."""
    missing = one.rows - one.given
    if one.distinct < 2:
        value = f"{one.example!r} in every row" if one.given else "empty in every row"
        raise DataError(f"the target {one.name!r} of {path} is {value}; there is nothing to learn. Name another column")
    gaps = f"; {missing:,} rows without one are set apart" if missing else ""
    if one.numbers >= NEARLY * one.given and one.dtype != pl.Boolean:
        few = one.distinct == 2 or (one.whole == one.numbers and one.distinct <= min(CLASSES, one.given / 3))
        if not few:
            reason = f"about {one.distinct:,} different numbers, {one.low:g} to {one.high:g}{gaps}"
            return Found(one.name, "regression", reason, missing, one.distinct)
    elif one.distinct > max(2, one.given / 2) or one.dtype.is_temporal():
        raise DataError(
            f"the target {one.name!r} of {path} has {one.distinct:,} different values in {one.given:,} rows, such as "
            f"{one.example!r}: neither classes nor numbers.\nName another column, or write numbers as 1234.5"
        )
    reason = ("binary: 2 classes" if one.distinct == 2 else f"{one.distinct:,} classes") + gaps
    return Found(one.name, "classification", reason, missing, one.distinct)


def column_of(one: Profile) -> Found:
    kind, reason = of_compact_dates(one) or of_numbers(one) or of_dates(one) or of_words(one)
    return Found(one.name, kind, reason, one.rows - one.given, one.distinct)


def of_numbers(one: Profile) -> tuple[str, str] | None:
    if not is_plain(one.dtype):
        return "ignore", f"values of type {one.dtype}"
    if not one.given:
        return "ignore", "all cells are empty"
    if one.distinct == 1 and one.given == one.rows:
        return "ignore", f"constant: always {one.example!r}"
    if one.commas >= 0.9:
        return "ignore", f"numbers with decimal commas or thousands separators, such as {one.example!r}: write 1234.5"
    if one.numbers < NEARLY * one.given or one.dtype == pl.Boolean or one.zeros or one.distinct == 1:
        return None
    if one.whole == one.given and one.given >= 10:
        in_a_row = one.high - one.low + 1 <= one.given / MOSTLY
        if one.all_different and (in_a_row or ID.search(one.name)):
            return "ignore", "an id: nearly all values are different"
        if ID.search(one.name) and one.distinct > one.given / 20:
            return "ignore", f"{GROUP}: {one.distinct:,} values in {one.given:,} rows; may be the group of the split"
    odd = one.given - one.numbers
    return "number", f"{odd:,} cells hold no number: such rows are set apart" if odd else ""


def of_compact_dates(one: Profile) -> tuple[str, str] | None:
    """20240131 in every cell."""
    if one.dtype != pl.String or one.whole < max(one.given, 1) or one.distinct < 2:
        return None
    if not 19000101 <= one.low <= one.high <= 21001231:
        return None
    dates = form_of(one.head.head(LOOK))
    return ("date", f"written as {dates.shown}") if dates.form == COMPACT and dates.share == 1 else None


def of_dates(one: Profile) -> tuple[str, str] | None:
    if one.dtype == pl.Date or one.dtype.base_type() == pl.Datetime:
        return "date", ""
    if one.dtype != pl.String or one.distinct == 1 or one.numbers > one.given / 2:
        return None
    dates = form_of(one.head.head(LOOK))
    if dates.share < MOSTLY:
        return None
    if dates.ambiguous:
        return "ignore", f"dates whose day and month can't be told apart, such as {one.example!r}: {dates.advice}"
    return "date", f"written as {dates.shown}" if dates.form else ""


def of_words(one: Profile) -> tuple[str, str]:
    if one.bytes >= LONG and (one.all_different or one.distinct > one.given / 2):
        return "ignore", f"{FREE_TEXT}: long and mostly different"
    if one.all_different:
        return "ignore", "an id: nearly all values are different"
    if ID.search(one.name) and one.distinct > one.given / 20 and one.given >= 10:
        return "ignore", f"{GROUP}: {one.distinct:,} values in {one.given:,} rows; may be the group of the split"
    if one.zeros and one.numbers == one.given:
        return "category", "numbers with leading zeros are codes"
    if one.numbers > one.given / 2 and one.dtype == pl.String and one.distinct > 1:
        return "category", f"numbers in {one.numbers:,} of {one.given:,} cells, words in the others"
    return "category", f"{one.distinct:,} values; the {MANY:,} most frequent are kept" if one.distinct > MANY else ""
