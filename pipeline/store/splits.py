"""Splits of a dataset, and what must hold between them before anything is trained."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.project.errors import DataError

NAMES = ("train", "val", "test")
KINDS, SOME = 10, 3  # of faults, and rows of each, that a message names


@dataclass(frozen=True)
class Unusable:
    """A row that can't be used, whole, with the reason."""

    row: int
    reason: str
    record: bytes
    kind: str = ""  # of the reason, without the names and numbers of this row: what faults are counted by


@dataclass(frozen=True)
class Split:
    """Encoded rows; arrays may be memory-mapped."""

    inputs: np.ndarray  # (N, …), as stored
    targets: np.ndarray  # (N,) int64, index of the class or item; float32 in a regression
    rows: np.ndarray  # (N,) int64, row in the raw file, from 0; of train −1 and below: of data/feedback
    quarantined: list[Unusable]
    slices: dict[str, list[str]] = field(default_factory=dict)  # name → the value of each row; of test alone

    def per_class(self, classes: int) -> list[int]:
        return np.bincount(self.targets, minlength=classes).tolist() if classes else []


@dataclass(frozen=True)
class Fold:
    """The `index`-th of `number` folds: its part of train and validation together is validated on, the rest trains."""

    index: int
    number: int


@dataclass(frozen=True)
class Prepared:
    """What a kind of data makes of its raw files."""

    splits: dict[str, Split]  # train, val, test
    encoder: dict[str, Any]  # what pipeline/kinds/KIND needs to turn records into inputs; travels in the bundle
    statistics: dict[str, Any]  # fitted on train alone
    examples: Any  # two raw records of test as a user would give them, in JSON's types
    files: dict[str, Path] = field(default_factory=dict)  # more that training needs: name in data/processed → source
    feedback: dict[str, Any] | None = None  # of the labels from use that train got
    dropped: dict[str, int] = field(default_factory=dict)  # rule → rows that it took out, neither kept nor quarantined


def counts(splits: Mapping[str, Split]) -> dict[str, int]:
    kept = sum(len(split.rows) for split in splits.values())
    quarantined = sum(len(split.quarantined) for split in splits.values())
    return {"in": kept + quarantined, "kept": kept, "quarantined": quarantined}


def account(counts: Mapping[str, Any]) -> str:
    """ "2,000 rows in = 1,990 kept + 7 set apart + 3 dropped (blank 1, duplicates 2)"."""
    line = f"{counts['in']:,} rows in = {counts['kept']:,} kept + {counts['quarantined']:,} set apart"
    if dropped := counts.get("dropped"):
        rules = ", ".join(f"{rule} {rows:,}" for rule, rows in dropped.items())
        line += f" + {sum(dropped.values()):,} dropped ({rules})"
    return line


def told_equal(equal: Mapping[str, int]) -> str:
    """Of rows that are equal to an earlier one, and of those among them whose earlier one is on another side."""
    line = f"rows that are equal to an earlier one: {equal['rows']:,}, kept on one side of the split"
    if equal["apart"]:
        line += f" but for {equal['apart']:,}, whose class has too few different rows to be in each split so"
    return line


def accounted(prepared: Prepared) -> dict[str, Any]:
    """in = kept + quarantined + those that each rule dropped."""
    found, dropped = counts(prepared.splits), {rule: rows for rule, rows in prepared.dropped.items() if rows}
    if not dropped:
        return found
    return found | {"in": found["in"] + sum(dropped.values()), "dropped": dropped}


def faults(splits: Mapping[str, Split]) -> dict[str, int]:
    """How many rows were set apart for each kind of reason, the most frequent first."""
    return dict(Counter(kind_of(one) for split in splits.values() for one in split.quarantined).most_common(KINDS))


def check(splits: Mapping[str, Split], labels: list[str], max_quarantined: float) -> None:
    """What must hold before anything is trained: few quarantined rows, no leak between splits, no empty class."""
    refuse_too_many_unusable(splits, max_quarantined)
    refuse_leaks(splits)
    if labels:
        refuse_missing_classes(splits, labels)


def refuse_too_many_unusable(splits: Mapping[str, Split], most: float) -> None:
    total = counts(splits)
    if total["quarantined"] <= most * total["in"]:
        return
    share = total["quarantined"] / total["in"]
    faults = "\n".join(by_kind({name: split.quarantined for name, split in splits.items()}))
    raise DataError(
        f"{total['quarantined']:,} of {total['in']:,} rows ({share:.2%}) can't be used; data.prepare.max_quarantined "
        f"allows {most:.2%}.\n{faults}\n"
        f"Correct the data, or accept the loss: set data.prepare.max_quarantined to {least_share(share)} in params.yaml"
    )


def least_share(share: float) -> float:
    """Of four digits, rounded up: as data.prepare.max_quarantined it lets pass."""
    return math.ceil(share * 1e4) / 1e4


def by_kind(unusable: Mapping[str, Sequence[Unusable]]) -> list[str]:
    """Lines: how many rows have each kind of fault, the most frequent first, and some of each. By name of the split."""
    kinds: dict[str, list[str]] = {}
    for name, rows in unusable.items():
        for one in rows:
            where = "" if one.kind else f"row {one.row} of {name}: "
            kinds.setdefault(kind_of(one), []).append(where + one.reason)
    ordered = sorted(kinds.items(), key=lambda found: -len(found[1]))
    lines = []
    for kind, reasons in ordered[:KINDS]:
        such = ", such as" if len(reasons) > SOME else ""
        lines += [f"  {len(reasons):,} × {kind}{such}", *(f"      {reason}" for reason in reasons[:SOME])]
    left = sum(len(reasons) for _, reasons in ordered[KINDS:])
    return [*lines, f"  {left:,} of other kinds"] if left else lines


def kind_of(one: Unusable) -> str:
    """Its kind, or its reason without the place, the numbers and what is quoted."""
    return one.kind or re.sub(r"\d[\d.,]*|(['\"]).*?\1", "…", one.reason.partition(": ")[2] or one.reason)


def refuse_leaks(splits: Mapping[str, Split]) -> None:
    """Stops when one input stands in two splits, whatever its labels: it would be scored after it was learned."""
    seen: dict[bytes, tuple[str, int]] = {}
    leaks = []
    for name, split in splits.items():
        for row, record in zip(split.rows.tolist(), np.ascontiguousarray(split.inputs), strict=True):
            first = seen.setdefault(hashlib.blake2b(record, digest_size=16).digest(), (name, row))
            if first[0] != name:
                leaks.append(f"{first[0]} row {first[1]} = {name} row {row}")
    if leaks:
        raise DataError(
            f"{len(leaks):,} rows stand in two splits, the first of them {leaks[0]} (rows of the published files).\n"
            "A model would be scored on what it has learned. Remove them at the source, give the new files' sums in\n"
            "data.source.files, and type: dvc repro"
        )


def refuse_missing_classes(splits: Mapping[str, Split], classes: list[str]) -> None:
    for name, split in splits.items():
        per_class = split.per_class(len(classes))
        if absent := [label for label, count in zip(classes, per_class, strict=True) if not count]:
            raise DataError(
                f"{name} has no row of class {', '.join(absent)}; each split needs all of {', '.join(classes)}.\n"
                f"Rows found in {name}: {dict(zip(classes, per_class, strict=True))}.\n"
                "Use fuller files, or another share of validation or test under data.prepare in params.yaml"
            )


def boundary(rows: int, validation: int) -> int:
    """The first row of val, the last `validation` rows of the published train split."""
    if validation >= rows:
        raise DataError(
            f"data.prepare.validation is {validation:,}, but the published train split has {rows:,} rows; "
            f"allowed are 1 to {rows - 1:,}.\nSet it in params.yaml"
        )
    return rows - validation
