"""Which rows of a table can be used: the others are quarantined with the reason, or dropped by a stated rule."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.data import PrepareTable
from pipeline.project.errors import DataError
from pipeline.store.splits import Unusable, by_kind, least_share
from pipeline.tables.parsing import BLANK, GAP, HASH, MOST_QUARANTINED, TARGET, WRONG, Check, Parsed
from pipeline.tasks import task as tasks

FEWEST = 3  # rows of a class: one for each split


def targets_of(parsed: Parsed, settings: PrepareTable) -> tuple[np.ndarray, list[str], np.ndarray]:
    """(N,) class index or float32 value; the classes' names; and (N,) int16 check that the row fails, −1 for none."""
    values = parsed.column(TARGET)
    wrong = parsed.column(WRONG).fill_null(-1).to_numpy().copy()
    wrong[parsed.column(BLANK).to_numpy()] = -1
    if tasks.by_name(settings.task).numeric:
        with np.errstate(over="ignore", invalid="ignore"):
            return values.to_numpy().astype(np.float32), [], wrong
    counts = values.filter(pl.Series(wrong < 0)).drop_nulls().rename("value").value_counts(name="rows")
    rare = set(counts.filter(pl.col("rows") < FEWEST)["value"])
    labels = sorted(set(counts["value"]) - rare)
    known = pl.Series(labels, dtype=pl.String)
    codes = values.replace_strict(known, pl.Series(range(len(labels)), dtype=pl.Int32), default=-1)
    targets = codes.cast(pl.Int32).to_numpy()
    if rare:
        parsed.checks.append(Check(pl.lit(False), settings.target, f"a class of {FEWEST} usable rows or more"))
        wrong[(targets < 0) & (wrong < 0) & values.is_not_null().to_numpy()] = len(parsed.checks) - 1
    return targets, labels, wrong


def refuse_single_class(parsed: Parsed, target: str, labels: list[str]) -> None:
    if len(labels) < 2:
        counts = parsed.column(TARGET).drop_nulls().rename("value").value_counts(name="rows")
        found = dict(counts.sort("rows", "value", descending=[True, False]).head(5).rows())
        raise DataError(
            f"the target {target!r} has {len(labels)} classes of {FEWEST} usable rows or more; 2 are needed.\n"
            f"Its classes and their rows are {found or 'none'}. Give more rows, or name another data.prepare.target"
        )


def cleaned(parsed: Parsed, settings: PrepareTable, wrong: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """The rows that are left, ascending, and how many each rule has dropped."""
    blank = parsed.column(BLANK).to_numpy()
    left = ~blank & (wrong < 0)
    dropped = {"blank": int(blank.sum())}
    if settings.missing == "drop":
        gaps = left & parsed.column(GAP).to_numpy()
        left, dropped["missing"] = left & ~gaps, int(gaps.sum())
    kept = np.flatnonzero(left)
    if settings.duplicates == "drop":
        first = parsed.column(HASH).gather(kept).is_first_distinct().to_numpy()
        kept, dropped["duplicates"] = kept[first], int((~first).sum())
    if not len(kept):
        raise DataError(f"{parsed.table.path} has {parsed.rows:,} rows, and none that can be used: dropped {dropped}")
    return kept, dropped


def set_apart(parsed: Parsed, wrong: np.ndarray, most: float) -> list[Unusable]:
    bad, total = int((wrong >= 0).sum()), parsed.rows
    if bad > MOST_QUARANTINED:
        raise DataError(
            f"{bad:,} of {total:,} rows can't be used, and {MOST_QUARANTINED:,} at most are kept with their reason.\n"
            f"The first is {parsed.unusable(only_first(wrong))[0].reason}.\n"
            "Correct the file, or give the column another type in data.prepare.columns"
        )
    unusable = parsed.unusable(wrong) if bad else []
    if bad > most * total:
        reasons = "\n".join(by_kind({"the file": unusable}))
        choice = f", or set data.prepare.max_quarantined to {least_share(bad / total)} in params.yaml"
        raise DataError(
            f"{bad:,} of {total:,} rows ({bad / total:.2%}) can't be used; data.prepare.max_quarantined allows "
            f"{most:.2%}.\n{reasons}\nCorrect the file, give the column another type in data.prepare.columns"
            + (choice if bad < total else "")
        )
    return unusable


def only_first(wrong: np.ndarray) -> np.ndarray:
    one = np.full_like(wrong, -1)
    first = np.argmax(wrong >= 0)
    one[first] = wrong[first]
    return one


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
