"""How far a metric of the test split is certain: 95% intervals, from the rows of reports/predictions.parquet."""

from pathlib import Path

import numpy as np

from pipeline.evaluation.statistics import interval
from pipeline.tasks.task import by_name

MANY = 5000  # different values, of which 10,000 resamples take more than 0.2 s
NORMAL = 1.959964  # standard errors, for 95%


def intervals(predictions: Path, task: str) -> dict[str, tuple[float, float]]:
    """metric → (low, high); of those metrics that are means over the rows, or their root."""
    return by_name(task).intervals(predictions)


def of_mean(values: np.ndarray) -> tuple[float, float]:
    """The bootstrap's; of many different values the normal one, from which the bootstrap's differs little by then."""
    if len(values) <= MANY or len(np.unique(values)) <= 256:  # which the bootstrap draws at once
        return interval(values.astype(np.float64))
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
    return mean - NORMAL * error, mean + NORMAL * error
