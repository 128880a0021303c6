"""Two models on the same rows: what each row is worth to each of them, by one path, whatever their encoders are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.kinds.encoding import encode
from pipeline.kinds.kind import of
from pipeline.store.held_out import HeldOut
from pipeline.tasks import task as tasks

if TYPE_CHECKING:  # torch takes two seconds, which `ratchet promote` needs only where it asks a model
    from torch import Tensor

    from pipeline.models.bundle import Bundle

BATCH = 2000


def by_row(bundle: "Bundle", test: HeldOut, metric: str) -> np.ndarray:
    """(N,) float64, what each row adds to the `metric`'s mean: right or not, a loss, an error, an error's square, …

    DataError where the records are none that the bundle takes.
    """
    import torch

    task = tasks.of(bundle.encoder)
    parts = [task.by_row(bundle, inputs, targets, metric) for inputs, targets in batches(bundle, test)]
    values = torch.cat(parts).double().numpy()
    return values * evenly(test.targets) if metric == "recall" else values


def trivial(test: HeldOut, encoder: dict[str, Any], per_class: list[int], metric: str) -> np.ndarray:
    """(N,) as by_row, of what says of every row: train's most frequent class, with each as likely as it was; its mean.

    `per_class`: rows of each of the encoder's labels in train.
    """
    values = tasks.of(encoder).by_row_of_constant(test.targets, encoder, per_class, metric)
    return values * evenly(test.targets) if metric == "recall" else values


def evenly(targets: list[str] | np.ndarray) -> np.ndarray:
    """(N,) weights of mean 1 that give each class the same: the mean of weighted hits is the mean of the recalls."""
    _, classes, rows = np.unique(targets, return_inverse=True, return_counts=True)
    return len(targets) / (len(rows) * rows[classes])


def batches(bundle: "Bundle", test: HeldOut) -> Iterator[tuple["Tensor", Any]]:
    import torch

    encoder = bundle.encoder
    size = tasks.of(encoder).rows_at_once(encoder, BATCH)
    for start in range(0, len(test), size):
        some = of(encoder).known(encoder, test.records[start : start + size])
        yield torch.from_numpy(encode(encoder, some)), test.targets[start : start + size]


def places_of(targets: list[str], labels: list[str]) -> "Tensor":
    """(N,) int64 index of each target among the `labels`; −1 where it is none of them."""
    import torch

    index = {label: place for place, label in enumerate(labels)}
    return torch.tensor([index.get(target, -1) for target in targets], dtype=torch.int64)


def value(values: np.ndarray, metric: str) -> np.ndarray:
    """The metric of means over rows."""
    return np.sqrt(values) if metric == "rmse" else values
