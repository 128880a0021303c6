"""What a task is trained for and how an epoch is scored: the loss, and the metrics of train and validation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, huber_loss, mse_loss
from torchmetrics import Metric
from torchmetrics.regression import R2Score

from pipeline.config.schema import Config, CrossEntropy, Huber
from pipeline.tasks import task as tasks
from pipeline.tasks.ranking import without_seen
from pipeline.training.optimization import known

CUT = 10  # of a ranked list


class Objective(nn.Module):
    """`quality` names what is summed over a training epoch: the share of right answers, or the mean absolute error."""

    weights: Tensor | None

    def __init__(self, config: Config, encoder: dict[str, Any], per_class: list[int]):
        """`per_class`: rows of each class in train, for balanced weights; empty where there are no classes."""
        super().__init__()
        self.settings = config.loss
        known("loss", config.loss.name, LOSSES)
        self.task = tasks.of(encoder)
        self.quality = self.task.quality
        self.smoothing = config.loss.label_smoothing if isinstance(config.loss, CrossEntropy) else 0.0
        self.delta = config.loss.delta if isinstance(config.loss, Huber) else 1.0
        weights = None
        if isinstance(config.loss, CrossEntropy) and config.loss.class_weights == "balanced":
            counts = torch.tensor(per_class, dtype=torch.float32)
            weights = counts.sum() / (len(counts) * counts)
        target = encoder.get("target", {"mean": 0.0, "std": 1.0})
        self.register_buffer("weights", weights, persistent=False)
        self.mean, self.std = target["mean"], target["std"]
        self.metrics = self.task.validation(encoder)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(B,) of outputs (B, …); a regression's in standard deviations of train's targets.

        Their mean is the batch's loss. Not torch's weighted mean, which is another for each batch's mix of classes.
        """
        return LOSSES[self.settings.name](self, outputs, targets)

    def qualities(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The sum over the batch of right answers, or of absolute errors in the target's unit."""
        if not self.task.numeric:
            return (outputs.argmax(dim=1) == targets).sum()
        return (self.unscaled(outputs) - targets).abs().sum()

    def unscaled(self, outputs: Tensor) -> Tensor:
        return outputs.squeeze(1) * self.std + self.mean

    def update(self, outputs: Tensor, targets: Tensor, inputs: Tensor) -> None:
        """Adds a batch of validation to the metrics."""
        if self.task.numeric:
            self.metrics.update(self.unscaled(outputs.double()), targets.double())
        elif self.task.history:
            self.metrics.update(outputs, targets, inputs)
        else:
            self.metrics.update(outputs, targets)

    def compute(self) -> dict[str, Tensor]:
        """val/NAME of the metrics since the last call; without what such rows do not define, as R² of a single one."""
        found = {f"val/{name}": value.float() for name, value in self.metrics.compute().items()}
        self.metrics.reset()
        return {name: value for name, value in found.items() if value.isfinite()}


def of_classes(objective: Objective, outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets, objective.weights, reduction="none", label_smoothing=objective.smoothing)


def squared(objective: Objective, outputs: Tensor, targets: Tensor) -> Tensor:
    return mse_loss(outputs.squeeze(1), (targets - objective.mean) / objective.std, reduction="none")


def huber(objective: Objective, outputs: Tensor, targets: Tensor) -> Tensor:
    return huber_loss(
        outputs.squeeze(1), (targets - objective.mean) / objective.std, reduction="none", delta=objective.delta
    )


# binary: of the two logits that pipeline/models/network.py makes of one output
LOSSES: dict[str, Callable[[Objective, Tensor, Tensor], Tensor]] = {
    "cross_entropy": of_classes,
    "binary": of_classes,
    "mse": squared,
    "huber": huber,
}


class Ranked(Metric):
    """Hit rate, NDCG at 10 and mean reciprocal rank of one target among all items that were not seen before."""

    full_state_update = False
    hits: Tensor
    gains: Tensor
    reciprocals: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("hits", "gains", "reciprocals", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, targets: Tensor, inputs: Tensor) -> None:
        scores = without_seen(outputs, inputs)  # (B, items)
        ranks = 1 + (scores > scores.gather(1, targets.unsqueeze(1))).sum(dim=1)  # (B,)
        hits = (ranks <= CUT).double()
        self.hits += hits.sum()
        self.gains += (hits / (ranks + 1).double().log2()).sum()
        self.reciprocals += (1 / ranks.double()).sum()
        self.count += len(ranks)

    def compute(self) -> dict[str, Tensor]:
        return {
            f"hr_{CUT}": self.hits / self.count,
            f"ndcg_{CUT}": self.gains / self.count,
            "mrr": self.reciprocals / self.count,
        }


class DefinedR2(R2Score):
    """NaN of a single row, where torchmetrics raises."""

    def compute(self) -> Tensor:
        return super().compute() if self.total > 1 else torch.tensor(float("nan"))
