"""Figures of a regression: points where they are few, their density where they are many."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.curves import edges
from pipeline.evaluation.figures.style import BAD, GOOD, GREY, curves

if TYPE_CHECKING:
    from pipeline.evaluation.regression import Result

FEW = 3000  # rows that are drawn as points
BINS = 40


def draw(result: "Result", history: list[dict[str, Any]], best_epoch: int) -> dict[str, Figure]:
    return {
        "predicted": predicted(result),
        "residuals": residuals(result),
        "errors": errors(result),
        "curves": curves(history, best_epoch, "mae"),
    }


def number(value: float) -> str:
    return f"{value:.4g}"


def predicted(result: "Result") -> Figure:
    figure = Figure((6.4, 6), layout="constrained")
    axes = figure.subplots()
    points(figure, axes, result.targets.numpy(), result.predicted.numpy())
    axes.axline((float(result.targets[0]),) * 2, slope=1, color=BAD, lw=1, ls=":", label="perfect")
    r2 = result.values.get("test/r2")
    score = f"RMSE {number(result.values['test/rmse'])}" if r2 is None else f"R² {r2:.4f}"
    axes.set(title=f"Predicted by actual value: {score}", xlabel="actual", ylabel="predicted")
    axes.legend(loc="upper left")
    return figure


def residuals(result: "Result") -> Figure:
    figure = Figure((7.2, 5), layout="constrained")
    axes = figure.subplots()
    points(figure, axes, result.predicted.numpy(), result.residuals.numpy())
    axes.axhline(0, color=BAD, lw=1, ls=":")
    mean = number(float(result.residuals.mean()))
    axes.set_title(f"Residuals: RMSE {number(result.values['test/rmse'])}, mean {mean}")
    axes.set(xlabel="predicted", ylabel="residual: actual − predicted")
    return figure


def points(figure: Figure, axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    if len(x) <= FEW:
        axes.scatter(x, y, s=14, alpha=0.5, color=GOOD, linewidths=0)
        return
    found = axes.hexbin(x, y, gridsize=60, bins="log", cmap="Blues", mincnt=1, linewidths=0)
    bar = figure.colorbar(found, shrink=0.8, label="rows")
    bar.outline.set_visible(False)


def errors(result: "Result") -> Figure:
    """Of the middle 99%, for one row that is far off would leave all others in one bar."""
    figure = Figure((7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    given = result.residuals.numpy()
    low, high = np.quantile(given, 0.005, method="lower"), np.quantile(given, 0.995, method="higher")
    within = given[(given >= low) & (given <= high)]
    axes.hist(within, edges(within, BINS).tolist(), color=GOOD)
    axes.axvline(0, color=BAD, lw=1, ls=":")
    for end in np.quantile(given, (0.05, 0.95)):
        axes.axvline(end, color=GREY, lw=1)
    half, nine = np.quantile(np.abs(given), (0.5, 0.9))
    axes.set_title(f"Errors: half are below {number(half)}, 90% below {number(nine)}")
    axes.set(xlabel="residual: actual − predicted (grey: 5% and 95%)", ylabel="rows")
    return figure
