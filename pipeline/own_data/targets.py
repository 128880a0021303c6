"""What `ratchet init` makes of the column to predict: classes or numbers, and which missing marks are classes in it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import polars as pl

from pipeline.own_data.columns import CLASSES, LABEL, MOSTLY, Found, holds_numbers
from pipeline.project.errors import DataError
from pipeline.tables.profile import Profile, profile
from pipeline.tables.reading import RAGGED, Table

MAY_BE_CLASSES = ("none", "nil", "missing", "unknown", "?", "-", "--", ".")  # the other marks are what programs write
FREQUENT = 0.05  # share of the rows from which such a mark is a class
FEWEST = 3  # rows of a class
LEADING = 0.8  # share of the rows from which one class is the most of them


def with_classes(table: Table, one: Profile, marks: Sequence[str]) -> tuple[Profile, list[str]]:
    """The target's profile where a frequent mark such as "-" counts as a class, and the marks that are left."""
    classes = {mark.lower() for mark, rows in one.marks if mark.lower() in MAY_BE_CLASSES and is_frequent(rows, one)}
    left = [mark for mark in marks if mark.lower() not in classes]
    if not classes or holds_numbers(one):
        return one, list(marks)
    alone = replace(table, names=[one.name], frame=table.frame.select(one.name, RAGGED))
    return replace(profile(alone, left)[0], rows=one.rows), left


def is_frequent(rows: int, one: Profile) -> bool:
    return rows >= max(FEWEST, FREQUENT * len(one.head))


def target_of(one: Profile, path: Path, task: str | None) -> Found:
    """As type the task, which `task` says or the values do."""
    missing = one.rows - one.given
    if one.distinct < 2:
        value = f"{one.example!r} in every row" if one.given else "empty in every row"
        raise DataError(f"the target {one.name!r} of {path} is {value}; there is nothing to learn. Name another column")
    numeric = holds_numbers(one) and one.dtype != pl.Boolean
    if task == "regression" and not numeric:
        raise DataError(
            f"the target {one.name!r} of {path} holds no numbers but words, such as {one.example!r}; "
            "a regression predicts numbers.\nType: --task classification, or name another column"
        )
    if task != "classification" and numeric:
        few = one.distinct == 2 or (one.whole == one.numbers and one.distinct <= min(CLASSES, one.given / 3))
        if task == "regression" or not few:
            return Found(one.name, "regression", numbers_reason(one, task), missing, one.distinct, one.form)
    refuse_too_many(one, path, numeric)
    return Found(one.name, "classification", classes_reason(one, numeric, task), missing, one.distinct)


def numbers_reason(one: Profile, task: str | None) -> str:
    reason = f"about {one.distinct:,} different numbers, {one.low:g} to {one.high:g}"
    if one.form:
        reason += f", written as {one.form}"
    if one.rival:
        reason += f"; {one.example!r} may be meant as in {one.rival}: then set data.prepare.target_format to it"
    if task is None and one.whole == one.numbers and one.distinct <= one.given / 5:
        reason += "; if they are classes: --task classification"
    return reason


def classes_reason(one: Profile, numeric: bool, task: str | None) -> str:
    reason = "binary: 2 classes" if one.distinct == 2 else f"{one.distinct:,} classes"
    if numeric and task is None and one.distinct > 2:
        reason += ", since they are few whole numbers; if the number is to be predicted: --task regression"
    return reason


def refuse_too_many(one: Profile, path: Path, numeric: bool) -> None:
    if one.distinct <= max(2, one.given / 2) and not one.dtype.is_temporal():
        return
    what = "too many for classes" if numeric else "neither classes nor numbers"
    advice = "Type: --task regression" if numeric else "Name another column, or write numbers as 1234.5"
    raise DataError(
        f"the target {one.name!r} of {path} has {one.distinct:,} different values in {one.given:,} rows, such as "
        f"{one.example!r}: {what}.\n{advice}"
    )


def leading_share(one: Profile) -> float:
    """Of the most frequent class, in the first rows."""
    given = one.head.drop_nulls()
    if not len(given):
        return 0.0
    counts = given.rename("value").value_counts(name="rows")["rows"]
    return float(cast("int", counts.max())) / len(given)  # a count


def doubts(one: Profile, found: Found, met: Mapping[str, int], marks: Sequence[str]) -> list[str]:
    """What a person should know of the target before it is trusted; `met`: words of a missing cell, and how often."""
    said = [
        f"{mark!r} stands in {rows:,} rows of the target and is taken as a class; if it means missing, add it to "
        "data.prepare.target_marks"
        for mark, rows in met.items()
        if mark not in marks
    ]
    said += [
        f"{mark!r} stands in {rows:,} rows of the target and is taken as missing; if it is a class, take it out of "
        "data.prepare.target_marks"
        for mark, rows in met.items()
        if mark in marks and found.type == "classification" and is_frequent(rows, one)
    ]
    if found.type == "regression" and one.whole == one.numbers and one.distinct >= MOSTLY * one.given and one.rising:
        said.append(f"the target {one.name!r} numbers the rows, as an id does: it can hardly be predicted")
    elif found.type == "regression" and is_id(one):
        said.append(f"the target {one.name!r} looks like an id: nearly all values are different whole numbers")
    if found.type == "classification":
        values = one.head.drop_nulls().unique().sort().to_list()
        seen: dict[str, str] = {}
        for value in values:
            first = seen.setdefault(value.casefold().strip(), value)
            if first != value:
                said.append(f"the classes {first!r} and {value!r} differ by case alone; they are learned as two")
    return said


def is_id(one: Profile) -> bool:
    return one.whole == one.numbers and bool(LABEL.search(one.name)) and one.distinct > one.given / 20
