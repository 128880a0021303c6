"""What the tasks share: the outputs of a split, checked a batch at a time, and what every result can tell."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol

import polars as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pipeline.project.errors import TrainingError

OutputsOf = Callable[[Tensor], Tensor]  # inputs (B, …) → outputs (B, …), as Bundle.outputs
History = list[dict[str, Any]]  # of models/run.json, an entry for each epoch


class Result(Protocol):
    """Of N rows of the test split."""

    headline: ClassVar[tuple[str, ...]]  # metrics shown beside those of the baselines, the most telling first
    values: dict[str, float]  # sorted test/NAME and test/NAME/CLASS, all of them finite

    def predictions(self, rows: Tensor) -> pl.DataFrame:
        """predictions.parquet: `rows` (N,) of the raw file first, then what was predicted for each."""

    def tables(self, history: History) -> dict[str, pl.DataFrame]:
        """What `dvc plots` draws, by the name of its CSV file; bounded, however many rows and classes there are."""

    def figures(self, history: History, best_epoch: int, inputs: Tensor) -> dict[str, Figure]:
        """By the name of its PNG file; `inputs` (N, …) as in the store."""

    def mistakes(self, number: int) -> pl.DataFrame:
        """The worst first: index in the split, actual, predicted, and how bad."""

    def scores(self, rows: Tensor) -> dict[str, float]:
        """Metrics of the split's `rows` (n,) alone; the first says which slice is the worst."""

    def weakest(self) -> str:
        """A line on where it is weakest, or an empty one."""


def outputs(
    outputs_of: OutputsOf, split: dict[str, Tensor], width: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Outputs (B, width), inputs and targets of each batch; TrainingError for a wrong shape or what is not finite."""
    tensors = (split["inputs"], split["targets"], split["rows"])
    for inputs, targets, rows in zip(*(torch.split(tensor, batch_size) for tensor in tensors), strict=True):
        yield checked(outputs_of(inputs), rows, width), inputs, targets


def checked(given: Tensor, rows: Tensor, width: int) -> Tensor:
    if given.shape != (len(rows), width):
        raise TrainingError(
            f"the bundle gives outputs of shape {tuple(given.shape)} for {len(rows)} rows; "
            f"({len(rows)}, {width}) is allowed.\nType: dvc repro --force train"
        )
    if not (finite := given.isfinite().all(dim=1)).all():
        row = rows[~finite][0].item()
        raise TrainingError(
            f"the bundle gives outputs that are not finite for row {row} of the test split; nothing was written.\n"
            "Train it anew with a smaller optimizer.lr or training.gradient_clip=1.0, then type: dvc repro"
        )
    return given


def plain(value: Tensor | float) -> float:
    """With the 7 digits that a float32 holds: 0.9813, not 0.9812999963760376."""
    return float(f"{float(value):.7g}")


def curves(history: History, score: str) -> pl.DataFrame:
    """A line for each epoch; `train/loss` becomes train_loss, as Vega splits names at a point or slash.

    val_score is the task's own `score` once more: one plot in dvc.yaml does for all tasks.
    """
    frame = pl.DataFrame(history)
    frame = frame.with_columns(frame[f"val/{score}"].alias("val_score"))
    return frame.rename({name: name.replace("/", "_") for name in frame.columns})
