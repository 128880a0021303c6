"""Whether a difference on the same rows is more than chance: the paired bootstrap, and an exact or randomisation test.

The rows are resampled, or the two models' answers to a row exchanged, by a seeded generator: the same values always
give the same numbers.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

CELLS = 256  # different rows up to which only their counts are drawn
MANY = 5000  # different values, of which 10,000 resamples take more than 0.2 s
NORMAL = 1.959964  # standard errors, for 95%
AT_ONCE = 1 << 20  # numbers drawn at once


def bootstrap(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(N, K) values of N rows → (resamples, K) means of N rows drawn with replacement. Efron, 1979."""
    rows, columns = values.shape
    generator = np.random.default_rng(seed)
    kinds, counts = np.unique(values, axis=0, return_counts=True)
    if len(kinds) <= CELLS:
        return generator.multinomial(rows, counts / rows, resamples) @ kinds / rows
    means = np.empty((resamples, columns))
    split = [np.ascontiguousarray(column) for column in values.T]
    for part in parts(resamples, rows):
        chosen = generator.integers(0, rows, (part.stop - part.start, rows))
        for place, column in enumerate(split):
            means[part, place] = column.take(chosen).mean(axis=1)
    return means


def interval(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The bootstrap's percentile interval of the mean of (N,) `values`."""
    return between(bootstrap(values[:, None].astype(np.float64), resamples, seed)[:, 0], confidence)


def wilson(right: np.ndarray | float, count: np.ndarray | int) -> tuple[Any, Any]:
    """The 95% interval of a share of which `right` of `count` were seen. Wilson, 1927.

    As scipy.stats.binomtest gives it, for many at a time, and without the half second that importing it takes.
    """
    share, reach = right / count, NORMAL**2 / count
    middle = (share + reach / 2) / (1 + reach)
    half = (NORMAL / (1 + reach)) * (share * (1 - share) / count + reach / (4 * count)) ** 0.5
    return np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)


def between(means: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return low, high


def p_value(differences: np.ndarray, gain: float, resamples: int, seed: int) -> float:
    """How likely a mean of (N,) `differences` as large as theirs is where the true one is `gain`: one-sided.

    With a gain of 0 and differences of −1, 0 and 1 (wrong and right) this is McNemar's exact test. Otherwise it is the
    randomisation test of Fisher, 1935: each difference from the gain keeps or changes its sign; 1 is added above and
    below, so that it is never 0 (Davison and Hinkley, 1997, 4.3). Differences of right and wrong from a gain other
    than 0 are not symmetric: a row won and a row lost are added, as Bonett and Price, 2012, do for their interval.
    """
    from scipy.special import bdtr

    whole = np.isin(differences, (-1, 0, 1)).all()
    if whole and gain == 0:
        won, lost = int((differences > 0).sum()), int((differences < 0).sum())
        return float(bdtr(lost, won + lost, 0.5)) if won else 1.0  # as many or fewer lost, of fair coins
    shifted = (np.append(differences, [1, -1]) if whole else differences) - gain
    sizes = np.abs(shifted[shifted != 0])
    least = shifted.sum() - 1e-9 * sizes.sum()  # sums that are equal but for their rounding count
    as_large = sum(int((sums >= least).sum()) for sums in exchanged(sizes, resamples, seed))
    return (1 + as_large) / (1 + resamples)


def exchanged(sizes: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """(n,) sums of (N,) `sizes`, each with a random sign; `resamples` of them in all."""
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1  # (256, 8)
    eights = np.pad(sizes, (0, -len(sizes) % 8)).reshape(-1, 8)
    table = (eights @ signs.T).reshape(-1)  # of each eight sizes the sums with all signs: one is looked up by a byte
    starts = 256 * np.arange(len(eights))
    generator = np.random.default_rng(seed)
    for part in parts(resamples, len(eights)):
        drawn = generator.integers(0, 256, (part.stop - part.start, len(eights)), dtype=np.uint8)
        yield table.take(starts + drawn).sum(axis=1)


def parts(resamples: int, rows: int) -> Iterator[slice]:
    step = max(1, AT_ONCE // max(1, rows))
    for start in range(0, resamples, step):
        yield slice(start, min(start + step, resamples))


def interval_of_mean(values: np.ndarray) -> tuple[float, float]:
    """The bootstrap's; of many different values the normal one, from which the bootstrap's differs little by then."""
    if len(values) <= MANY or len(np.unique(values)) <= 256:  # which the bootstrap draws at once
        return interval(values.astype(np.float64))
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
    return mean - NORMAL * error, mean + NORMAL * error
