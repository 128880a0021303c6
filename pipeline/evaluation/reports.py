"""What people read of an evaluation: the worst mistakes, the slices, and the table in the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from pipeline.evaluation.scoring import Result
from pipeline.kinds.encoding import decode
from pipeline.project.errors import DataError
from pipeline.tasks.metrics import lower_is_better

FEW = 20  # rows; a slice of fewer proves little
MISSING = "(missing)"
NAMED = 3  # slices in the terminal
# The tables behind dvc.yaml's plots, without a row: DVC draws nothing of them, and complains of files that are absent
NO_PLOTS = {
    name: pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    for name, columns in {
        "confusion": ("actual", "predicted"),
        "roc": ("fpr", "tpr"),
        "pr": ("recall", "precision"),
        "calibration": ("confidence", "accuracy"),
        "residuals": ("predicted", "residual"),
        "errors": ("residual", "count"),
        "hit_rate": ("k", "hit_rate"),
    }.items()
}


def mistakes(result: Result, split: dict[str, Tensor], encoder: dict[str, Any], number: int) -> pl.DataFrame:
    """The worst `number`: row (of the raw file), actual, predicted, how bad, and the record where it reads as text."""
    found = result.mistakes(number)
    chosen = found["index"].to_list()
    records = decode(encoder, split["inputs"][chosen].numpy())
    rows = pl.Series("row", split["rows"][chosen].numpy(), dtype=pl.Int64)
    found = found.drop("index").insert_column(0, rows)
    return found.with_columns(pl.Series("record", records, dtype=pl.String)) if any(records) else found


def slices(result: Result, path: Path | None) -> pl.DataFrame:
    """column, value, rows, few (fewer than FEW) and the scores of each slice; the worst first, few rows last.

    `path`: a parquet file with a row for each of the split and a column for each way to slice it; None for no slices.
    """
    found = [one for name, groups in grouped(result, path) for one in scored(result, name, groups)]
    if not found:
        return pl.DataFrame(schema={"column": pl.String, "value": pl.String, "rows": pl.Int64, "few": pl.Boolean})
    table = pl.DataFrame(found)
    score = table.columns[4]
    better = lower_is_better(score)
    return table.sort("few", score, "column", "value", descending=[False, better, False, False])


def grouped(result: Result, path: Path | None) -> list[tuple[str, pl.DataFrame]]:
    table = pl.DataFrame() if path is None else pl.read_parquet(path)
    if table.width and table.height != result.values["test/count"]:
        count = int(result.values["test/count"])
        raise DataError(
            f"{path} has {table.height:,} rows for the {count:,} of the test split.\nType: dvc repro --force preprocess"
        )
    return [(name, table.select(name).with_row_index("index")) for name in table.columns]


def scored(result: Result, name: str, groups: pl.DataFrame) -> list[dict[str, Any]]:
    together = groups.group_by(pl.col(name).fill_null(MISSING), maintain_order=True).agg("index")
    return [
        {"column": name, "value": value, "rows": len(index), "few": len(index) < FEW}
        | result.scores(torch.tensor(index, dtype=torch.int64))
        for value, index in together.rows()
    ]


def summary(result: Result, baselines: Mapping[str, dict[str, float]], table: pl.DataFrame) -> str:
    """The model beside its baselines, metric by metric; then where it is weakest."""
    sources = {"the model": result.values, **baselines}
    lines = ["".join([f"{'test':<24}", *(f"{name:>12}" for name in sources)])]
    for metric in result.headline:
        values = [source.get(f"test/{metric}") for source in sources.values()]
        if any(value is not None for value in values):
            lines.append("".join([f"{metric:<24}", *(f"{shown(value):>12}" for value in values)]))
    lines += [result.weakest(), *worst(table)]
    return "\n".join(line for line in lines if line)


def shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.6g}"


def worst(table: pl.DataFrame) -> list[str]:
    """A line for each of the worst slices that have rows enough."""
    enough = table.filter(~pl.col("few")).head(NAMED)
    if not enough.height:
        return []
    score = table.columns[4]
    return [
        f"{score} {shown(one[score])} where {one['column']} is {one['value']} ({one['rows']:,} rows)"
        for one in enough.to_dicts()
    ]
