"""Tables of any person: numbers, categories and dates of a CSV, Excel, Parquet or JSON file."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.data import PrepareTable, TableData, of_kind
from pipeline.config.schema import Config
from pipeline.kinds.table.encoder import inputs
from pipeline.kinds.table.frames import named
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.store import held_out
from pipeline.store.assignment import NONE, TEST, TRAIN, VAL, assign
from pipeline.store.splits import Fold, Prepared, Split, Unusable, refuse_missing_classes
from pipeline.tables import fitting
from pipeline.tables.parsing import GROUP, HASH, TIME, Parsed, parse
from pipeline.tables.profile import is_plain
from pipeline.tables.reading import Table, only_file, open_table
from pipeline.tables.rows import cleaned, examples, refuse_single_class, set_apart, slices, targets_of
from pipeline.tasks import task as tasks

SIDES = {"train": TRAIN, "val": VAL, "test": TEST}


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """Rows that can't be used are quarantined under train; those that the settings drop are counted in statistics."""
    data = of_kind(config.data, TableData)
    settings = data.prepare
    scratch = Path(tempfile.mkdtemp(dir=paths.scratch()))
    table = opened(raw, data, scratch)
    parsed = parse(table, settings, scratch)
    if not parsed.rows:
        raise DataError(f"{table.path} has no rows below its header; give a table with a row for each example")
    targets, labels, wrong = targets_of(parsed, settings)
    unusable = set_apart(parsed, wrong, settings.max_quarantined)
    kept, dropped = cleaned(parsed, settings, wrong)
    if tasks.by_name(settings.task).classes:
        refuse_single_class(parsed, settings.target, labels)
    sides = np.full(parsed.rows, NONE, np.int8)
    sides[kept] = dealt(parsed, settings, targets[kept], kept, fold)
    dropped["later than this fold"] = int((sides[kept] == NONE).sum())
    if settings.outliers == "drop":
        far = fitting.far_out(parsed, settings, sides == TRAIN)
        sides[far], dropped["outliers"] = NONE, int(far.sum())
    columns, statistics = fitting.fit(parsed, settings, sides == TRAIN)
    encoder = encoder_of(settings, columns, labels, targets[sides == TRAIN])
    splits = written(parsed, encoder, sides, targets, unusable, scratch)
    if labels:
        refuse_missing_classes(splits, labels)
    test = splits["test"]
    splits["test"] = Split(test.inputs, test.targets, test.rows, [], slices(parsed, settings, statistics, test.rows))
    about = {"rows": parsed.rows, "dropped": dropped, "equal": equal_rows(parsed, kept, sides), "columns": statistics}
    plain = table.frame.select(name for name, dtype in table.schema.items() if is_plain(dtype))
    files = held_out.write(plain, test.rows, scratch)
    return Prepared(splits, encoder, about, examples(parsed, encoder, test.rows), files, dropped=dropped)


def opened(raw: Path, data: TableData, scratch: Path) -> Table:
    """The one file of the source, as it was named by its sum, with all the columns that the settings name."""
    settings = data.prepare
    path = only_file(raw, data.source)
    listed = [column.name for column in settings.columns]
    order = listed if settings.target in listed else [*listed, settings.target]
    table = open_table(path, settings.format, scratch, order)
    split = settings.split
    roles = {"target": settings.target, "split.group": split.group, "split.time": split.time}
    for role, column in roles.items():
        if column is not None:
            named(table.names, [column], f"data.prepare.{role} can't be found: {path} has")
    named(table.names, [*listed, *settings.slices], f"data.prepare.columns or slices can't be found: {path} has")
    for column in table.names:
        if column not in (*listed, settings.target) and settings.format.name != "jsonl":
            raise DataError(
                f"{path} has a column {column!r} that data.prepare.columns does not name.\n"
                f"Add it there: {{name: {column}, type: number, category, date or ignore}}"
            )
    if any(column.name == settings.target and column.type != "ignore" for column in settings.columns):
        raise DataError(
            f"data.prepare.columns gives the target {settings.target!r} to the net as an input.\n"
            "Take it out there, or give it the type ignore"
        )
    if all(column.type == "ignore" for column in settings.columns):
        raise DataError("data.prepare.columns has no column to learn from; give one the type number, category or date")
    return table


def dealt(
    parsed: Parsed, settings: PrepareTable, targets: np.ndarray, kept: np.ndarray, fold: Fold | None
) -> np.ndarray:
    """The side of each kept row; rows that are equal in every column stay on one side, as those of a group do."""
    split, groups, times = settings.split, None, None
    if split.time is not None:
        times = parsed.column(TIME).gather(kept).to_numpy()
    if split.group is not None:
        groups = by_appearance(parsed.column(GROUP).gather(kept).to_numpy())
    elif times is None:
        groups = alike(parsed.column(HASH).gather(kept).to_numpy(), targets)
    return assign(targets, split.validation, split.test, groups, times, fold)


def alike(hashes: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """(N,) group of each row, of those equal to it; None where all differ.

    A class of fewer different rows than there are splits can't be in each of them so: its rows stand alone.
    """
    groups = by_appearance(hashes)
    classes = targets if targets.dtype.kind == "i" else np.zeros(len(targets), np.int64)
    pairs = np.unique(
        np.stack([classes, groups]), axis=1
    )  # (2, U): a group has one class, as the hash is of all columns
    if pairs.shape[1] == len(groups):
        return None
    alone = np.bincount(pairs[0], minlength=classes.max() + 1)[classes] < len(SIDES)
    return np.where(alone, len(groups) + np.arange(len(groups)), groups)


def equal_rows(parsed: Parsed, kept: np.ndarray, sides: np.ndarray) -> dict[str, int]:
    """How many of the kept rows are equal, in every column, to an earlier one; and to one on another side."""
    frame = pl.DataFrame({"hash": parsed.column(HASH).gather(kept), "side": sides[kept]})
    later = frame.select(~pl.col("hash").is_first_distinct()).to_series()
    apart = frame.select(pl.col("side") != pl.col("side").first().over("hash")).to_series()
    return {"rows": int(later.sum()), "apart": int(apart.sum())}


def by_appearance(hashes: np.ndarray) -> np.ndarray:
    """0, 1, … in the order of first appearance, so that nothing depends on how Polars hashes."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def encoder_of(
    settings: PrepareTable, columns: list[dict[str, Any]], labels: list[str], targets: np.ndarray
) -> dict[str, Any]:
    """`targets` are train's."""
    width = sum(1 if column["type"] == "category" else len(column["parts"]) + column["flag"] for column in columns)
    encoder: dict[str, Any] = {
        "kind": "table",
        "task": settings.task,
        "shape": [width],
        "dtype": "float32",
        "labels": labels,
        "missing": settings.missing,
        "missing_marks": settings.missing_marks,
        "columns": columns,
    }
    if tasks.by_name(settings.task).numeric:
        mean, std = float(targets.mean(dtype=np.float64)), float(targets.std(dtype=np.float64))
        if not std:
            raise DataError(
                f"the target {settings.target!r} is {mean:g} in every row of train; there is nothing to learn.\n"
                "Name another data.prepare.target, or give rows that differ"
            )
        encoder["target"] = {"mean": mean, "std": std}
    return encoder


def written(
    parsed: Parsed,
    encoder: dict[str, Any],
    sides: np.ndarray,
    targets: np.ndarray,
    unusable: list[Unusable],
    scratch: Path,
) -> dict[str, Split]:
    """The splits, their inputs encoded a batch at a time into files of `scratch` and mapped from there."""
    files = {name: scratch / f"{name}.float32" for name in SIDES}
    handles = {name: path.open("wb") for name, path in files.items()}
    try:
        for start, batch in parsed.batches([column["name"] for column in encoder["columns"]]):
            encoded, here = inputs(encoder, batch), sides[start : start + len(batch)]
            for name, side in SIDES.items():
                handles[name].write(encoded[here == side].tobytes())
    finally:
        for handle in handles.values():
            handle.close()
    splits = {}
    for name, side in SIDES.items():
        rows = np.flatnonzero(sides == side)
        if not len(rows):
            raise DataError(f"no row is left for {name}; give more data, or another data.prepare.split in params.yaml")
        mapped = np.memmap(files[name], np.float32, "r", shape=(len(rows), *encoder["shape"]))
        wanted = targets[rows].astype(np.int64 if encoder["labels"] else np.float32, copy=False)
        splits[name] = Split(mapped, wanted, rows, unusable if name == "train" else [])
    return splits
