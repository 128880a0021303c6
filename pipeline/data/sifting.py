"""Which rows of a table can be used: the others are quarantined with the reason, or dropped by a stated rule."""

import numpy as np
import polars as pl

from pipeline.config.data import PrepareTable
from pipeline.data.parsing import BLANK, GAP, HASH, MOST_QUARANTINED, TARGET, WRONG, Check, Parsed
from pipeline.data.splits import Unusable, by_kind, least_share
from pipeline.project.errors import DataError
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
    codes = codes.cast(pl.Int32).to_numpy()
    if rare:
        parsed.checks.append(Check(pl.lit(False), settings.target, f"a class of {FEWEST} usable rows or more"))
        wrong[(codes < 0) & (wrong < 0) & values.is_not_null().to_numpy()] = len(parsed.checks) - 1
    return codes, labels, wrong


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
