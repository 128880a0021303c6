"""The predictions and what `dvc plots` draws of them: parquet for programs, CSV for the plots."""

from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from pipeline.evaluation.metrics import Result
from pipeline.project.files import write_atomically

ROC_POINTS = 200  # for each class in roc.csv


def write_parquet(path: Path, result: Result, rows: Tensor) -> None:
    """row (published), label, predicted, and p_CLASS for each class; one line for each of `rows` (N,) int64."""
    frame = pl.DataFrame(
        {"row": rows.numpy(), **actual_and_predicted(result)}
        | {f"p_{label}": p.numpy() for label, p in zip(result.labels, result.probabilities.float().T, strict=True)}
    )
    write_atomically(path, frame.write_parquet)


def actual_and_predicted(result: Result) -> dict[str, list[str]]:
    return {
        "label": [result.labels[index] for index in result.targets.tolist()],
        "predicted": [result.labels[index] for index in result.predicted.tolist()],
    }


def write_plots(folder: Path, result: Result, history: list[dict[str, Any]]) -> None:
    """curves.csv, confusion.csv, roc.csv and calibration.csv; `history` is that of models/run.json."""
    curves = pl.DataFrame(history)
    tables = {
        "curves": curves.rename({name: name.replace("/", "_") for name in curves.columns}),
        "confusion": pl.DataFrame(actual_and_predicted(result)).rename({"label": "actual"}),
        "roc": pl.concat(roc(label, *rates) for label, rates in zip(result.labels, result.roc, strict=True)),
        "calibration": pl.DataFrame(
            {
                "confidence": result.calibration[:, 0].numpy(),
                "accuracy": result.calibration[:, 1].numpy(),
                "count": result.calibration[:, 2].long().numpy(),
            }
        ),
    }
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", table.write_csv)


def roc(label: str, fpr: Tensor, tpr: Tensor) -> pl.DataFrame:
    """At most ROC_POINTS of one class's curve, both its ends among them."""
    kept = torch.linspace(0, len(fpr) - 1, min(len(fpr), ROC_POINTS)).long()
    return pl.DataFrame({"class": [label] * len(kept), "fpr": fpr[kept].numpy(), "tpr": tpr[kept].numpy()})
