"""How far a metric of the test split is certain: 95% intervals, from the rows of reports/predictions.parquet."""

from pathlib import Path

import numpy as np
import polars as pl

from pipeline.evaluation.statistics import interval

MANY = 5000  # different values, of which 10,000 resamples take more than 0.2 s
NORMAL = 1.959964  # standard errors, for 95%


def intervals(predictions: Path, task: str) -> dict[str, tuple[float, float]]:
    """metric → (low, high); of those metrics that are means over the rows, or their root."""
    columns = {"classification": ["label", "predicted"], "regression": ["actual", "predicted"], "ranking": ["rank"]}
    table = pl.read_parquet(predictions, columns=columns[task])
    if task == "classification":
        return {"accuracy": of_mean((table["label"] == table["predicted"]).to_numpy())}
    if task == "ranking":
        ranks = table["rank"].to_numpy()
        hit = ranks <= 10
        return {"hr_10": of_mean(hit), "ndcg_10": of_mean(hit / np.log2(1 + ranks))}
    errors = (table["actual"] - table["predicted"]).to_numpy().astype(np.float64)
    low, high = of_mean(errors**2)
    return {"mae": of_mean(np.abs(errors)), "rmse": (max(low, 0) ** 0.5, high**0.5)}


def of_mean(values: np.ndarray) -> tuple[float, float]:
    """The bootstrap's; of many different values the normal one, from which the bootstrap's differs little by then."""
    if len(values) <= MANY or len(np.unique(values)) <= 256:  # which the bootstrap draws at once
        return interval(values.astype(np.float64))
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
    return mean - NORMAL * error, mean + NORMAL * error
