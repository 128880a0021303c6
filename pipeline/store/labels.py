"""Labels from use, in data/feedback: train gets them, but for a share that is held back for the gate.

Validation and test never do: what stands there is no label for train, whoever asked for it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from pipeline.config.schema import Labels
from pipeline.kinds.encoding import encode_usable, raw
from pipeline.kinds.kind import of
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import sha256
from pipeline.store.splits import Prepared, Split, Unusable
from pipeline.tasks import task as tasks

FILE = paths.FEEDBACK / "labels.parquet"
HELD_BACK = "held_back.parquet"  # of data/processed: record and label, as they stand in FILE
COLUMNS: dict[str, pl.DataType | pl.datatypes.DataTypeClass] = {
    "number": pl.Int64,  # in the feedback store, in the order in which labels were given
    "prediction": pl.String,
    "time": pl.Datetime("ms", "UTC"),  # of the label
    "version": pl.Int32,  # of the model that predicted
    "kind": pl.String,  # of the encoder
    "record": pl.Binary,
    "label": pl.String,
}


@dataclass(frozen=True)
class Example:
    row: int  # of FILE
    record: Any  # as pipeline/kinds/KIND/encoder.py takes it
    target: float  # index of the class or item; of a regression the value


def joined(prepared: Prepared, labels: Labels, scratch: Path) -> Prepared:
    """With labels from use in train, as rows −1, −2, … for those of FILE; DataError if it is not what was exported."""
    table, encoder = read(labels), prepared.encoder
    examples, unusable = sorted_out(encoder, table)
    inputs, found = encode_usable(encoder, [one.record for one in examples])
    unusable += [refused(table, examples[place].row, reason) for place, reason in found.items()]
    examples = [one for place, one in enumerate(examples) if place not in found]
    names = np.array(list(keys(encoder, inputs)), "S16")
    leaks = np.isin(names, list(seen(encoder, prepared.splits["val"], prepared.splits["test"])))
    bad = [examples[place].row for place in np.flatnonzero(leaks)]
    unusable += [refused(table, row, "the same stands in validation or test") for row in bad]
    back = np.array([held_back(table["record"][one.row], labels.held_back) for one in examples], bool)
    back = np.isin(names, names[back])  # records that differ may be equal for the net
    train = extended(prepared.splits["train"], inputs, examples, chosen := np.flatnonzero(~leaks & ~back), unusable)
    rows = [examples[place].row for place in np.flatnonzero(~leaks & back)]
    table[rows].select("record", "label", "kind").write_parquet(scratch / HELD_BACK)
    told = {
        "sha256": labels.sha256,
        "rows": labels.rows,
        "until": labels.until,
        "joined": len(chosen),
        "held_back": len(rows),
        "unusable": len(unusable),
        "versions": {str(version): count for version, count in table["version"].value_counts().sort("version").rows()},
    }
    files = prepared.files | {HELD_BACK: scratch / HELD_BACK}
    return replace(prepared, splits=prepared.splits | {"train": train}, files=files, feedback=told)


def read(labels: Labels, file: Path = FILE) -> pl.DataFrame:
    if not file.is_file():
        raise DataError(f"{file} is missing; params.yaml says under `labels` that train gets it.\nType: dvc repro")
    if (given := sha256(file)) != labels.sha256:
        raise DataError(
            f"{file} is not what params.yaml names under `labels`: its SHA-256 is {given}, not {labels.sha256}.\n"
            "Type: ratchet feedback --export && dvc repro"
        )
    return pl.read_parquet(file, columns=list(COLUMNS))


def sorted_out(encoder: dict[str, Any], table: pl.DataFrame) -> tuple[list[Example], list[Unusable]]:
    """What the encoder takes, and what it does not, with the reason."""
    examples, unusable = [], []
    for row, (kind, record, label) in enumerate(table.select("kind", "record", "label").iter_rows()):
        try:
            examples.append(Example(row, raw(encoder, kind, record), target(encoder, label)))
        except DataError as error:
            unusable.append(refused(table, row, str(error)))
    return examples, unusable


def target(encoder: dict[str, Any], label: str) -> float:
    if tasks.of(encoder).numeric:
        return float(label)
    if label not in encoder["labels"]:
        raise DataError(f"the label {label!r} is none of the {len(encoder['labels']):,} that this data has")
    return encoder["labels"].index(label)


def refused(table: pl.DataFrame, row: int, reason: str) -> Unusable:
    number, version, record = table.select("number", "version", "record").row(row)
    return Unusable(-1 - row, f"label {number} of use, on an answer of version {version}: {reason}", record)


def seen(encoder: dict[str, Any], *splits: Split) -> set[bytes]:
    return {key for split in splits for key in keys(encoder, split.inputs)}


def keys(encoder: dict[str, Any], inputs: np.ndarray) -> Iterator[bytes]:
    """By which equal inputs are known, however wide a history's row is."""
    kind = of(encoder)
    for row in inputs:
        yield hashlib.blake2b(np.ascontiguousarray(kind.compact(row)).tobytes(), digest_size=16).digest()


def held_back(record: bytes, share: float) -> bool:
    """By the record alone: it stays on its side, whoever asks again and however many labels come."""
    mixed = int.from_bytes(hashlib.blake2b(record, digest_size=8).digest(), "big")
    return mixed < share * 2**64


def extended(
    train: Split, inputs: np.ndarray, examples: list[Example], chosen: np.ndarray, unusable: list[Unusable]
) -> Split:
    targets = np.array([examples[place].target for place in chosen], train.targets.dtype)
    rows = np.array([-1 - examples[place].row for place in chosen], np.int64)
    return Split(
        inputs=appended(train.inputs, fitting(inputs[chosen], train.inputs.shape[1])),
        targets=np.concatenate([train.targets, targets]),
        rows=np.concatenate([train.rows, rows]),
        quarantined=train.quarantined + unusable,
    )


def fitting(inputs: np.ndarray, width: int) -> np.ndarray:
    """Histories (N, L) as wide as those of train: the latest items; all else has this width already."""
    cut = inputs[:, -width:]
    return np.pad(cut, ((0, 0), (width - cut.shape[1], 0))) if cut.ndim == 2 else cut


def appended(array: np.ndarray, more: np.ndarray) -> np.ndarray:
    """A mapped array may not fit in memory: its file grows."""
    if not isinstance(array, np.memmap):
        return np.concatenate([array, more])
    path = cast("str", array.filename)  # what datasets map is a file
    with open(path, "ab") as file:
        file.write(np.ascontiguousarray(more, array.dtype).tobytes())
    return np.memmap(path, array.dtype, "r", shape=(len(array) + len(more), *array.shape[1:]))
