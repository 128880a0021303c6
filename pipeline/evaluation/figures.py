"""The figures of a report: PNGs whose titles hold the number that matters; the same result gives the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from torch import Tensor

from pipeline.evaluation.metrics import Result
from pipeline.project.files import write_atomically

GOOD, BAD, GREY = "#2f6db5", "#c8342c", "#8a8f98"
COUNTED = 20  # classes up to which a confusion matrix has room for its counts
LISTED = 10  # classes that a legend lists, the weakest first
COLUMNS, WRONG_ROWS = 8, 2
PICTURE, GAP, TITLE = 0.95, 0.25, 0.4  # inches: width of a picture, room between two, height of a title
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.dpi": 100,
    "font.size": 10,
    "grid.color": "#e4e6ea",
    "legend.frameon": False,
}


def write(folder: Path, result: Result, history: list[dict[str, Any]], best_epoch: int, inputs: Tensor) -> list[Path]:
    """Draws what fits the data; `inputs` is the split's tensor, pictures if it is uint8 (N, 1 or 3, H, W)."""
    with matplotlib.rc_context(STYLE):
        figures = {
            "confusion": confusion(result),
            "roc": roc(result),
            "curves": curves(history, best_epoch),
            "calibration": calibration(result),
        }
        if inputs.dtype == torch.uint8 and inputs.ndim == 4 and inputs.shape[1] in (1, 3):
            figures["pictures"] = pictures(result, inputs)
        paths = [folder / f"{name}.png" for name in figures]
        for path, figure in zip(paths, figures.values(), strict=True):
            write_atomically(path, lambda file, figure=figure: save(figure, file))
    return paths


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})


def share(value: float) -> str:
    """0.98765 → 98.77%; what is not quite 100% never reads as 100%."""
    return f"{min(value, 0.9999) if value < 1 else 1:.2%}"


def confusion(result: Result) -> Figure:
    classes = len(result.labels)
    figure = Figure((7.2, 6.2), layout="constrained")
    axes = figure.subplots()
    recall = result.confusion / result.confusion.sum(dim=1, keepdim=True)  # (C, C)
    image = axes.imshow(recall.numpy(), cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # the root shows rare mistakes
    axes.grid(False)
    axes.spines[:].set_visible(False)
    total, wrong = len(result.targets), int((result.predicted != result.targets).sum())
    accuracy = result.values["test/accuracy"]
    axes.set_title(f"Confusion: accuracy {share(accuracy)}, {wrong:,} of {total:,} wrong")
    axes.set(xlabel="predicted", ylabel="actual")
    if classes <= COUNTED:
        axes.set_xticks(range(classes), result.labels, rotation=90 if max(map(len, result.labels)) > 4 else 0)
        axes.set_yticks(range(classes), result.labels)
        write_counts(axes, result.confusion, recall)
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


def roc(result: Result) -> Figure:
    """The whole square on the left; the same curves by the logarithm of false alarms, where good models differ."""
    figure = Figure((10, 4.6), layout="constrained")
    whole, closer = figure.subplots(1, 2)
    colours = matplotlib.colormaps["tab10"].colors
    for rank, index in enumerate(result.auroc.argsort(stable=True).tolist()):
        fpr, tpr = (rates.numpy() for rates in result.roc[index])
        name = f"{result.labels[index]}   {result.auroc[index]:.4f}" if rank < LISTED else None
        for axes in (whole, closer):
            axes.plot(fpr, tpr, color=colours[index % 10], lw=1.4, label=name)
    whole.axline((0, 0), slope=1, color=GREY, ls=":", lw=1)
    whole.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1), ylim=(0, 1.02))
    closer.set(
        xlabel="false positive rate (log scale)", xscale="log", xlim=(0.5 / len(result.targets), 1), ylim=(0, 1.02)
    )
    figure.legend(*closer.get_legend_handles_labels(), title="class   AUROC", loc="outside right center")
    figure.suptitle(f"ROC, each class against the rest: macro AUROC {result.values['test/auroc']:.5f}", fontsize=11)
    return figure


def curves(history: list[dict[str, Any]], best_epoch: int) -> Figure:
    figure = Figure((10, 4.2), layout="constrained")
    epochs = [entry["epoch"] for entry in history]
    best = next(entry for entry in history if entry["epoch"] == best_epoch)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split, colour in (("train", GREY), ("val", GOOD)):
            axes.plot(epochs, [entry[f"{split}/{name}"] for entry in history], ".-", color=colour, label=split)
        axes.plot(best_epoch, best[f"val/{name}"], "o", ms=9, mfc="none", color=BAD, label=f"best epoch, {best_epoch}")
        axes.set(title=f"{name.capitalize()}: val {best[f'val/{name}']:.4f} at epoch {best_epoch}", xlabel="epoch")
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend()
    return figure


def calibration(result: Result) -> Figure:
    """With intervals at each bin's accuracy, for a few samples prove little."""
    figure = Figure((6, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    confidence, accuracy, count = result.calibration.T.numpy()
    low, high = wilson(accuracy, count)
    upper.axline((0, 0), slope=1, color=GREY, ls=":", lw=1, label="perfect")
    upper.vlines(confidence, low, high, color=GOOD, lw=1, label="95% interval")
    upper.plot(confidence, accuracy, "o-", color=GOOD, ms=4, label="accuracy of a bin")
    upper.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    upper.set_title(f"Calibration: expected error {result.values['test/calibration_error']:.4f} (ECE)")
    upper.legend(loc="upper left")
    lower.hist(result.confidence.numpy(), bins=40, range=(0, 1), color=GOOD, log=True)
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="samples")
    lower.set_ylim(bottom=0.8)
    return figure


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95% interval of a share seen in `count` samples (Wilson, 1927)."""
    z2 = 1.96**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * share * (1 - share) / count + (z2 / (2 * count)) ** 2) / (1 + z2 / count)
    return centre - half, centre + half


def pictures(result: Result, inputs: Tensor) -> Figure:
    """All in one Axes measured in inches, as a matplotlib Axes for each picture would take half a second."""
    right, wrong = chosen(result)
    rows = [indices[start : start + COLUMNS] for indices in (right, wrong) for start in range(0, len(indices), COLUMNS)]
    cell = PICTURE * inputs.shape[2] / inputs.shape[3] + TITLE  # height
    width, height = COLUMNS * (PICTURE + GAP) + GAP, len(rows) * (cell + GAP) + TITLE
    figure = Figure((width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    for row, indices in enumerate(rows):
        for column, index in enumerate(indices):
            draw(axes, result, index, inputs[index], GAP + column * (PICTURE + GAP), TITLE + row * (cell + GAP))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    mistakes = int((result.predicted != result.targets).sum())
    title = f"{mistakes:,} of {len(inputs):,} pictures are wrong"
    if wrong:
        title += f"; in red the {len(wrong)} most confident of them: actual → predicted, probability"
    axes.text(width / 2, TITLE / 2, title, ha="center", va="center", fontsize=11)
    return figure


def chosen(result: Result) -> tuple[list[int], list[int]]:
    """A row of right ones, evenly over the split, and WRONG_ROWS of wrong ones, the most confident first."""
    right = (result.predicted == result.targets).nonzero().squeeze(1)
    wrong = (result.predicted != result.targets).nonzero().squeeze(1)
    spread = torch.linspace(0, max(len(right) - 1, 0), min(len(right), COLUMNS)).long()
    order = result.confidence[wrong].argsort(descending=True, stable=True)[: WRONG_ROWS * COLUMNS]
    return right[spread].tolist(), wrong[order].tolist()


def draw(axes: Axes, result: Result, index: int, picture: Tensor, left: float, top: float) -> None:
    actual, predicted = (short(result.labels[where[index]]) for where in (result.targets, result.predicted))
    _, high, wide = picture.shape
    edges = (left, left + PICTURE, top + TITLE + PICTURE * high / wide, top + TITLE)
    image = picture.permute(1, 2, 0).numpy()  # (H, W, 1 or 3)
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, extent=edges, aspect="auto")
    colour = "black" if result.predicted[index] == result.targets[index] else BAD
    size = 9 if len(actual + predicted) <= 10 else 7
    title = f"{actual} → {predicted}\n{result.confidence[index]:.1%}"
    axes.text(left + PICTURE / 2, top + TITLE - 0.04, title, ha="center", va="bottom", color=colour, fontsize=size)


def short(label: str) -> str:
    return label if len(label) <= 9 else f"{label[:5]}…{label[-3:]}"
