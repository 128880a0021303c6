"""What `ratchet init` proposes: the params.yaml for a person's own data, and a table of what it is made of."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data import folders
from pipeline.data.inference import Inferred, infer
from pipeline.encoders.frames import nearest
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import sha256

LOOKED_AT = 200  # pictures whose size and colours are looked at
SMALLEST, LARGEST = 24, 64  # pixels of a side; images_cnn needs 22
SHOWN = 60  # columns in the table
SMALL = 5000  # rows up to which the scenario's own training fits


@dataclass(frozen=True)
class Proposal:
    params: dict[str, Any]
    shown: str  # for the terminal


def safe_name(text: str) -> str:
    """A name of the registry and of files: letters, digits, dots, dashes."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:100]
    return name or "mine"


def of_file(
    path: Path,
    name: str,
    target: str | None,
    kind: str | None,
    text: str | None,
    group: str | None,
    time: str | None,
    header: bool | None = None,
) -> Proposal:
    found = infer(path, target, kind, header)
    names = [column.name for column in found.columns]
    for option, column in (("--text", text), ("--group", group), ("--time", time)):
        if column is not None and column not in names:
            raise DataError(f"{option} {column}: {path} has no such column{nearest(column, names)}")
    split = found.split | {"group": group, "time": time}
    source = {
        "files": {raw_name(path): {"bytes": path.stat().st_size, "sha256": sha256(path)}},
        "mirrors": [{"url": path.as_uri(), "unpack": "none"}],
    }
    common = {"format": found.format.model_dump(), "target": found.target.name, "task": found.task}
    if found.kind == "text":
        prepare = common | {"text": text or found.text, "split": split}
    else:
        columns = [{"name": column.name, "type": column.type} for column in found.columns]
        prepare = common | {"columns": columns, "split": split}
    params = {
        "scenario": "text_bert" if found.kind == "text" else "table_dnn",
        "seed": 0,
        "data": {"kind": found.kind, "name": name, "source": source, "prepare": prepare},
    }
    settings = merged(of_task(found.task), of_size(found.rows) if found.kind == "table" else {})
    return Proposal(params | settings, table(found, path, text or found.text))


def raw_name(path: Path) -> str:
    """The file's name in data/raw: its own, or where that has odd characters, one without them."""
    return path.name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", path.name) else f"data{path.suffix.lower()}"


def of_task(task: str) -> dict[str, Any]:
    """Settings that differ from those for classes."""
    if task == "classification":
        return {"gate": {"minimum": {"test/accuracy": "baseline/majority/accuracy"}}}
    return {
        "loss": {"name": "mse"},
        "training": {"monitor": "val/rmse"},
        "gate": {"name": "regression", "minimum": {"test/r2": 0.0}},  # 0: no better than the mean
    }


def of_size(rows: int) -> dict[str, Any]:
    """Larger batches, fewer epochs and less regularisation than the scenario has, which is for hundreds of rows."""
    if rows < SMALL:
        return {}
    batch = 2 ** int(np.clip(np.log2(rows / 100), 5, 12))
    return {
        "model": {"dropout": 0.1},
        "optimizer": {"weight_decay": 0.01},
        "training": {"max_epochs": 10, "batch_size": batch},
    }


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {key: one.get(key, {}) | other.get(key, {}) for key in {**one, **other}}


def table(found: Inferred, path: Path, text: str | None) -> str:
    """A line for each column: its type, what is missing, how many values, and why."""
    lines = [f"{path.name}: {found.rows:,} rows, {found.format.name}" + described(found.format.model_dump())]
    lines += [f"  note: {note}" for note in found.notes]
    width = min(30, max(len(column.name) for column in [found.target, *found.columns]))
    lines.append(f"  {'column':<{width}}  {'use as':<14} {'missing':>9} {'values':>9}  note")
    for column in [found.target, *found.columns[:SHOWN]]:
        use = "target" if column is found.target else column.type
        if found.kind == "text" and column is not found.target:
            use = "text" if column.name == text else "not used"
        name = column.name if len(column.name) <= width else column.name[: width - 1] + "…"
        note = column.reason if found.kind == "table" or column is found.target else ""
        lines.append(f"  {name:<{width}}  {use:<14} {column.missing:>9,} {column.distinct:>9,}  {note}".rstrip())
    if len(found.columns) > SHOWN:
        lines.append(f"  … and {len(found.columns) - SHOWN:,} more: see data.prepare.columns in {paths.PARAMS}")
    lines.append(f"task: {found.task} of {found.target.name!r} ({found.target.reason})")
    lines.append(how_split(found))
    return "\n".join(lines)


def described(form: dict[str, Any]) -> str:
    if form["name"] not in ("csv", "excel"):
        return ""
    separator = f", separator {form['separator']!r}, {form['encoding']}" if form["name"] == "csv" else ""
    header = "" if form["header"] else ", no header"
    return separator + header


def how_split(found: Inferred) -> str:
    validation, test = found.split["validation"], found.split["test"]
    lines = [f"split: {1 - validation - test:.0%} train, {validation:.0%} validation, {test:.0%} test"]
    if found.groups:
        lines.append(f"  rows may belong together: --group {found.groups[0]} keeps those of one value on one side")
    if found.times:
        lines.append(f"  if the future is to be predicted: --time {found.times[0]} makes the latest rows the test")
    return "\n".join(lines)


def of_images(path: Path, name: str) -> Proposal:
    if not path.is_dir():
        raise DataError(f"{path} is no folder; pictures come as FOLDER/CLASS/picture.png")
    folders.refuse_inside(paths.RAW, path)
    files = folders.sums(path)
    classes = Counter(file.split("/")[0] for file in files if "/" in file)
    if len(classes) < 2 or min(classes.values()) < 3:
        counted = ", ".join(f"{label}: {count}" for label, count in sorted(classes.items())[:20]) or "none"
        raise DataError(
            f"{path} must hold a folder of at least 3 pictures for each of 2 classes or more; found {counted}.\n"
            "Sort the pictures as FOLDER/CLASS/picture.png, then type: ratchet init --data FOLDER"
        )
    size, channels = look(path, sorted(files))
    source = {"folder": str(path), "files": len(files), "sha256": folders.digest_of(files)}
    params = {
        "scenario": "images_cnn",
        "seed": 0,
        "data": {"kind": "images", "name": name, "source": source, "prepare": {"size": size, "channels": channels}},
        **of_task("classification"),
    }
    listed = "\n".join(f"  {label:<30} {count:>9,}" for label, count in sorted(classes.items())[:SHOWN])
    colours = "grey" if channels == 1 else "in colour"
    shown = (
        f"{path.name}: {len(files):,} files\n  {'class':<30} {'pictures':>9}\n{listed}\n"
        f"task: classification of {len(classes)} classes\neach picture is resized to {size[0]}×{size[1]}, {colours}\n"
        "split: 70% train, 15% validation, 15% test, of each class alike"
    )
    return Proposal(params, shown)


def look(path: Path, files: list[str]) -> tuple[list[int], int]:
    """Height and width, the medians within bounds; and 1 channel if all that are looked at are grey, or 3."""
    from PIL import Image

    sizes, grey = [], True
    step = max(1, len(files) // LOOKED_AT)
    for file in files[::step][:LOOKED_AT]:
        try:
            with Image.open(path / file) as picture:
                sizes.append((picture.height, picture.width))
                grey = grey and picture.mode in ("1", "L", "LA", "I", "I;16", "F")
        except OSError:  # not a picture: preprocess sets it apart, with the reason
            continue
    if not sizes:
        raise DataError(f"{path}: none of {min(len(files), LOOKED_AT)} files that were looked at is a picture")
    sides = [int(np.clip(side, SMALLEST, LARGEST)) for side in np.median(sizes, axis=0)]
    return sides, 1 if grey else 3
