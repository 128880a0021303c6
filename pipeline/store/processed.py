"""data/processed: tensors of each split, the encoder that made them, and spec.json with the sums of all.

A file is written as its safetensors layout says, array by array: a memory-mapped one never fills the memory.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from pipeline.project.errors import DataError
from pipeline.project.files import digest, quoted, read_json, sha256, sync_folder, write_json
from pipeline.project.paths import PROCESSED
from pipeline.store.splits import Prepared, Split, Unusable
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    import torch

SPEC, ENCODER, QUARANTINE, SLICES = "spec.json", "encoder.json", "quarantine.parquet", "slices.parquet"
TYPES = {"uint8": "U8", "int32": "I32", "int64": "I64", "float32": "F32"}  # NumPy's names → safetensors'
CHUNK = 1 << 24  # bytes written at a time


def tensors(name: str) -> str:
    return f"{name}.safetensors"


def load_spec(folder: Path = PROCESSED) -> dict[str, Any]:
    """spec.json; DataError if it is missing or its fingerprint is not that of its content."""
    path = folder / SPEC
    spec = read_json(path, "preprocess")
    content = {key: value for key, value in spec.items() if key != "fingerprint"} if isinstance(spec, dict) else {}
    expect(path, digest(content), spec.get("fingerprint") if content else None, "its fingerprint")
    return spec


def load_encoder(folder: Path = PROCESSED) -> dict[str, Any]:
    verify(folder / ENCODER, load_spec(folder)["encoder_sha256"])
    return read_json(folder / ENCODER, "preprocess")


def load_split(name: str, spec: Mapping[str, Any] | None = None, folder: Path = PROCESSED) -> dict[str, "torch.Tensor"]:
    """inputs (N, …), targets (N,), rows (N,) of train, val or test, as in splits.Split; each load hashes the file.

    The sum is checked each time because DVC takes a file whose mode and time are unchanged for the one it stored.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    spec = load_spec(folder) if spec is None else spec
    path = folder / tensors(name)
    verify(path, spec["splits"][name]["sha256"])
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path} does not hold tensors: {error}.\nType: dvc repro --force preprocess") from error


def verify(path: Path, wanted: str) -> None:
    if not path.is_file():
        raise DataError(
            f"{path} is missing; `ratchet preprocess` makes it.\nType: {anew(path, 'dvc repro preprocess')}"
        )
    expect(path, sha256(path), wanted, SPEC)


def expect(path: Path, given: str, wanted: str | None, source: str) -> None:
    if given != wanted:
        # removed first, because DVC leaves a file whose time and mode are unchanged as it is
        back = f"rm -r {PROCESSED} && dvc checkout --force {PROCESSED}   (brings back what DVC's cache holds)"
        typed = anew(path, f"{back}\nor, if that is damaged too: dvc repro --force preprocess")
        raise DataError(
            f"{path} is not what preprocess wrote: its SHA-256 is {given}, but {source} says {wanted}.\nType: {typed}"
        )


def anew(path: Path, typed: str) -> str:
    """What to type for a file of data/processed; of a fold, which DVC does not know, another."""
    if path.parent.resolve() == PROCESSED.resolve():
        return typed
    return f"rm -r {quoted(path.parent)}   (a cross-validation prepares it anew)"


def file(name: str, spec: Mapping[str, Any], folder: Path = PROCESSED) -> Path | None:
    """The path of one more file that preprocess left, verified; None if this data has no such file."""
    if name not in spec["files"]:
        return None
    verify(folder / name, spec["files"][name])
    return folder / name


def write(prepared: Prepared, about: Mapping[str, Any], folder: Path = PROCESSED) -> dict[str, Any]:
    """Replaces `folder` by the splits, their encoder and their spec, which is returned: all of it, or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
        for left in (fresh, old):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir()
        spec = fill(fresh, prepared, about)
        sync_folder(fresh)
        if folder.exists():
            os.rename(folder, old)
        os.rename(fresh, folder)
        sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    return spec


def fill(folder: Path, prepared: Prepared, about: Mapping[str, Any]) -> dict[str, Any]:
    described = {}
    for name, split in prepared.splits.items():
        write_tensors(folder / tensors(name), split)
        described[name] = {
            "rows": len(split.rows),
            "quarantined": len(split.quarantined),
            "sha256": sha256(folder / tensors(name)),
        }
        if tasks.of(prepared.encoder).classes:
            described[name]["per_class"] = split.per_class(len(prepared.encoder["labels"]))
    write_json(folder / ENCODER, prepared.encoder)
    write_quarantine(folder / QUARANTINE, {name: split.quarantined for name, split in prepared.splits.items()})
    write_slices(folder / SLICES, prepared.splits["test"])
    for name, source in prepared.files.items():
        shutil.copyfile(source, folder / name)
        sync_file(folder / name)
    files = [QUARANTINE, SLICES, *prepared.files]
    content = {
        **about,
        "splits": described,
        "encoder_sha256": sha256(folder / ENCODER),
        "files": {name: sha256(folder / name) for name in files},
    }
    spec = {**content, "fingerprint": digest(content)}
    write_json(folder / SPEC, spec)
    return spec


def write_tensors(path: Path, split: Split) -> None:
    arrays = {"inputs": split.inputs, "rows": split.rows, "targets": split.targets}
    header, end = {}, 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": TYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.writelines(chunks(array))
    sync_file(path)


def chunks(array: np.ndarray) -> Iterator[bytes]:
    """The array's bytes, row after row."""
    rows = max(1, CHUNK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows]).tobytes()


def write_slices(path: Path, test: Split) -> None:
    import polars

    columns = {name: polars.Series(values, dtype=polars.String) for name, values in test.slices.items()}
    polars.DataFrame(columns).write_parquet(path)
    sync_file(path)


def write_quarantine(path: Path, quarantined: Mapping[str, list[Unusable]]) -> None:
    import polars

    columns = {"split": polars.String, "row": polars.Int64, "reason": polars.String, "record": polars.Binary}
    rows = [(name, one.row, one.reason, one.record) for name, bad in quarantined.items() for one in bad]
    polars.DataFrame(rows, schema=columns, orient="row").write_parquet(path)
    sync_file(path)


def sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
