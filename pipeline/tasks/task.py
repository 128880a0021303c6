"""What is to be learned: each task is one class, in pipeline/tasks/NAME.py, found by its name.

Nothing heavy is imported before a method needs it: settings are checked by what stands here too.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline import tasks
from pipeline.project.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor
    from torchmetrics import Metric, MetricCollection

    from pipeline.models.bundle import Bundle
    from pipeline.tasks.response import Response

Encoder = dict[str, Any]  # encoder.json
Answer = dict[str, Any]  # as a user reads it
Columns = dict[str, "np.ndarray"]  # float64 (N,), NaN where there is no value, or texts


class Task:
    name: ClassVar[str]
    numeric: ClassVar[bool] = False  # whether its target is a number, and not one of the encoder's labels
    classes: ClassVar[bool] = False  # whether each row is of one class, of which there are few
    history: ClassVar[bool] = False  # whether what was in the input is no answer
    losses: ClassVar[tuple[str, ...]]
    monitors: ClassVar[tuple[str, ...]]
    gates: ClassVar[tuple[str, ...]]  # metrics by which two models are compared: means over rows, or their root
    metrics: ClassVar[tuple[str, ...]]  # of the test split, as pipeline/evaluation names them
    by_class: ClassVar[tuple[str, ...]] = ()  # those that each class has too: test/recall/CLASS
    baselines: ClassVar[tuple[str, ...]]  # simple models, of which all of these metrics are told but count
    headline: ClassVar[str]  # by which a baseline is better than the net, or not
    quality: ClassVar[str] = "accuracy"  # what is summed over a training epoch
    constant: ClassVar[str | None] = None  # what the best model is called that says the same of every row

    # Of a net's outputs

    def width(self, encoder: Encoder) -> int:
        """Outputs of a net for each record."""
        return len(encoder["labels"])

    def answers(self, outputs: Tensor, inputs: Tensor, encoder: Encoder) -> list[Answer]:
        """`outputs` (N, …) of a network for `inputs` (N, …), as a user reads them."""
        raise NotImplementedError

    def table(self, outputs: Tensor, inputs: Tensor, encoder: Encoder) -> pl.DataFrame:
        """The same as columns of N rows."""
        import polars as pl

        return pl.DataFrame(self.answers(outputs, inputs, encoder))

    def response(self, encoder: Encoder) -> Response:
        """How an answer and a label go over HTTP."""
        raise NotImplementedError

    def features(self, encoder: Encoder, answers: list[Answer], popularity: np.ndarray) -> Columns:
        """What can be compared of answers, as above or as the feedback store keeps them."""
        return {}

    # Of training

    def validation(self, encoder: Encoder) -> Metric | MetricCollection:
        """Metrics of validation, by their names."""
        raise NotImplementedError

    # Of the test split

    def by_row(self, bundle: Bundle, inputs: Tensor, targets: Any, metric: str) -> Tensor:
        """(B,) what each row adds to the mean that the metric is."""
        raise NotImplementedError

    def by_row_of_constant(self, targets: Any, encoder: Encoder, per_class: list[int], metric: str) -> np.ndarray:
        """The same, float64 (N,), of what says the same of every row; `per_class`: rows of each label in train."""
        raise NotImplementedError

    def rows_at_once(self, encoder: Encoder, most: int) -> int:
        """Whose outputs fit in memory together."""
        return most

    def intervals(self, predictions: Path) -> dict[str, tuple[float, float]]:
        """metric → (low, high), 95%, from reports/predictions.parquet; of metrics that are means, or their root."""
        return {}

    def described(self, spec: dict[str, Any]) -> str:
        """For the model's card."""
        raise NotImplementedError


@cache
def names() -> list[str]:
    beside = ("task", "metrics", "response", "exported")
    return [module.name for module in pkgutil.iter_modules(tasks.__path__) if module.name not in beside]


@cache
def by_name(name: str) -> Task:
    if name not in names():
        raise DataError(f"the task is {name!r}; this version of Ratchet knows: {', '.join(names())}")
    return importlib.import_module(f"pipeline.tasks.{name}").TASK


def of(encoder: Encoder) -> Task:
    return by_name(encoder["task"])
