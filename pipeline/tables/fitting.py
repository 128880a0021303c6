"""What a table's encoder knows, fitted on train: scales, medians, bounds and vocabularies."""

from typing import Any

import numpy as np
import polars as pl

from pipeline.config.data import PrepareTable
from pipeline.kinds.table.encoder import DATE_PARTS, part_of
from pipeline.project.errors import DataError
from pipeline.tables.parsing import Parsed

Description = dict[str, Any]
TAILS = (0.25, 0.05, 0.01)  # shares of the numbers beyond the quantiles that outliers are measured by


def fit(parsed: Parsed, settings: PrepareTable, train: np.ndarray) -> tuple[list[Description], dict[str, Description]]:
    """The encoder's columns and the statistics of each, of the rows that `train` (N,) bool marks."""
    columns, statistics = [], {}
    rows = pl.Series(train)
    used = {column.name: column for column in settings.columns if column.type != "ignore"}
    for name, values in parsed.columns(list(used)):
        column, values = used[name], values.filter(rows)
        made = category(values, settings) if column.type == "category" else number(column, values, parsed, settings)
        columns.append({"name": column.name, "type": column.type, **made[0]})
        statistics[column.name] = {"type": column.type, "missing": values.null_count(), **made[1]}
    return columns, statistics


def number(column: Any, values: pl.Series, parsed: Parsed, settings: PrepareTable) -> tuple[Description, Description]:
    """Of a number or a date."""
    given = values.drop_nulls().to_numpy()  # float64
    if not len(given):
        raise DataError(
            f"column {column.name!r} is empty in every row of train.\n"
            "Give it the type ignore in data.prepare.columns, or fill it in the file"
        )
    lower, median, upper = np.quantile(given, [0.25, 0.5, 0.75]).tolist()
    low = high = None
    is_date = column.type == "date"
    if settings.outliers == "clip" and not is_date:
        low, high = bounds(given, settings)
        given = np.clip(given, low, high)
    made = {"fill": median, "low": low, "high": high, "flag": settings.missing == "fill" and len(given) < len(values)}
    made["format"] = parsed.forms[column.name]
    if is_date:
        made["start"] = float(given.min())
    made["parts"] = parts(column.name, given, made, settings.scaling)
    spread = {"min": float(given.min()), "quartiles": [lower, median, upper], "max": float(given.max())}
    return made, {**spread, "mean": float(given.mean()), "std": float(given.std())}


def bounds(given: np.ndarray, settings: PrepareTable) -> tuple[float | None, float | None]:
    """Tukey's fences; where half of the numbers are one, those of wider quantiles, or none: it would be left alone."""
    for tail in TAILS:
        lower, upper = np.quantile(given, [tail, 1 - tail]).tolist()
        if lower < upper:
            reach = settings.outlier_iqr * (upper - lower)
            return lower - reach, upper + reach
    return None, None


def parts(name: str, given: np.ndarray, made: Description, scaling: str) -> list[Description]:
    """A number as it is; of a date the parts that vary on train, and the seconds."""
    if "start" not in made:
        return [{"part": "value", **scale(name, given, scaling)}]
    split = {part: part_of(given, part, made) for part in DATE_PARTS}
    varying = {part: values for part, values in split.items() if part == "seconds" or np.ptp(values)}
    return [{"part": part, **scale(name, values, scaling)} for part, values in varying.items()]


def scale(name: str, values: np.ndarray, scaling: str) -> dict[str, float]:
    """(value − subtract) · multiply is in [0, 1], in [−1, 1], or of mean 0 and deviation 1; 0 for a constant."""
    low, high = float(values.min()), float(values.max())
    with np.errstate(over="ignore", invalid="ignore"):
        middle = {"unit": low, "symmetric": low / 2 + high / 2, "standard": float(values.mean())}[scaling]
        reach = {"unit": high - low, "symmetric": high / 2 - low / 2, "standard": float(values.std())}[scaling]
    if low == high:
        return {"subtract": low, "multiply": 0.0}
    multiply = 1 / reach if reach else np.inf
    if not np.isfinite([middle, reach, multiply]).all():
        raise DataError(
            f"column {name!r} can't be scaled: it holds {low:.4g} to {high:.4g}, too wide or too near for float64.\n"
            "Give another unit in the file, or the type ignore in data.prepare.columns"
        )
    return {"subtract": middle, "multiply": multiply}


def category(values: pl.Series, settings: PrepareTable) -> tuple[Description, Description]:
    """The most frequent values, and null where train has one; of equally frequent ones the first by name."""
    counts = values.drop_nulls().rename("value").value_counts(name="rows")
    kept = counts.sort(["rows", "value"], descending=[True, False]).head(settings.max_categories)
    known = kept["value"].to_list() + ([None] if values.null_count() else [])
    rare = int(counts["rows"].sum()) - int(kept["rows"].sum())
    return {"values": known}, {"values": len(counts), "rare_rows": rare}


def far_out(parsed: Parsed, settings: PrepareTable, train: np.ndarray) -> np.ndarray:
    """(N,) bool: the rows of train with a number beyond the bounds that data.prepare.outlier_iqr sets."""
    found = np.zeros(len(train), bool)
    for _, numbers in parsed.columns([column.name for column in settings.columns if column.type == "number"]):
        values = numbers.to_numpy()
        given = values[train & ~np.isnan(values)]
        if len(given):
            low, high = bounds(given, settings)
            if low is not None:
                found |= train & ((values < low) | (values > high))
    return found
