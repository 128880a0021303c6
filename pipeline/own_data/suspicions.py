"""What `ratchet init` warns of: columns that give the target away, and numbers far outside their column."""

import re

import numpy as np
import polars as pl

from pipeline.own_data.columns import Found
from pipeline.tables.profile import Profile

FEWEST = 30  # rows from which what one column tells of the target is no chance
REPEATED = 20  # rows beyond the first of each value
MANY = 20  # classes, beyond which no intervals of numbers are looked for
FAR, FAR_NINES = 20, 3  # interquartile ranges beyond the quartiles, from which a number, or one such as -999, is odd
NINES = re.compile(r"-?9{2,}")
SAME = 1 - 1e-9  # correlation of a column with the target that says that it is the target


def giveaways(columns: list[tuple[Found, Profile]], target: Profile, goal: Found) -> list[str]:
    """A warning for each column that alone tells the target of every one of the first rows."""
    numbers = target.first.to_numpy() if goal.type == "regression" else codes(target.head)
    said = []
    for found, one in columns:
        if found.type == "ignore" or len(one.head) != len(numbers):
            continue
        if repeats(one, numbers) or (found.type == "number" and follows(one, numbers, goal.type)):
            said.append(
                f"column {one.name!r} alone tells the target in every row: if it is not known beforehand, give it the "
                "type ignore in data.prepare.columns"
            )
    return said


def codes(classes: pl.Series) -> np.ndarray:
    """(N,) float64: 1, 2, … for each class by its name, NaN where it is missing."""
    return classes.rank("dense").cast(pl.Float64).to_numpy()


def repeats(one: Profile, wanted: np.ndarray) -> bool:
    """Whether each of the values, which come again, is always beside the same target."""
    if one.rows == len(wanted) and one.given - one.distinct < REPEATED:
        return False
    both = pl.DataFrame({"value": one.head, "target": wanted}).fill_nan(None).drop_nulls()
    values = both["value"].n_unique()
    if len(both) < FEWEST or len(both) - values < REPEATED or values < 2:
        return False
    return both.n_unique() == values


def follows(one: Profile, wanted: np.ndarray, task: str) -> bool:
    """Whether numbers are the target in another unit, or each class has numbers of its own."""
    numbers = one.first.to_numpy()
    given = np.isfinite(numbers) & ~np.isnan(wanted)
    numbers, target = numbers[given], wanted[given]
    if len(numbers) < FEWEST:
        return False
    return is_same(numbers, target) if task == "regression" else in_intervals(numbers, target)


def is_same(numbers: np.ndarray, target: np.ndarray) -> bool:
    if not np.ptp(numbers) or not np.ptp(target):
        return False
    return abs(float(np.corrcoef(numbers, target)[0, 1])) > SAME


def in_intervals(numbers: np.ndarray, classes: np.ndarray) -> bool:
    """Whether each class has numbers of its own, between those of the others."""
    if not 2 <= (number := len(np.unique(classes))) <= MANY:
        return False
    forwards, backwards = np.lexsort((classes, numbers)), np.lexsort((-classes, numbers))
    changes = [int((np.diff(classes[order]) != 0).sum()) for order in (forwards, backwards)]
    return changes == [number - 1, number - 1]


def outliers(columns: list[tuple[Found, Profile]]) -> list[str]:
    """A note for each column whose least or greatest number lies far outside the others, such as -999."""
    said = []
    for found, one in columns:
        if found.type != "number" or one.low is None or one.high is None:
            continue
        numbers = one.first.to_numpy()
        numbers = numbers[np.isfinite(numbers)]
        if len(numbers) < FEWEST:
            continue
        for value in far_values(numbers, (one.low, one.high)):
            rows = int((numbers == value).sum())
            others = numbers[numbers != value]
            said.append(
                f"column {one.name!r}: {value:,.15g} ({rows:,} of the first {len(numbers):,} rows) is far outside "
                f"{others.min():,.6g} to {others.max():,.6g}. Does it mean missing? "
                f"Then type the command again with --missing={value:.15g}"
            )
    return said


def far_values(numbers: np.ndarray, ends: tuple[float, float]) -> list[float]:
    """Those of the column's least and greatest number that lie far outside the quartiles of `numbers`."""
    lower, upper = np.quantile(numbers, [0.25, 0.75])
    found = []
    for value in ends:
        reach = (FAR_NINES if NINES.fullmatch(f"{value:.15g}") else FAR) * (upper - lower)
        if reach and not lower - reach <= value <= upper + reach and (numbers != value).any():
            found.append(value)
    return found
