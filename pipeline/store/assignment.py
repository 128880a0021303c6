"""Which row goes to which split: by shares, stratified by class, whole groups, by time, or into folds.

Everything is a pure function of the order of the rows; no random generator whose stream may change is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.project.errors import DataError
from pipeline.store.splits import Fold

Groups = np.ndarray | Sequence[str]

TRAIN, VAL, TEST, NONE = 0, 1, 2, -1
ATTEMPTS = 10  # shuffles of groups, until each split has a row of each class and about its share of them
NEAR = 0.05  # of all rows: how far from its share a split of groups may be


@dataclass(frozen=True)
class Units:
    """What goes to one side as a whole: rows, groups or points of time; in the order in which they are dealt out."""

    of_row: np.ndarray | None  # (N,) unit of each row; None: each row is one
    order: np.ndarray  # (U,) units, stratum after stratum
    stratum: np.ndarray  # (U,) of each in that order
    weight: np.ndarray  # (U,) rows of each in that order

    def sides_of_rows(self, sides: np.ndarray) -> np.ndarray:
        """(U,) sides in the order of dealing → (N,) sides of the rows."""
        of_unit = np.empty(len(self.order), np.int8)
        of_unit[self.order] = sides
        return of_unit if self.of_row is None else of_unit[self.of_row]


def assign(
    targets: np.ndarray | None,
    validation: float,
    test: float,
    groups: Groups | None = None,
    times: np.ndarray | None = None,
    fold: Fold | None = None,
) -> np.ndarray:
    """(N,) int8: 0 train, 1 val, 2 test; and −1, in folds by time, for rows later than the fold's validation.

    targets: (N,) class index to stratify by; floats, of a regression, are only counted (None: groups or times are).
    groups: (N,) of any sortable type; rows of one value stay together. times: (N,) numbers or dates, none missing; the
    latest rows are test, those before validation, and equal times stay together. Of both: each group counts as its
    latest time. A class of 3 rows or more is in every split; a smaller one may be in train alone.
    With a fold, test has the same rows as without. DataError where there are too few rows, groups or times.
    """
    classes = targets if targets is not None and targets.dtype.kind in "iu" else None
    rows = len(next(one for one in (targets, groups, times) if one is not None))
    least = np.inf
    for attempt in range(ATTEMPTS if groups is not None and times is None else 1):
        units = by_time(groups, times) if times is not None else shuffled(rows, classes, groups, attempt)
        refuse_too_few(units, groups, times, fold)
        dealt = cut(units, validation, test)
        badness = far_off(units.sides_of_rows(dealt), classes, validation, test)
        if badness < least:
            best, sides, least = units, dealt, badness
        if badness <= NEAR:
            break
    return best.sides_of_rows(sides if fold is None else refold(best, sides, fold, times is not None))


def far_off(sides: np.ndarray, classes: np.ndarray | None, validation: float, test: float) -> float:
    """How far the splits are from their shares, of 1; more than 1 where one of them lacks a class."""
    far = max(abs(np.mean(sides == TEST) - test), abs(np.mean(sides == VAL) - validation))
    return far + (classes is not None and not complete(sides, classes))


def shuffled(rows: int, classes: np.ndarray | None, groups: Groups | None, attempt: int) -> Units:
    """Rows or groups in a fixed order that looks random, class after class."""
    if groups is None:
        of_row, weight, stratum = None, np.ones(rows, np.int64), classes
    else:
        of_row, weight = np.unique(groups, return_inverse=True, return_counts=True)[1:]
        stratum = None if classes is None else leading_class(of_row, classes, len(weight))
    order = np.argsort(mixed(len(weight), attempt), kind="stable")
    if stratum is None:
        stratum = np.zeros(len(weight), np.int64)
    order = order[np.argsort(stratum[order], kind="stable")]
    return Units(of_row, order, stratum[order], weight[order])


def mixed(number: int, seed: int) -> np.ndarray:
    """(number,) uint64 that look random: SplitMix64 of 0, 1, … (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        mix: np.ndarray = np.arange(1, number + 1, dtype=np.uint64) + (np.uint64(seed) << 32)
        mix = mix * np.uint64(0x9E3779B97F4A7C15)
        mix = (mix ^ (mix >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
        mix = (mix ^ (mix >> 27)) * np.uint64(0x94D049BB133111EB)
    return mix ^ (mix >> 31)


def leading_class(of_row: np.ndarray, classes: np.ndarray, groups: int) -> np.ndarray:
    """(groups,) the class of which a group has the largest share; all 0 where a class leads fewer than 3 groups."""
    highest = int(classes.max()) + 1
    share = np.zeros(groups)
    leading = np.zeros(groups, np.int64)
    for index in range(highest):
        here = classes == index
        found = np.bincount(of_row[here], minlength=groups) / max(1, int(here.sum()))
        better = found > share
        share[better], leading[better] = found[better], index
    return leading if np.bincount(leading, minlength=highest).min() >= 3 else np.zeros(groups, np.int64)


def by_time(groups: Groups | None, times: np.ndarray) -> Units:
    """Points of time, or groups by their latest, from the last to the first."""
    if groups is None:
        of_row, weight = np.unique(times, return_inverse=True, return_counts=True)[1:]
        order = np.arange(len(weight))[::-1]
    else:
        of_row, weight = np.unique(groups, return_inverse=True, return_counts=True)[1:]
        latest = np.full(len(weight), times.min())
        np.maximum.at(latest, of_row, times)
        order = np.argsort(latest, kind="stable")[::-1]
    return Units(of_row, order, np.zeros(len(order), np.int64), weight[order])


def refuse_too_few(units: Units, groups: Groups | None, times: np.ndarray | None, fold: Fold | None) -> None:
    what = "groups" if groups is not None else "points of time" if times is not None else "rows"
    needed = 3 if fold is None else fold.number + 2
    if len(units.order) < needed:
        folds = f" with {fold.number} folds" if fold else ""
        raise DataError(
            f"the data has {len(units.order)} usable {what}; train, validation and test{folds} need {needed} or more.\n"
            "Give more data" + (", or choose another column in data.prepare.split" if what != "rows" else "")
        )


def cut(units: Units, validation: float, test: float) -> np.ndarray:
    """(U,) sides: of each stratum the first rows are test, the next validation, the rest train."""
    strata = int(units.stratum.max()) + 1
    members = np.bincount(units.stratum, minlength=strata)
    first = np.cumsum(members) - members  # of each stratum's units
    until = np.cumsum(units.weight)
    before = np.concatenate([[0], until])[first]
    total = np.bincount(units.stratum, units.weight, strata)
    middle = (until - units.weight / 2 - before[units.stratum]) / total[units.stratum]
    tests = np.bincount(units.stratum[middle < test], minlength=strata)
    vals = np.bincount(units.stratum[middle < test + validation], minlength=strata) - tests
    enough = members >= 3
    tests = np.where(enough, np.clip(tests, 1, members - 2), np.minimum(tests, members - 1))
    vals = np.where(enough, np.clip(vals, 1, members - tests - 1), np.minimum(vals, members - tests - 1)).clip(0)
    rank = np.arange(len(units.order)) - first[units.stratum]
    sides = np.zeros(len(units.order), np.int8)
    sides[rank < (tests + vals)[units.stratum]] = VAL
    sides[rank < tests[units.stratum]] = TEST
    return sides


def refold(units: Units, sides: np.ndarray, fold: Fold, ordered: bool) -> np.ndarray:
    """The same test; of the others, one fold is validation: of each stratum its share, or a later block of time."""
    rest = np.flatnonzero(sides != TEST)
    refolded = sides.copy()
    if not ordered:
        # the largest groups first, so that folds have about as many rows
        rest = rest[np.lexsort((-units.weight[rest], units.stratum[rest]))]
        refolded[rest] = np.where(np.arange(len(rest)) % fold.number == fold.index, VAL, TRAIN)
        return refolded
    rest = rest[::-1]  # from the first to the last
    until = np.cumsum(units.weight[rest])
    block = ((until - units.weight[rest] / 2) * (fold.number + 1) / until[-1]).astype(np.int64)
    refolded[rest] = np.where(block <= fold.index, TRAIN, np.where(block == fold.index + 1, VAL, NONE))
    return refolded


def complete(sides: np.ndarray, classes: np.ndarray) -> bool:
    number = int(classes.max()) + 1
    return all(np.bincount(classes[sides == side], minlength=number).all() for side in (TRAIN, VAL, TEST))
