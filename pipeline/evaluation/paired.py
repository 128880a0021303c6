"""Two models on the same rows: what each row is worth to each of them, by one path, whatever their encoders are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.data.records import HeldOut
from pipeline.evaluation.names import LOWER_IS_BETTER
from pipeline.kinds.encoding import encode
from pipeline.kinds.kind import of
from pipeline.models.bundle import Bundle
from pipeline.models.outputs import unscaled, without_seen

BATCH = 2000
CELLS = 1 << 23  # scores of a ranking held at once, whatever the number of items
LEAST_PROBABILITY = 1e-12  # of a class that a model does not know, in its loss


def by_row(bundle: Bundle, test: HeldOut, metric: str) -> np.ndarray:
    """(N,) float64, what each row adds to the `metric`'s mean: right or not, a loss, an error, an error's square, …

    DataError where the records are none that the bundle takes.
    """
    score = {"classification": of_class, "regression": of_number, "ranking": of_rank}[bundle.encoder["task"]]
    parts = [score(bundle, inputs, targets, metric) for inputs, targets in batches(bundle, test)]
    values = torch.cat(parts).double().numpy()
    return values * evenly(test.targets) if metric == "recall" else values


def trivial(test: HeldOut, encoder: dict[str, Any], per_class: list[int], metric: str) -> np.ndarray:
    """(N,) as by_row, of what says of every row: train's most frequent class, with each as likely as it was; its mean.

    `per_class`: rows of each of the encoder's labels in train.
    """
    if encoder["task"] == "regression":
        errors = test.targets - encoder["target"]["mean"]
        return np.square(errors) if metric == "rmse" else np.abs(errors)
    places = places_of(test.targets, encoder["labels"]).numpy()
    if metric == "loss":
        likely = np.array([*per_class, 0]) / sum(per_class)  # the last: of a label that train lacks
        return -np.log(np.maximum(likely[places], LEAST_PROBABILITY))
    right = (places == np.argmax(per_class)).astype(np.float64)
    return right * evenly(test.targets) if metric == "recall" else right


def evenly(targets: list[str]) -> np.ndarray:
    """(N,) weights of mean 1 that give each class the same: the mean of weighted hits is the mean of the recalls."""
    _, classes, rows = np.unique(targets, return_inverse=True, return_counts=True)
    return len(targets) / (len(rows) * rows[classes])


def batches(bundle: Bundle, test: HeldOut) -> Iterator[tuple[Tensor, Any]]:
    encoder, size = bundle.encoder, BATCH
    if encoder["task"] == "ranking":
        size = max(1, min(size, CELLS // len(encoder["labels"])))
    for start in range(0, len(test), size):
        some = of(encoder).known(encoder, test.records[start : start + size])
        yield torch.from_numpy(encode(encoder, some)), test.targets[start : start + size]


def of_class(bundle: Bundle, inputs: Tensor, targets: list[str], metric: str) -> Tensor:
    logits, places = bundle.outputs(inputs).double(), places_of(targets, bundle.labels)
    if metric != "loss":
        return logits.argmax(dim=1) == places
    likely = logits.softmax(dim=1).gather(1, places.clamp(min=0).unsqueeze(1)).squeeze(1)
    return -likely.masked_fill(places < 0, 0).clamp(min=LEAST_PROBABILITY).log()


def of_number(bundle: Bundle, inputs: Tensor, targets: np.ndarray, metric: str) -> Tensor:
    errors = unscaled(bundle.outputs(inputs), bundle.encoder) - torch.from_numpy(targets)
    return errors.square() if metric == "rmse" else errors.abs()


def of_rank(bundle: Bundle, inputs: Tensor, targets: list[str], metric: str) -> Tensor:
    from pipeline.evaluation import ranking  # torchmetrics and matplotlib take two seconds

    places = places_of(targets, bundle.labels)
    order = ranking.places_of(without_seen(bundle.outputs(inputs), inputs))
    ranks = 1 + (order > order.gather(1, places.clamp(min=0).unsqueeze(1))).sum(dim=1)
    worth = 1 / ranks.double() if metric == "mrr" else ranking.by_rank(ranks, *ranking.METRICS[metric])
    return worth.masked_fill(places < 0, 0)


def places_of(targets: list[str], labels: list[str]) -> Tensor:
    """(N,) int64 index of each target among the `labels`; −1 where it is none of them."""
    index = {label: place for place, label in enumerate(labels)}
    return torch.tensor([index.get(target, -1) for target in targets], dtype=torch.int64)


def value(values: np.ndarray, metric: str) -> np.ndarray:
    """The metric of means over rows."""
    return np.sqrt(values) if metric == "rmse" else values


def sign(metric: str) -> int:
    """By which a difference is multiplied so that more is better."""
    return -1 if metric in LOWER_IS_BETTER else 1
