"""Whether two samples of a feature differ: population stability index, and a test of whether that may be chance."""

from dataclasses import dataclass

import numpy as np

BINS = 10  # of numbers, by the quantiles of the reference
NAMED = 20  # categories, the most frequent of the reference; the others are one
OTHERS = "others"


@dataclass(frozen=True)
class Compared:
    name: str
    psi: float
    test: str
    statistic: float
    p: float
    bins: list[str]
    reference: list[float]  # share of each bin
    live: list[float]


def compared(name: str, reference: np.ndarray, live: np.ndarray) -> Compared:
    """Numbers by Kolmogorov and Smirnov's test; categories, and numbers of which some are missing, by chi-squared."""
    from scipy import stats

    bins, old, new = counted(reference, live)
    whole = reference.dtype.kind == "f" and not (np.isnan(reference).any() or np.isnan(live).any())
    if whole:
        found = stats.ks_2samp(reference, live, method="asymp")
        test, statistic, p = "Kolmogorov-Smirnov", found.statistic, found.pvalue
    else:
        table = np.stack([old, new])[:, old + new > 0]
        test = "chi-squared"
        statistic, p = stats.chi2_contingency(table)[:2] if table.shape[1] > 1 else (0.0, 1.0)
    shares = [(counts / counts.sum()).tolist() for counts in (old, new)]
    return Compared(name, psi(old, new), test, float(statistic), float(p), bins, *shares)


def psi(old: np.ndarray, new: np.ndarray) -> float:
    """Σ (q − p) ln(q / p) over the bins' shares, half a row added to each so that none is 0. Siddiqi, 2006."""
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (old, new))
    return float(((q - p) * np.log(q / p)).sum())


def counted(reference: np.ndarray, live: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The bins' names, and how many of each sample are in each; numbers that are missing are a bin of their own."""
    if reference.dtype.kind != "f":
        names, counts = np.unique(reference, return_counts=True)
        kept = names[np.argsort(-counts, kind="stable")][:NAMED].tolist()
        places = {name: place for place, name in enumerate(kept)}
        old, new = (
            np.bincount([places.get(one, len(kept)) for one in sample.tolist()], minlength=len(kept) + 1)
            for sample in (reference, live)
        )
        return [*kept, OTHERS], old, new
    inner = edges(reference[~np.isnan(reference)])
    old, new = (binned(sample, inner) for sample in (reference, live))
    shown = [f"{edge:.4g}" for edge in inner]
    bins = [b if a == b else f"{a} to {b}" for a, b in zip(["", *shown], [*shown, ""], strict=True)]
    return [*(name.strip() for name in bins), "none"], old, new


def edges(given: np.ndarray) -> np.ndarray:
    """Upper bounds of all bins but the last; a value that many rows share is a bin of its own."""
    if not len(given):
        return np.empty(0)
    bounds = np.unique(np.quantile(given, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    frequent = [bound for bound in bounds if (given == bound).mean() >= 1 / BINS]
    return np.union1d(bounds, np.nextafter(frequent, -np.inf))


def binned(sample: np.ndarray, inner: np.ndarray) -> np.ndarray:
    missing = np.isnan(sample)
    counts = np.bincount(np.searchsorted(inner, sample[~missing], side="left"), minlength=len(inner) + 1)
    return np.append(counts, missing.sum())
