"""Results of made-up outputs: they are given as the inputs, so that each batch sees its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.config.schema import Evaluation
from pipeline.evaluation import classification
from pipeline.evaluation.classification import Result

HISTORY = [
    {"epoch": 1, "step": 10, "train/loss": 0.9, "train/accuracy": 0.5, "val/loss": 0.8, "val/accuracy": 0.6},
    {"epoch": 2, "step": 20, "train/loss": 0.4, "train/accuracy": 0.8, "val/loss": 0.5, "val/accuracy": 0.7},
]


def settings(batch_size: int = 1000, bins: int = 10) -> Evaluation:
    return Evaluation(batch_size=batch_size, calibration_bins=bins, mistakes=5, baseline_rows=1000, raw_cells=False)


def scored(
    logits: Tensor, targets: Sequence[int], batch_size: int = 1000, bins: int = 10, labels: list[str] | None = None
) -> Result:
    split = {"inputs": logits, "targets": torch.tensor(targets), "rows": torch.arange(len(targets)) + 1000}
    encoder = {"kind": "image", "labels": labels or [f"c{i}" for i in range(logits.shape[1])]}
    return classification.evaluate(lambda inputs: inputs, split, encoder, settings(batch_size, bins))


def sure(rows: list[list[float]]) -> Tensor:
    """Logits whose softmax is `rows`."""
    return torch.tensor(rows, dtype=torch.float64).log()


def guesses(rows: int, classes: int, labels: list[str] | None = None) -> Result:
    """About 6 in 10 of 4 classes right."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.cat([torch.arange(classes), torch.randint(classes, (rows - classes,), generator=generator)])
    logits = torch.randn(rows, classes, generator=generator) + 1.5 * torch.nn.functional.one_hot(targets, classes)
    return scored(logits, targets.tolist(), batch_size=64, labels=labels)
