"""What a bundle does on a split: every sample counted once, whatever the batch size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
    MulticlassROC,
)
from torchmetrics.functional.classification import multiclass_calibration_error

from pipeline.project.errors import DataError, TrainingError

BY_CLASS = ("precision", "recall", "f1")
ALMOST_ONE = 1 - 2**-24  # torchmetrics gives a confidence of exactly 1 a bin of its own, beyond the last


@dataclass(frozen=True)
class Result:
    """Of N samples and C classes."""

    labels: list[str]
    targets: Tensor  # (N,) int64
    probabilities: Tensor  # (N, C) float64
    values: dict[str, float]  # test/NAME and test/NAME/CLASS, as in metrics.json
    confusion: Tensor  # (C, C) int64, actual × predicted
    auroc: Tensor  # (C,) one class against the rest
    roc: list[tuple[Tensor, Tensor]]  # false and true positive rates of each class, corners only
    calibration: Tensor  # (bins that hold samples, 3): mean confidence, accuracy, count

    @cached_property
    def predicted(self) -> Tensor:
        """(N,) int64."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def confidence(self) -> Tensor:
        """(N,) float64: the probability of what was predicted."""
        return self.probabilities.amax(dim=1)


def evaluate(
    logits_of: Callable[[Tensor], Tensor], split: dict[str, Tensor], labels: list[str], batch_size: int, bins: int
) -> Result:
    """Scores a split of the store; `logits_of` takes its inputs, (B, …) → (B, C).

    Raises DataError for a split without some class, TrainingError for logits of a wrong shape or not finite.
    """
    require_every_class(split["targets"], labels)
    metrics, loss, parts = collection(len(labels)), MeanMetric().set_dtype(torch.float64), []
    for inputs, targets, rows in batches(split, batch_size):
        logits = checked(logits_of(inputs), rows, len(labels)).double()  # (B, C)
        # In float64, for in float32 sure probabilities tie at 1 and the ROC loses their order.
        parts.append(logits.softmax(dim=1))
        metrics.update(parts[-1], targets)
        loss.update(cross_entropy(logits, targets, reduction="none"))
    found, probabilities = metrics.compute(), torch.cat(parts)
    found["loss"] = loss.compute()
    found["calibration_error"] = multiclass_calibration_error(
        probabilities.clamp(max=ALMOST_ONE), split["targets"], len(labels), bins, norm="l1"
    )
    return Result(
        labels=labels,
        targets=split["targets"],
        probabilities=probabilities,
        values=named(found, labels),
        confusion=found["confusion"],
        auroc=found["auroc"],
        roc=[corners(*rates) for rates in zip(*found["roc"][:2], strict=True)],
        calibration=reliability(probabilities, split["targets"], bins),
    )


def collection(classes: int) -> MetricCollection:
    """One value for each class, but for accuracy; their mean is the macro average, as no class is empty."""
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(classes, average="micro"),
            "precision": MulticlassPrecision(classes, average="none"),
            "recall": MulticlassRecall(classes, average="none"),
            "f1": MulticlassF1Score(classes, average="none"),
            "auroc": MulticlassAUROC(classes, average="none"),
            "roc": MulticlassROC(classes),
            "confusion": MulticlassConfusionMatrix(classes),
        }
    )


def batches(split: dict[str, Tensor], batch_size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    tensors = (split["inputs"], split["targets"], split["rows"])
    return zip(*(tensor.split(batch_size) for tensor in tensors), strict=True)


def require_every_class(targets: Tensor, labels: list[str]) -> None:
    counts = torch.bincount(targets, minlength=len(labels)).tolist()
    if absent := [label for label, count in zip(labels, counts, strict=True) if not count]:
        raise DataError(
            f"the test split has {len(targets)} rows and none of class {', '.join(absent)}; recall and AUROC need "
            "at least one of each.\nGive the test split more rows, then type: dvc repro preprocess"
        )


def checked(logits: Tensor, rows: Tensor, classes: int) -> Tensor:
    if logits.shape != (len(rows), classes):
        raise TrainingError(
            f"the bundle gives logits of shape {tuple(logits.shape)} for {len(rows)} rows; "
            f"({len(rows)}, {classes}) is allowed.\nType: dvc repro --force train"
        )
    if not (finite := logits.isfinite().all(dim=1)).all():
        row = rows[~finite][0].item()
        raise TrainingError(
            f"the bundle gives logits that are not finite for row {row} of the test split; nothing was written.\n"
            "Train it anew with a smaller optimizer.lr or training.gradient_clip=1.0, then type: dvc repro"
        )
    return logits


def named(found: dict[str, Tensor], labels: list[str]) -> dict[str, float]:
    """Sorted test/NAME (macro where there is one for each class), test/NAME/CLASS for BY_CLASS, and test/count."""
    values = {"test/count": float(found["confusion"].sum())}
    for name in ("accuracy", "loss", "calibration_error", "auroc", *BY_CLASS):
        values[f"test/{name}"] = plain(found[name].double().mean())
    for name in BY_CLASS:
        values |= {f"test/{name}/{label}": plain(value) for label, value in zip(labels, found[name], strict=True)}
    return dict(sorted(values.items()))


def plain(value: Tensor) -> float:
    """With the 7 digits that a float32 holds: 0.9813, not 0.9812999963760376."""
    return float(f"{value.item():.7g}")


def corners(fpr: Tensor, tpr: Tensor) -> tuple[Tensor, Tensor]:
    """The same ROC curve without the points that lie within its level and upright stretches."""
    straight = torch.zeros(len(fpr), dtype=torch.bool)
    for rate in (fpr, tpr):
        straight[1:-1] |= (rate[1:-1] == rate[:-2]) & (rate[1:-1] == rate[2:])
    return fpr[~straight], tpr[~straight]


def reliability(probabilities: Tensor, targets: Tensor, bins: int) -> Tensor:
    """Mean confidence, accuracy and count of each bin with samples; `bins` of equal width (Guo et al., 2017)."""
    confidence, predicted = probabilities.clamp(max=ALMOST_ONE).max(dim=1)
    edges = torch.linspace(0, 1, bins + 1)
    place = torch.bucketize(confidence.float(), edges, right=True) - 1  # (N,), as torchmetrics places them
    count = torch.bincount(place, minlength=bins).double()  # (bins,)
    sums = [torch.bincount(place, part.double(), minlength=bins) for part in (confidence, predicted == targets)]
    return torch.stack([sums[0] / count, sums[1] / count, count], dim=1)[count > 0]
