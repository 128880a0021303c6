"""Scores of a classifier: every row counted once, whatever the batch size; two classes are scored as many are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import polars as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_precision_recall_curve,
    binary_roc,
    multiclass_calibration_error,
)

from pipeline.config.schema import Evaluation
from pipeline.evaluation import scoring
from pipeline.evaluation.curves import ALMOST_ONE, corners, reliability, thinned
from pipeline.evaluation.figures import classification as figures
from pipeline.evaluation.metric_names import metric_names
from pipeline.evaluation.scoring import History, plain
from pipeline.project.errors import DataError

BY_CLASS = ("precision", "recall", "f1")  # in classes.json; the others of each class are in plots/classes.csv
CURVED = 20  # classes up to which each has its curves; of more, the WEAKEST by area have
WEAKEST = 10
POINTS, PLOTTED = 5000, 200  # of a curve: in a figure, in a CSV
PAIRS = 10_000  # of actual and predicted class, the most frequent, in confusion.csv
NAMED = 3  # classes that a terminal's line names


@dataclass(frozen=True)
class Result:
    """Of N rows and C classes."""

    headline: ClassVar = ("accuracy", "f1", "auroc", "average_precision", "loss", "calibration_error")

    labels: list[str]
    targets: Tensor  # (N,) int64
    probabilities: Tensor  # (N, C) float64
    values: dict[str, float]
    confusion: Tensor  # (C, C) int64, actual × predicted
    by_class: dict[str, Tensor]  # (C,) each: precision, recall, f1, auroc, average_precision
    calibration: Tensor  # (bins that hold rows, 3): mean confidence, accuracy, count

    @cached_property
    def predicted(self) -> Tensor:
        """(N,) int64."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def confidence(self) -> Tensor:
        """(N,) float64: the probability of what was predicted."""
        return self.probabilities.amax(dim=1)

    @cached_property
    def wrong(self) -> Tensor:
        """Indices of what was not predicted right, the most confident first."""
        wrong = (self.predicted != self.targets).nonzero().squeeze(1)
        return wrong[self.confidence[wrong].argsort(descending=True, stable=True)]

    def curved(self, area: str) -> list[int]:
        """Classes whose curves are shown, the smallest `area` ("auroc" or "average_precision") first."""
        order = self.by_class[area].argsort(stable=True).tolist()
        return order if len(order) <= CURVED else order[:WEAKEST]

    def roc(self, index: int) -> tuple[Tensor, Tensor]:
        """False and true positive rates of a class against the rest."""
        fpr, tpr, _ = binary_roc(self.probabilities[:, index], (self.targets == index).long(), validate_args=False)
        return thinned(*corners(fpr, tpr), most=POINTS)

    def pr(self, index: int) -> tuple[Tensor, Tensor]:
        """Recall, falling to 0, and the precision at it."""
        found = binary_precision_recall_curve(
            self.probabilities[:, index], (self.targets == index).long(), validate_args=False
        )
        return thinned(*corners(found[1], found[0]), most=POINTS)

    def predictions(self, rows: Tensor) -> pl.DataFrame:
        """row, label, predicted, and p_CLASS for each class."""
        probabilities = zip(self.labels, self.probabilities.float().T, strict=True)
        return pl.DataFrame(
            {
                "row": rows.numpy(),
                "label": named(self.targets, self.labels),
                "predicted": named(self.predicted, self.labels),
                **{f"p_{label}": column.numpy() for label, column in probabilities},
            }
        )

    def tables(self, history: History) -> dict[str, pl.DataFrame]:
        pairs = self.confusion.flatten().argsort(descending=True, stable=True)[:PAIRS]
        pairs = pairs[self.confusion.flatten()[pairs] > 0]  # actual × C + predicted
        actual, predicted = pairs // len(self.labels), pairs % len(self.labels)
        calibration = self.calibration.numpy()
        return {
            "curves": scoring.curves(history, "accuracy"),
            "confusion": pl.DataFrame(
                {
                    "actual": named(actual, self.labels),
                    "predicted": named(predicted, self.labels),
                    "count": self.confusion[actual, predicted].numpy(),
                }
            ),
            "classes": pl.DataFrame(
                {"class": self.labels, "rows": self.confusion.sum(dim=1).numpy()}
                | {name: list(map(plain, values)) for name, values in self.by_class.items()}
            ),
            "roc": pl.concat(self.curve(index, self.roc, "fpr", "tpr") for index in self.curved("auroc")),
            "pr": pl.concat(
                self.curve(index, self.pr, "recall", "precision") for index in self.curved("average_precision")
            ),
            "calibration": pl.DataFrame(
                {"confidence": calibration[:, 0], "accuracy": calibration[:, 1], "count": calibration[:, 2].astype(int)}
            ),
        }

    def curve(self, index: int, points: Callable[[int], tuple[Tensor, Tensor]], *names: str) -> pl.DataFrame:
        found = thinned(*points(index), most=PLOTTED)
        columns = {name: values.numpy() for name, values in zip(names, found, strict=True)}
        return pl.DataFrame({"class": [self.labels[index]] * len(found[0]), **columns})

    def figures(self, history: History, best_epoch: int, inputs: Tensor) -> dict[str, Figure]:
        return figures.draw(self, history, best_epoch, inputs)

    def mistakes(self, number: int) -> pl.DataFrame:
        worst = self.wrong[:number]
        return pl.DataFrame(
            {
                "index": worst.numpy(),
                "actual": named(self.targets[worst], self.labels),
                "predicted": named(self.predicted[worst], self.labels),
                "confidence": list(map(plain, self.confidence[worst])),
            },
            schema_overrides={"actual": pl.String, "predicted": pl.String, "confidence": pl.Float64},
        )

    def scores(self, rows: Tensor) -> dict[str, float]:
        targets = self.targets[rows]
        right = (self.predicted[rows] == targets).double()
        return {"accuracy": plain(right.mean()), "confidence": plain(self.confidence[rows].mean())}

    def weakest(self) -> str:
        recall = self.by_class["recall"]
        order = recall.argsort(stable=True).tolist()[:NAMED]
        return "lowest recall: " + ", ".join(f"{self.labels[index]} {recall[index]:.4f}" for index in order)


def evaluate(
    outputs_of: scoring.OutputsOf, split: dict[str, Tensor], encoder: dict[str, Any], settings: Evaluation
) -> Result:
    """Scores a split of the store; `outputs_of` gives logits (B, C).

    Raises DataError for a split without some class, TrainingError for logits of a wrong shape or not finite.
    """
    labels, targets, parts = encoder["labels"], split["targets"], []
    require_every_class(targets, labels)
    metrics, loss = collection(len(labels)), MeanMetric().set_dtype(torch.float64)
    for logits, _, wanted in scoring.outputs(outputs_of, split, len(labels), settings.batch_size):
        # In float64, for in float32 sure probabilities tie at 1 and the ROC loses their order.
        parts.append(logits.double().softmax(dim=1))
        metrics.update(parts[-1], wanted)
        loss.update(cross_entropy(logits.double(), wanted, reduction="none"))
    found, probabilities = metrics.compute(), torch.cat(parts)  # (N, C)
    by_class = {name: found.pop(name).double() for name in BY_CLASS}
    for name, metric in (("auroc", binary_auroc), ("average_precision", binary_average_precision)):
        # A class at a time: torchmetrics' own multiclass forms keep the curves of all in memory.
        each = (metric(p, (targets == c).long(), validate_args=False) for c, p in enumerate(probabilities.T))
        by_class[name] = torch.stack(list(each)).double()
    error = multiclass_calibration_error(
        probabilities.clamp(max=ALMOST_ONE), targets, len(labels), settings.calibration_bins, norm="l1"
    )
    return Result(
        labels=labels,
        targets=targets,
        probabilities=probabilities,
        values=values({**found, "loss": loss.compute(), "calibration_error": error}, by_class, labels),
        confusion=found["confusion"],
        by_class=by_class,
        calibration=reliability(probabilities, targets, settings.calibration_bins),
    )


def collection(classes: int) -> MetricCollection:
    """One value for each class, but for accuracy; their mean is the macro average, as no class is empty."""
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(classes, average="micro"),
            "precision": MulticlassPrecision(classes, average="none"),
            "recall": MulticlassRecall(classes, average="none"),
            "f1": MulticlassF1Score(classes, average="none"),
            "confusion": MulticlassConfusionMatrix(classes),
        }
    )


def require_every_class(targets: Tensor, labels: list[str]) -> None:
    counts = torch.bincount(targets, minlength=len(labels)).tolist()
    if absent := [label for label, count in zip(labels, counts, strict=True) if not count]:
        raise DataError(
            f"the test split has {len(targets)} rows and none of class {', '.join(absent)}; recall and AUROC need "
            "at least one of each.\nGive the test split more rows, then type: dvc repro preprocess"
        )


def values(found: dict[str, Tensor], by_class: dict[str, Tensor], labels: list[str]) -> dict[str, float]:
    """Sorted test/NAME (macro where there is one for each class), test/NAME/CLASS for BY_CLASS, and test/count."""
    given = {"test/count": float(found["confusion"].sum())}
    given |= {f"test/{name}": plain(found[name]) for name in ("accuracy", "loss", "calibration_error")}
    given |= {f"test/{name}": plain(each.mean()) for name, each in by_class.items()}
    names = metric_names(labels)
    for metric in BY_CLASS:
        given |= {f"test/{metric}/{name}": plain(value) for name, value in zip(names, by_class[metric], strict=True)}
    return dict(sorted(given.items()))


def named(indices: Tensor, labels: list[str]) -> list[str]:
    return [labels[index] for index in indices.tolist()]
