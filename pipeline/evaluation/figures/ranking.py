"""Figures of a recommender."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.evaluation.figures.style import BAD, GOOD, GREY, THOUSANDS, curves, share

if TYPE_CHECKING:
    from pipeline.evaluation.ranking import Result

MOST = 100  # ranks of the hit rate's curve
BINS = 30


def draw(result: "Result", history: list[dict[str, Any]], best_epoch: int) -> dict[str, Figure]:
    return {
        "hit_rate": hit_rate(result),
        "ranks": ranks(result),
        "popularity": popularity(result),
        "curves": curves(history, best_epoch, "ndcg_10"),
    }


def hit_rate(result: "Result") -> Figure:
    figure = Figure((7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    most = min(MOST, len(result.labels))
    k = np.arange(1, most + 1)
    axes.plot(k, result.hit_rates(most).numpy(), color=GOOD, lw=1.6, label="the model")
    axes.plot(k, k / len(result.labels), color=GREY, ls=":", label="any items")
    axes.plot(10, result.values["test/hr_10"], "o", ms=8, mfc="none", color=BAD)
    hits, gain = (result.values[f"test/{name}_10"] for name in ("hr", "ndcg"))
    axes.set_title(f"Hit rate: {share(hits)} at 10, NDCG@10 {gain:.4f}")
    axes.set(xlabel="k: length of the list", ylabel="share of rows whose item is in it", xlim=(0, most))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
    return figure


def ranks(result: "Result") -> Figure:
    figure = Figure((7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    items = len(result.labels)
    edges = np.unique(np.round(np.geomspace(1, items + 1, BINS))) - 0.5  # of whole ranks
    axes.hist(result.ranks.numpy(), edges.tolist(), color=GOOD)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(THOUSANDS)
    median = int(result.ranks.median())
    axes.axvline(median, color=BAD, lw=1, label=f"median, {median:,}")
    axes.set(title=f"Ranks: median {median:,} of {items:,}", xlabel="rank of the item (log scale)", ylabel="rows")
    axes.legend(loc="upper left")
    return figure


def popularity(result: "Result") -> Figure:
    """Whether it recommends what everyone sees anyway."""
    figure = Figure((7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    seen = result.popularity.numpy()
    given = {"recommended": seen[result.top[result.top >= 0].numpy()], "targets": seen[result.targets.numpy()]}
    edges = np.geomspace(1, seen.max() + 2, BINS)
    for (name, values), colour in zip(given.items(), (GOOD, BAD), strict=True):
        weights = np.full(len(values), 1 / max(1, len(values)))
        axes.hist(values + 1, edges.tolist(), weights=weights, histtype="step", lw=1.6, color=colour, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(THOUSANDS)
    middle = {name: np.median(values) if len(values) else 0 for name, values in given.items()}
    axes.set_title(f"Popularity: median {middle['recommended']:,.0f} recommended, {middle['targets']:,.0f} targets")
    axes.set(xlabel="histories that hold the item, and one (log scale)", ylabel="share of items")
    axes.legend(loc="upper left")
    return figure
