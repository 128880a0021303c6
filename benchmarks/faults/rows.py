"""Row 41: random tables of numbers, words, gaps and equal rows; what init and preprocess make of them, by pandas."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors.numpy import load_file

from benchmarks.faults.projects import bare
from benchmarks.faults.row import Row
from tests.support.registered import good

NUMBER = 400  # rows
SPELLINGS = {  # of 1234.5, and what init calls the form
    None: "{:.2f}".format,
    "1,234.5": "{:,.2f}".format,
    "1.234,5": lambda value: f"{value:,.2f}".translate(str.maketrans(",.", ".,")),
    "1 234,5": lambda value: f"{value:,.2f}".translate(str.maketrans(",.", " ,")),
}
SIGNS = ("{}", "${}", "{} €", "{} %")
MARKS = ("", "NA", "N.A.", "-", ".", "?", "unknown", "null", "n.d.")


def is_accounted_for(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    folder.mkdir()
    project = bare(folder)
    spelling = draw.choice(list(SPELLINGS))
    sign = "{}" if spelling is None else draw.choice(SIGNS)
    truth = [None if draw.random() < 0.05 else round(draw.uniform(1000, 99999), 2) for _ in range(NUMBER)]
    mark = draw.choice(MARKS)
    frame = pd.DataFrame({
        "x": [mark if value is None else sign.format(SPELLINGS[spelling](value)) for value in truth],
        "word": [draw.choice(["red", "green", "blue", "none"]) for _ in range(NUMBER)],
        "y": ["" if draw.random() < 0.03 else draw.choice("ab") for _ in range(NUMBER)],
    })  # fmt: skip
    copies = draw.choices(range(NUMBER), k=draw.randint(0, 200))
    rare = pd.DataFrame({"x": [frame["x"][0]], "word": ["red"], "y": ["once"]})
    frame = pd.concat([frame, frame.iloc[copies], rare], ignore_index=True)
    file = folder / "own.csv"
    frame.to_csv(file, index=False, sep=draw.choice(",;\t"), encoding="utf-8")
    shown = good(project, "init", "--data", str(file), "--target", "y")
    for verb in ("compose", "download", "preprocess"):
        shown += good(project, verb)
    usable = frame["y"].isin(["a", "b"])
    spec = json.loads((project / "data/processed/spec.json").read_text())
    assert spec["counts"] == {"in": len(frame), "kept": int(usable.sum()), "quarantined": int((~usable).sum())}
    equal = int(frame[usable].duplicated().sum())
    assert spec["statistics"]["equal"]["rows"] == equal
    told = f"{len(frame):,} rows in = {usable.sum():,} kept + {(~usable).sum():,} set apart"
    assert shown.count(told) == 2, shown
    is_read(project, frame, [truth[row] for row in [*range(NUMBER), *copies]] + [truth[0]], spelling)


def is_read(project: Path, frame: pd.DataFrame, truth: list[float | None], spelling: str | None) -> None:
    """The numbers as they were meant, on every row, in the split's own scale; equal rows on one side."""
    prepare = yaml.safe_load((project / "params.yaml").read_text())["data"]["prepare"]
    (column,) = [one for one in prepare["columns"] if one["name"] == "x"]
    assert (column["type"], column.get("format")) == ("number", spelling), column
    encoder: dict[str, Any] = json.loads((project / "data/processed/encoder.json").read_text())
    (number,) = [one for one in encoder["columns"] if one["name"] == "x"]
    (part,) = number["parts"]
    seen: dict[tuple[str, ...], str] = {}
    for name in ("train", "val", "test"):
        split = load_file(project / f"data/processed/{name}.safetensors")
        for row, inputs in zip(split["rows"].tolist(), split["inputs"], strict=True):
            value = number["fill"] if truth[row] is None else truth[row]
            assert np.isclose(inputs[0], (value - part["subtract"]) * part["multiply"], rtol=1e-5, atol=1e-5), row
            assert seen.setdefault(tuple(frame.iloc[row]), name) == name, f"row {row} is on two sides"


def is_told_what_it_may_mean(folder: Path, seed: int) -> None:
    """1,234 alone may be 1234 or 1.234: init says so, and what it says is obeyed."""
    draw = random.Random(seed)
    folder.mkdir()
    project = bare(folder)
    file = folder / "own.csv"
    lines = [f'"{draw.randint(1, 99)},{draw.randint(100, 999)}",{draw.choice("ab")}' for _ in range(200)]
    file.write_text("\n".join(["x,y", *lines]) + "\n")
    shown = good(project, "init", "--data", str(file), "--target", "y")
    assert "may be meant as in 1.234,5: then give it format: '1.234,5'" in shown
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(re.sub(r"format: 1,234\.5", "format: 1.234,5", params))
    for verb in ("compose", "download", "preprocess"):
        good(project, verb)
    spec = json.loads((project / "data/processed/spec.json").read_text())
    assert spec["statistics"]["columns"]["x"]["max"] < 100


def attempt(folder: Path, seed: int) -> None:
    is_accounted_for(folder / "one", seed)
    shutil.rmtree(folder / "one")
    if seed % 5 == 0:
        is_told_what_it_may_mean(folder / "other", seed)


FAULT = "equal rows, odd cells, missing marks, numbers as people write them: random tables"
EXPECTED = "in = kept + set apart, as pandas counts; every number as it was meant"
ROWS = [Row(41, FAULT, EXPECTED, 20, attempt)]
