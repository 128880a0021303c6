"""Pictures that were classified right, and the worst of those that were not."""

from typing import TYPE_CHECKING

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pipeline.evaluation.figures.style import BAD, shown

if TYPE_CHECKING:
    from pipeline.evaluation.classification import Result

COLUMNS, WRONG_ROWS = 8, 2
PICTURE, GAP, TITLE = 0.95, 0.25, 0.4  # inches: width of a picture, room between two, height of a title


def pictures(result: "Result", inputs: Tensor) -> Figure:
    """All in one Axes measured in inches, as a matplotlib Axes for each picture would take half a second."""
    right, wrong = chosen(result)
    rows = [indices[start : start + COLUMNS] for indices in (right, wrong) for start in range(0, len(indices), COLUMNS)]
    cell = PICTURE * inputs.shape[2] / inputs.shape[3] + TITLE  # height
    width, height = COLUMNS * (PICTURE + GAP) + GAP, len(rows) * (cell + GAP) + TITLE
    figure = Figure((width, height))
    axes, labels = figure.add_axes((0, 0, 1, 1)), shown(result.labels, longest=9)
    for row, indices in enumerate(rows):
        for column, index in enumerate(indices):
            place = GAP + column * (PICTURE + GAP), TITLE + row * (cell + GAP)
            draw(axes, result, labels, index, inputs[index], *place)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    title = f"{len(result.wrong):,} of {len(inputs):,} pictures are wrong"
    if wrong:
        title += f"; in red the {len(wrong)} most confident of them: actual → predicted, probability"
    axes.text(width / 2, TITLE / 2, title, ha="center", va="center", fontsize=11)
    return figure


def chosen(result: "Result") -> tuple[list[int], list[int]]:
    """A row of right ones, evenly over the split, and WRONG_ROWS of wrong ones, the most confident first."""
    right = (result.predicted == result.targets).nonzero().squeeze(1)
    spread = torch.linspace(0, max(len(right) - 1, 0), min(len(right), COLUMNS)).long()
    return right[spread].tolist(), result.wrong[: WRONG_ROWS * COLUMNS].tolist()


def draw(axes: Axes, result: "Result", labels: list[str], index: int, picture: Tensor, left: float, top: float) -> None:
    actual, predicted = (labels[where[index]] for where in (result.targets, result.predicted))
    _, high, wide = picture.shape
    edges = (left, left + PICTURE, top + TITLE + PICTURE * high / wide, top + TITLE)
    image = picture.permute(1, 2, 0).numpy()  # (H, W, 1 or 3)
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, extent=edges, aspect="auto")
    colour = "black" if result.predicted[index] == result.targets[index] else BAD
    size = 9 if len(actual + predicted) <= 10 else 7
    title = f"{actual} → {predicted}\n{result.confidence[index]:.1%}"
    axes.text(left + PICTURE / 2, top + TITLE - 0.04, title, ha="center", va="bottom", color=colour, fontsize=size)
