"""What `ratchet init` proposes: the params.yaml for a person's own data, and a table of what it is made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.kinds.table.frames import nearest
from pipeline.own_data.column_types import Inferred, infer
from pipeline.own_data.targets import LEADING
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import sha256

SHOWN = 60  # columns in the table
SMALL = 5000  # rows up to which the scenario's own training fits


@dataclass(frozen=True)
class Proposal:
    params: dict[str, Any]
    shown: str  # for the terminal
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wishes:
    """What a person says of a table besides its target; None: as it looks."""

    kind: str | None = None
    text: str | None = None
    group: str | None = None
    time: str | None = None
    task: str | None = None
    missing: Sequence[str] = ()  # more words or numbers that stand for a missing cell
    header: bool | None = None  # whether the first row names the columns


def of_file(path: Path, name: str, target: str | None, wishes: Wishes) -> Proposal:
    known = prepare_defaults(wishes.kind)
    found = infer(path, target, wishes.kind, wishes.task, [*known["missing_marks"], *wishes.missing], wishes.header)
    names = [column.name for column in found.columns]
    for option, column in (("--text", wishes.text), ("--group", wishes.group), ("--time", wishes.time)):
        if column is not None and column not in names:
            raise DataError(f"{option} {column}: {path} has no such column{nearest(column, names)}")
    source = {
        "files": {raw_name(path): {"bytes": path.stat().st_size, "sha256": sha256(path)}},
        "mirrors": [{"url": path.as_uri(), "unpack": "none"}],
    }
    params = {
        "scenario": "text_bert" if found.kind == "text" else "table_dnn",
        "seed": 0,
        "data": {"kind": found.kind, "name": name, "source": source, "prepare": prepare_of(found, wishes, known)},
    }
    settings = of_task(found.task)
    if found.kind == "table":
        settings = merged(settings, of_size(found.rows))
    if found.leading >= LEADING:
        settings = merged(settings, {"training": {"monitor": "val/loss"}})
    return Proposal(params | settings, table(found, path, wishes.text or found.text), found.warnings)


def prepare_defaults(kind: str | None) -> dict[str, Any]:
    """data.prepare as conf/ has it for a table or texts."""
    file = paths.CONF / "data" / f"{'text' if kind == 'text' else 'table'}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))["prepare"]


def prepare_of(found: Inferred, wishes: Wishes, known: dict[str, Any]) -> dict[str, Any]:
    """data.prepare for what was found, where conf/ does not say the same."""
    split = found.split | {"group": wishes.group, "time": wishes.time}
    prepare = {"format": found.format.model_dump(), "target": found.target.name, "task": found.task, "split": split}
    if found.target.format:
        prepare["target_format"] = found.target.format
    if found.marks != known["missing_marks"]:
        prepare["missing_marks"] = found.marks
    if wishes.missing or found.target_met:
        prepare["target_marks"] = found.target_marks
    if found.kind == "text":
        return prepare | {"text": wishes.text or found.text}
    if found.outliers:
        prepare["outliers"] = "clip"
    columns = [
        {"name": column.name, "type": column.type} | ({"format": column.format} if column.format else {})
        for column in found.columns
    ]
    return prepare | {"columns": columns}


def raw_name(path: Path) -> str:
    """The file's name in data/raw: its own, or where that has odd characters, one that any file system takes."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", path.name):
        return path.name
    return "data" + next(re.finditer(r"(\.[A-Za-z0-9]{1,10}){0,2}$", path.name))[0].lower()


def of_task(task: str) -> dict[str, Any]:
    """Settings that differ from those for classes; a model has to be certainly better than no model."""
    if task == "classification":
        gate = {"minimum": {"test/accuracy": "baseline/majority/accuracy"}, "over_baseline": True}
        return {"gate": gate}
    gate = {"name": "regression", "minimum": {"test/r2": 0.0}, "over_baseline": True}  # 0: no better than the mean
    return {"loss": {"name": "mse"}, "training": {"monitor": "val/rmse"}, "gate": gate}


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
    return {key: one.get(key, {}) | other.get(key, {}) for key in one | other}


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
    if found.leading >= LEADING:
        lines.append(f"{found.leading:.0%} of the rows are of one class: the epoch of the lowest val/loss is kept")
    if found.outliers:
        lines += [*found.outliers, "outliers: clip is set: such numbers are bounded (data.prepare.outlier_iqr)"]
    lines.append(how_split(found))
    return "\n".join(lines)


def described(form: dict[str, Any]) -> str:
    if form["name"] not in ("csv", "excel"):
        return ""
    header = "" if form["header"] else ", no header"
    separator = f", separator {form['separator']!r}, {form['encoding']}" if form["name"] == "csv" else ""
    return separator + header


def how_split(found: Inferred) -> str:
    validation, test = found.split["validation"], found.split["test"]
    lines = [f"split: {1 - validation - test:.0%} train, {validation:.0%} validation, {test:.0%} test"]
    if found.groups:
        lines.append(f"  rows may belong together: --group {found.groups[0]} keeps those of one value on one side")
    if found.times:
        lines.append(f"  if the future is to be predicted: --time {found.times[0]} makes the latest rows the test")
    return "\n".join(lines)
