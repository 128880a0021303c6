"""data/processed: tensors of each split, the encoder that made them, and spec.json with the sums of all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from pipeline.data.splits import Split, Unusable
from pipeline.project.errors import DataError
from pipeline.project.files import digest, read_json, sha256, sync_folder, write_json
from pipeline.project.paths import PROCESSED

if TYPE_CHECKING:
    import torch

SPEC, ENCODER, QUARANTINE = "spec.json", "encoder.json", "quarantine.parquet"


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
    """inputs uint8 (N, …), targets int64 (N,), rows int64 (N,) of train, val or test; each load hashes the file.

    The sum is checked each time because DVC takes a file whose mode and time are unchanged for the one it stored.
    """
    from safetensors.torch import load_file

    spec = load_spec(folder) if spec is None else spec
    path = folder / tensors(name)
    verify(path, spec["splits"][name]["sha256"])
    return load_file(path)


def verify(path: Path, wanted: str) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing; `ratchet preprocess` makes it.\nType: dvc repro preprocess")
    expect(path, sha256(path), wanted, SPEC)


def expect(path: Path, given: str, wanted: str | None, source: str) -> None:
    if given != wanted:
        raise DataError(
            f"{path} is not what preprocess wrote: its SHA-256 is {given}, but {source} says {wanted}.\n"
            # removed first, because DVC leaves a file whose time and mode are unchanged as it is
            f"Type: rm -r {path.parent} && dvc checkout --force {path.parent}   (brings back what DVC's cache holds)\n"
            "or, if that is damaged too: dvc repro --force preprocess"
        )


def write(
    splits: Mapping[str, Split], encoder: Mapping[str, Any], about: Mapping[str, Any], folder: Path = PROCESSED
) -> dict[str, Any]:
    """Replaces `folder` by the splits, their encoder and their spec, which is returned: all of it, or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
        for left in (fresh, old):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir()
        spec = fill(fresh, splits, encoder, about)
        sync_folder(fresh)
        if folder.exists():
            os.rename(folder, old)
        os.rename(fresh, folder)
        sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    return spec


def fill(
    folder: Path, splits: Mapping[str, Split], encoder: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    described = {}
    for name, split in splits.items():
        write_tensors(folder / tensors(name), split)
        described[name] = {
            "rows": len(split.rows),
            "quarantined": len(split.quarantined),
            "per_class": split.per_class(len(encoder["labels"])),
            "sha256": sha256(folder / tensors(name)),
        }
    write_json(folder / ENCODER, encoder)
    write_quarantine(folder / QUARANTINE, {name: split.quarantined for name, split in splits.items()})
    sums = {"encoder_sha256": sha256(folder / ENCODER), "quarantine_sha256": sha256(folder / QUARANTINE)}
    content = {**about, "splits": described, **sums}
    spec = {**content, "fingerprint": digest(content)}
    write_json(folder / SPEC, spec)
    return spec


def write_tensors(path: Path, split: Split) -> None:
    from safetensors.numpy import save

    named = {"inputs": split.inputs, "targets": split.targets, "rows": split.rows}
    # not save_file, whose files only their owner may read
    path.write_bytes(save({key: np.ascontiguousarray(array) for key, array in named.items()}))
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
