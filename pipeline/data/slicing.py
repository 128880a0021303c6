"""Slices by which a report scores the test rows of a table, and records to show how a model is asked."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.data import PrepareTable
from pipeline.data.parsing import Parsed

MOST = 20  # values of a column that are slices of their own, the most frequent
EXAMPLES = 2
MISSING, OTHER = "(missing)", "(other)"


def slices(
    parsed: Parsed, settings: PrepareTable, statistics: dict[str, Any], rows: np.ndarray
) -> dict[str, list[str]]:
    """Column → the value in each of the rows; of a number the quartile of train, of a date the year."""
    found = {}
    for name in settings.slices:
        values, about = parsed.column(name).gather(rows), statistics.get(name, {"type": "ignore"})
        if about["type"] == "number":
            texts = quartiles(values, about["quartiles"])
        elif about["type"] == "date":
            texts = (values * 1e6).cast(pl.Int64).cast(pl.Datetime("us")).dt.year().cast(pl.String)
        else:
            counts = values.drop_nulls().rename("value").value_counts(name="rows")
            common = counts.sort(["rows", "value"], descending=[True, False]).head(MOST)["value"]
            texts = values.set(values.is_not_null() & ~values.is_in(common.implode()), OTHER)
        found[name] = texts.fill_null(MISSING).to_list()
    return found


def quartiles(values: pl.Series, bounds: list[float]) -> pl.Series:
    edges = sorted(set(bounds))
    names = [f"up to {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges)), f"over {edges[-1]:g}"]
    places = pl.Series(np.searchsorted(edges, values.fill_null(0).to_numpy()))
    texts = places.replace_strict(pl.Series(range(len(names))), pl.Series(names), return_dtype=pl.String)
    return texts.set(values.is_null(), None)


def examples(parsed: Parsed, encoder: dict[str, Any], rows: np.ndarray) -> list[dict[str, Any]]:
    """The first two test rows without a gap, or the first two: the columns that a model needs, in JSON's types."""
    kinds = {column["name"]: column["type"] for column in encoder["columns"]}
    _, batch = next(parsed.batches(list(kinds)))
    gaps = batch.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy()
    near = rows[rows < len(batch)]
    whole = near[~gaps[near]][:EXAMPLES]
    chosen = whole if len(whole) == EXAMPLES else rows[:EXAMPLES]
    return [record(parsed, int(row), kinds) for row in chosen]


def record(parsed: Parsed, row: int, kinds: dict[str, str]) -> dict[str, Any]:
    """Numbers and words as they are read; dates as the file writes them."""
    found = pl.scan_ipc(parsed.path).select(list(kinds)).slice(row, 1).collect()
    dates = [name for name, kind in kinds.items() if kind == "date"]
    written = parsed.table.frame.select(dates).slice(row, 1).collect() if dates else found
    return {
        name: written[name].cast(pl.String)[0] if kind == "date" else found[name][0] for name, kind in kinds.items()
    }
