"""Scores of a regression, in the target's own unit."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from pipeline.config.schema import Evaluation
from pipeline.evaluation import scoring
from pipeline.evaluation.curves import edges, spread
from pipeline.evaluation.figures import regression as figures
from pipeline.evaluation.scoring import History, plain
from pipeline.tasks.regression import unscaled

POINTS = 2000  # rows in residuals.csv, evenly over the split
BINS = 40


@dataclass(frozen=True)
class Result:
    """Of N rows."""

    headline: ClassVar = ("rmse", "mae", "r2", "median_absolute_error")

    targets: Tensor  # (N,) float64
    predicted: Tensor  # (N,) float64
    values: dict[str, float]  # without test/r2 where it means nothing: one row, or targets that are all the same

    @cached_property
    def residuals(self) -> Tensor:
        """(N,) actual less predicted."""
        return self.targets - self.predicted

    def predictions(self, rows: Tensor) -> pl.DataFrame:
        """row, actual, predicted."""
        return pl.DataFrame({"row": rows.numpy(), "actual": self.targets.numpy(), "predicted": self.predicted.numpy()})

    def tables(self, history: History) -> dict[str, pl.DataFrame]:
        kept = spread(len(self.targets), POINTS)
        ends = edges(self.residuals.numpy(), BINS)
        counts, _ = np.histogram(self.residuals.numpy(), ends)
        columns = {"actual": self.targets, "predicted": self.predicted, "residual": self.residuals}
        return {
            "curves": scoring.curves(history, "mae"),
            "residuals": pl.DataFrame({name: values[kept].numpy() for name, values in columns.items()}),
            "errors": pl.DataFrame({"residual": (ends[:-1] + ends[1:]) / 2, "count": counts}),
        }

    def figures(self, history: History, best_epoch: int, inputs: Tensor) -> dict[str, Figure]:
        return figures.draw(self, history, best_epoch)

    def mistakes(self, number: int) -> pl.DataFrame:
        worst = self.residuals.abs().argsort(descending=True, stable=True)[:number]
        return pl.DataFrame(
            {
                "index": worst.numpy(),
                "actual": list(map(plain, self.targets[worst])),
                "predicted": list(map(plain, self.predicted[worst])),
                "error": list(map(plain, -self.residuals[worst])),
            }
        )

    def scores(self, rows: Tensor) -> dict[str, float]:
        residuals = self.residuals[rows]
        rmse = residuals.square().mean().sqrt()
        return {"mae": plain(residuals.abs().mean()), "rmse": plain(rmse), "bias": plain(-residuals.mean())}

    def weakest(self) -> str:
        tenth = np.quantile(self.residuals.abs().numpy(), 0.9)
        return f"1 row in 10 is off by more than {tenth:.4g}"


def evaluate(
    outputs_of: scoring.OutputsOf, split: dict[str, Tensor], encoder: dict[str, Any], settings: Evaluation
) -> Result:
    """Scores a split of the store; `outputs_of` gives (B, 1) in standard deviations of train's targets.

    Raises TrainingError for outputs of a wrong shape or not finite.
    """
    parts = [unscaled(outputs, encoder) for outputs, _, _ in scoring.outputs(outputs_of, split, 1, settings.batch_size)]
    targets, predicted = split["targets"].double(), torch.cat(parts)  # (N,)
    return Result(targets, predicted, values(targets, predicted))


def values(targets: Tensor, predicted: Tensor) -> dict[str, float]:
    """Sorted test/NAME; scored in the targets' deviations, for torchmetrics takes a sum of squares below 1e-4 for 0."""
    scale = targets.std(correction=0) if len(targets) > 1 else torch.zeros(())
    constant = not scale > 0
    unit = 1.0 if constant else scale.item()
    metrics: dict[str, Metric | MetricCollection] = {
        "mae": MeanAbsoluteError(),
        "rmse": MeanSquaredError(squared=False),
    }
    metrics |= {} if constant else {"r2": R2Score()}
    collection = MetricCollection(metrics, compute_groups=False).set_dtype(torch.float64)
    found = collection((predicted - targets.mean()) / unit, (targets - targets.mean()) / unit)
    given = {f"test/{name}": plain(value * (1 if name == "r2" else unit)) for name, value in found.items()}
    given["test/median_absolute_error"] = plain(np.median((targets - predicted).abs().numpy()))
    return dict(sorted({**given, "test/count": float(len(targets))}.items()))
