"""A number, learned in standard deviations of train's targets around their mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.tasks.task import Answer, Columns, Encoder, Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor
    from torchmetrics import MetricCollection

    from pipeline.models.bundle import Bundle
    from pipeline.tasks.response import Response


class Regression(Task):
    name = "regression"
    numeric = True
    losses = ("mse", "huber")
    monitors = ("val/rmse", "val/mae", "val/r2", "val/loss")
    gates = ("mae", "rmse")
    metrics = ("count", "mae", "median_absolute_error", "r2", "rmse")
    baselines = ("boosting", "mean", "tf_idf")
    headline = "rmse"
    quality = "mae"
    constant = "mean"

    def width(self, encoder: Encoder) -> int:
        return 1

    def answers(self, outputs: Tensor, inputs: Tensor, encoder: Encoder) -> list[Answer]:
        return [{"value": value} for value in unscaled(outputs, encoder).tolist()]

    def table(self, outputs: Tensor, inputs: Tensor, encoder: Encoder) -> pl.DataFrame:
        import polars as pl

        return pl.DataFrame({"value": unscaled(outputs, encoder).numpy()})

    def response(self, encoder: Encoder) -> Response:
        from pipeline.tasks.response import Numbers

        return Numbers(encoder)

    def features(self, encoder: Encoder, answers: list[Answer], popularity: np.ndarray) -> Columns:
        import numpy as np

        return {"predicted value": np.array([one["value"] for one in answers], np.float64)}

    def validation(self, encoder: Encoder) -> MetricCollection:
        """In float64, for squares of large numbers; Lightning leaves their type alone."""
        import torch
        from torchmetrics import MetricCollection
        from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

        from pipeline.training.objective import DefinedR2

        metrics = {"mae": MeanAbsoluteError(), "rmse": MeanSquaredError(squared=False), "r2": DefinedR2()}
        return MetricCollection({name: metric.set_dtype(torch.float64) for name, metric in metrics.items()})

    def by_row(self, bundle: Bundle, inputs: Tensor, targets: Any, metric: str) -> Tensor:
        import torch

        errors = unscaled(bundle.outputs(inputs), bundle.encoder) - torch.from_numpy(targets)
        return errors.square() if metric == "rmse" else errors.abs()

    def by_row_of_constant(self, targets: Any, encoder: Encoder, per_class: list[int], metric: str) -> np.ndarray:
        """Of train's mean."""
        import numpy as np

        errors = targets - encoder["target"]["mean"]
        return np.square(errors) if metric == "rmse" else np.abs(errors)

    def intervals(self, predictions: Path) -> dict[str, tuple[float, float]]:
        import numpy as np
        import polars as pl

        from pipeline.evaluation.statistics import interval_of_mean

        table = pl.read_parquet(predictions, columns=["actual", "predicted"])
        errors = (table["actual"] - table["predicted"]).to_numpy().astype(np.float64)
        low, high = interval_of_mean(errors**2)
        return {"mae": interval_of_mean(np.abs(errors)), "rmse": (max(low, 0) ** 0.5, high**0.5)}

    def described(self, spec: dict[str, Any]) -> str:
        return "A number"


def unscaled(outputs: Tensor, encoder: Encoder) -> Tensor:
    """(N, 1) in standard deviations of train's targets → (N,) float64 in the target's own unit."""
    return outputs.double().squeeze(1) * encoder["target"]["std"] + encoder["target"]["mean"]


TASK = Regression()
