"""Figures of a classifier; with many classes, those where it is weakest."""

from typing import TYPE_CHECKING, Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from pipeline.evaluation.figures.pictures import pictures
from pipeline.evaluation.figures.style import GOOD, GREY, THOUSANDS, curves, share, shown
from pipeline.evaluation.statistics import wilson

if TYPE_CHECKING:
    from pipeline.evaluation.classification import Result

COUNTED = 20  # classes up to which a confusion matrix has room for its counts
LISTED = 10  # classes that a legend lists, the weakest first


def draw(result: "Result", history: list[dict[str, Any]], best_epoch: int, inputs: Tensor) -> dict[str, Figure]:
    """`pictures` is among them if the inputs are: uint8 (N, 1 or 3, H, W)."""
    figures = {
        "confusion": confusion(result),
        "roc": roc(result),
        "pr": pr(result),
        "curves": curves(history, best_epoch, "accuracy"),
        "calibration": calibration(result),
    }
    if inputs.dtype == torch.uint8 and inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        figures["pictures"] = pictures(result, inputs)
    return figures


def confusion(result: "Result") -> Figure:
    classes, labels = len(result.labels), shown(result.labels)
    figure = Figure((7.2, 6.2), layout="constrained")
    axes = figure.subplots()
    recall = result.confusion / result.confusion.sum(dim=1, keepdim=True)  # (C, C)
    image = axes.imshow(recall.numpy(), cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # the root shows rare mistakes
    axes.grid(False)
    axes.spines[:].set_visible(False)
    accuracy, total = result.values["test/accuracy"], len(result.targets)
    axes.set_title(f"Confusion: accuracy {share(accuracy)}, {len(result.wrong):,} of {total:,} wrong")
    axes.set(xlabel="predicted", ylabel="actual")
    if classes <= COUNTED:
        axes.set_xticks(range(classes), labels, rotation=90 if max(map(len, labels)) > 4 else 0)
        axes.set_yticks(range(classes), labels)
        write_counts(axes, result.confusion, recall)
    else:
        axes.set(xlabel=f"predicted class, by its number in classes.csv from 0 to {classes - 1}", ylabel="actual class")
    bar = figure.colorbar(image, shrink=0.8, label="share of the actual class", format=PercentFormatter(1, 0))
    bar.set_ticks([0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.outline.set_visible(False)
    return figure


def write_counts(axes: Axes, counts: Tensor, shares: Tensor) -> None:
    for actual, predicted in counts.nonzero().tolist():
        colour = "white" if shares[actual, predicted] > 0.35 else "black"
        size = 10 if len(counts) <= LISTED else 7
        text = f"{counts[actual, predicted]:,}"
        axes.text(predicted, actual, text, ha="center", va="center", color=colour, fontsize=size)


def roc(result: "Result") -> Figure:
    """The whole square on the left; the same curves by the logarithm of false alarms, where good models differ."""
    figure = Figure((10, 4.6), layout="constrained")
    whole, closer = figure.subplots(1, 2)
    for index, colour, name in styled(result, "auroc"):
        fpr, tpr = (rates.numpy() for rates in result.roc(index))
        for axes in (whole, closer):
            axes.plot(fpr, tpr, color=colour, lw=1.4, label=name)
    whole.axline((0, 0), slope=1, color=GREY, ls=":", lw=1)
    whole.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1), ylim=(0, 1.02))
    closer.set(
        xlabel="false positive rate (log scale)", xscale="log", xlim=(0.5 / len(result.targets), 1), ylim=(0, 1.02)
    )
    figure.legend(*closer.get_legend_handles_labels(), title="AUROC   class", loc="outside right center")
    title = f"ROC, {classes(result)} against the rest: macro AUROC {result.values['test/auroc']:.5f}"
    figure.suptitle(title, fontsize=11)
    return figure


def pr(result: "Result") -> Figure:
    figure = Figure((8, 4.8), layout="constrained")
    axes = figure.subplots()
    for index, colour, name in styled(result, "average_precision"):
        recall, precision = (values.numpy() for values in result.pr(index))
        axes.plot(recall, precision, color=colour, lw=1.4, label=name, drawstyle="steps-post")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    figure.legend(*axes.get_legend_handles_labels(), title="average precision   class", loc="outside right center")
    macro = result.values["test/average_precision"]
    figure.suptitle(f"Precision and recall, {classes(result)} against the rest: macro average {macro:.4f}", fontsize=11)
    return figure


def classes(result: "Result") -> str:
    curved = len(result.curved("auroc"))
    return "each class" if curved == len(result.labels) else f"the {curved} weakest of {len(result.labels):,} classes"


def styled(result: "Result", area: str) -> list[tuple[int, Any, str | None]]:
    """Class, colour and name in the legend of each curve; the number comes first, for a name may begin with "_"."""
    colours, labels, areas = matplotlib.color_sequences["tab10"], shown(result.labels), result.by_class[area]
    return [
        (index, colours[rank % 10], f"{areas[index]:.4f}   {labels[index]}" if rank < LISTED else None)
        for rank, index in enumerate(result.curved(area))
    ]


def calibration(result: "Result") -> Figure:
    """With intervals at each bin's accuracy, for a few samples prove little."""
    figure = Figure((6, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    confidence, accuracy, count = result.calibration.T.numpy()
    low, high = wilson(accuracy * count, count)
    upper.axline((0, 0), slope=1, color=GREY, ls=":", lw=1, label="perfect")
    upper.vlines(confidence, low, high, color=GOOD, lw=1, label="95% interval")
    upper.plot(confidence, accuracy, "o-", color=GOOD, ms=4, label="accuracy of a bin")
    upper.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    upper.set_title(f"Calibration: expected error {result.values['test/calibration_error']:.4f} (ECE)")
    upper.legend(loc="best")
    lower.hist(result.confidence.numpy(), bins=40, range=(0, 1), color=GOOD, log=True)
    lower.yaxis.set_major_formatter(THOUSANDS)
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="samples")
    lower.set_ylim(bottom=0.8)
    return figure
