"""`ratchet init` on a person's table: every row is accounted for, and what it wrote preprocess takes."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import yaml
from safetensors.numpy import load_file

from pipeline.project.files import sha256
from tests.conftest import Ratchet

ROWS = 240


def chance() -> random.Random:
    return random.Random(0)


def noise(rows: int = ROWS) -> list[str]:
    draw = chance()
    return [f"{draw.random():.4f}" for _ in range(rows)]


def words(rows: int = ROWS, *others: str) -> list[str]:
    return [("a", "b", *others)[i % (2 + len(others))] for i in range(rows)]


@pytest.fixture
def init(project: Path, called: Ratchet) -> Callable[..., str]:
    """init(columns, *options) → what the terminal shows, both streams; the table's file has these columns, target y."""

    def call(columns: dict[str, list[Any]], *options: str, code: int = 0) -> str:
        file = project.parent / "own.csv"
        pl.DataFrame(columns, strict=False).write_csv(file)
        done = called("init", "--data", str(file), *([] if "--target" in options else ["--target", "y"]), *options)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return call


def prepare(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / "params.yaml").read_text())["data"]["prepare"]


def preprocess(called: Ratchet) -> str:
    for verb in ("compose", "download", "preprocess"):
        done = called(verb)
        assert done.returncode == 0, done.stderr
    return done.stdout


def sides(project: Path) -> dict[str, list[int]]:
    return {
        name: load_file(project / f"data/processed/{name}.safetensors")["rows"].tolist()
        for name in ("train", "val", "test")
    }


def test_equal_rows_are_kept_on_one_side_and_counted(project: Path, called: Ratchet, init: Callable) -> None:
    draw = chance()
    people = [
        (draw.choice("123C"), draw.choice(["man", "woman"]), draw.choice(["child", "adult"])) for _ in range(ROWS)
    ]
    columns = {name: [one[place] for one in people] for place, name in enumerate(("class", "sex", "age"))}
    columns["y"] = [draw.choice(["no", "no", "yes"]) for _ in range(ROWS)]
    frame = pd.DataFrame(columns)
    equal = int(frame.duplicated().sum())
    assert f"{ROWS} rows in = {ROWS} kept + 0 set apart\n  rows that are equal to an earlier one: {equal}," in init(
        columns
    )
    assert f"{ROWS} rows in = {ROWS} kept + 0 set apart\n  rows that are equal" in preprocess(called)
    found = sides(project)
    assert sorted(row for rows in found.values() for row in rows) == list(range(ROWS))
    assert all(0.08 * ROWS < len(found[name]) < 0.25 * ROWS for name in ("val", "test"))
    of = {name: {tuple(frame.iloc[row]) for row in rows} for name, rows in found.items()}
    assert not of["train"] & of["test"]
    assert not of["train"] & of["val"]
    assert not of["val"] & of["test"]


def test_a_class_of_one_row_that_comes_back_is_in_every_split(project: Path, called: Ratchet, init: Callable) -> None:
    shown = init({"a": ["1"] * 50 + ["2"] * 50, "y": ["x"] * 50 + ["z"] * 50})
    assert "too few different rows" in shown
    assert "column 'a' alone tells the target" in shown
    preprocess(called)
    assert [len(rows) for rows in sides(project).values()] == [70, 16, 14]


def test_what_preprocess_would_refuse_init_sets_or_says(project: Path, called: Ratchet, init: Callable) -> None:
    target = ["" if i % 6 == 0 else "ab"[i % 2] for i in range(ROWS)]
    target[7] = "c"
    dirty = [f"{i * 0.37:.2f}" for i in range(ROWS)]
    dirty[3] = "3.7.1"
    shown = init({"x": noise(), "z": dirty, "y": target})
    assert "240 rows in = 198 kept + 42 set apart" in shown
    assert "40 × column 'y': it needs a class, such as\n      line 2: column 'y' is empty" in shown
    assert "1 × column 'y': it needs a class of 3 usable rows or more\n      line 9: column 'y' holds 'c'" in shown
    assert "1 × column 'z': it needs a finite number\n      line 5: column 'z' holds '3.7.1'" in shown
    assert prepare(project)["max_quarantined"] == pytest.approx(1.1 * 42 / 240, abs=1e-4)
    assert "240 rows in = 198 kept + 42 set apart" in preprocess(called)


def test_settings_stay_where_init_refuses(project: Path, init: Callable) -> None:
    before = (project / "params.yaml").read_bytes()
    shown = init({"x": ["1.5", "2.5", "3.5"], "y": ["a", "b", "a"]}, code=1)
    assert "3 of 3 rows (100.00%) can't be used" in shown
    most = init({"x": noise(), "y": ["" if i % 5 else "ab"[i % 2] for i in range(ROWS)]}, code=1)
    assert "most rows of" in most
    assert (project / "params.yaml").read_bytes() == before
    assert not (project / "params.yaml.before-init").exists()


def test_a_mark_that_is_frequent_among_the_classes_is_one(project: Path, called: Ratchet, init: Callable) -> None:
    shown = init({"x": noise(), "y": words(ROWS, "-")})
    assert "'-' stands in 80 rows of the target and is taken as a class" in shown
    preprocess(called)
    settings = prepare(project)
    assert "-" not in settings["target_marks"]
    settings["target_marks"].append("-")  # as the warning says
    assert "3 classes" in shown
    init({"x": noise(), "y": ["missing" if i == 5 else "ab"[i % 2] for i in range(ROWS)]})
    assert "missing" in prepare(project)["target_marks"]


def test_words_for_missing_are_missing_however_they_are_written(project: Path, called: Ratchet, init: Callable) -> None:
    ages = ["keine Angabe" if i % 20 == 3 else "K.a." if i % 20 == 7 else str(i % 83) for i in range(ROWS)]
    shown = init({"age": ages, "x": noise(), "y": words()})
    assert "those words are taken as missing" in shown
    assert f"{ROWS} rows in = {ROWS} kept + 0 set apart" in shown
    assert {"keine Angabe", "K.a."} <= set(prepare(project)["missing_marks"])
    assert f"{ROWS} rows in = {ROWS} kept + 0 set apart" in preprocess(called)


def test_a_mark_that_programs_write_is_missing_and_said_where_it_may_be_a_class(
    project: Path, called: Ratchet, init: Callable
) -> None:
    regions = {"x": noise(), "y": ["NA" if i % 4 == 1 else "EU" if i % 2 else "AS" for i in range(ROWS)]}
    assert "'na' stands in" in (shown := init(regions))
    assert "is taken as missing; if it is a class, take it out of data.prepare.target_marks" in shown
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["data"]["prepare"]["target_marks"].remove("na")
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    assert f"{ROWS} rows in = {ROWS} kept + 0 set apart" in preprocess(called)
    assert json.loads((project / "data/processed/spec.json").read_text())["classes"] == ["AS", "EU", "NA"]


def test_the_task_can_be_chosen_and_the_guess_is_explained(project: Path, init: Callable) -> None:
    ratings = {"x": noise(), "y": [f"{1 + i * 7 % 5}.0" for i in range(ROWS)]}
    assert "if the number is to be predicted: --task regression" in init(ratings)
    init(ratings, "--task", "regression")
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert (params["loss"], params["training"]) == ({"name": "mse"}, {"monitor": "val/rmse"})
    assert params["gate"]["name"] == "regression"
    assert "holds no numbers but words" in init({"x": noise(), "y": words()}, "--task", "regression", code=1)
    assert "too many for classes" in init({"x": words(), "y": noise()}, "--task", "classification", code=1)


def test_doubtful_targets_and_columns_are_named(init: Callable) -> None:
    counts = [str(1000 + i) for i in range(ROWS)]
    assert "it can hardly be predicted" in init({"x": noise(), "y": counts})
    cases = init({"x": noise(), "y": [["yes", "Yes", "no", "No"][i % 4] for i in range(ROWS)]})
    assert "'No' and 'no' differ by case alone" in cases
    leak = [f"{i % 2 + i / 1000:.3f}" for i in range(ROWS)]
    assert "column 'z' alone tells the target" in init({"x": noise(), "z": leak, "y": words()})
    double = [f"{2 * float(one) + 1:.6f}" for one in noise()]
    assert "column 'z' alone tells the target" in init({"x": words(), "z": double, "y": noise()})
    assert "alone tells" not in init({"x": noise(), "y": words()})


def test_numbers_far_outside_are_noted_and_bounded(project: Path, called: Ratchet, init: Callable) -> None:
    draw = chance()
    marked = ["-999" if i % 9 == 0 else str(draw.randint(1, 99)) for i in range(ROWS)]
    shown = init({"x": marked, "y": words()})
    assert "column 'x': -999 (27 of the first 240 rows) is far outside" in shown
    assert prepare(project)["outliers"] == "clip"
    again = init({"x": marked, "y": words()}, "--missing=-999")  # as the note says
    assert "far outside" not in again
    assert "-999" in prepare(project)["missing_marks"]
    preprocess(called)
    assert load_file(project / "data/processed/train.safetensors")["inputs"].shape[1] == 2, "a flag for missing cells"


def test_one_class_of_nearly_all_is_judged_by_its_loss(project: Path, init: Callable) -> None:
    assert "94% of the rows are of one class" in init(
        {"x": noise(), "y": ["no" if i % 16 else "yes" for i in range(240)]}
    )
    assert yaml.safe_load((project / "params.yaml").read_text())["training"] == {"monitor": "val/loss"}


@pytest.mark.parametrize(
    ("name", "values", "used"),
    [
        ("rownames", [i + i // 3 + 1 for i in range(ROWS)], "ignore"),
        ("index", list(range(0, 2 * ROWS, 2)), "ignore"),
        ("", [i + i // 5 + 1 for i in range(ROWS)], "ignore"),
        ("x", list(range(0, 2 * ROWS, 2)), "number"),
        ("year", [1800 + i for i in range(ROWS)], "number"),
        ("time", list(range(1, ROWS + 1)), "number"),
        ("", [35 + i * 7 % ROWS for i in range(ROWS)], "number"),
    ],
)
def test_row_labels_are_told_from_measures(init: Callable, name: str, values: list[int], used: str) -> None:
    if name == "" and used == "number":
        values = [value + (value > 100) for value in values]  # ages, of which none comes twice
    shown = init({name: values, "z": noise(), "y": words()})
    line = next(line for line in shown.splitlines() if line.startswith(f"  {name or 'column_1'} "))
    assert line.split()[1] == used


OLD = """scenario: {scenario}
seed: 0
data:
  kind: {kind}
  name: own
  source:
    files: {{own.csv: {{bytes: {bytes}, sha256: {sha256}}}}}
    mirrors: [{{url: 'file:{file}', unpack: none}}]
  prepare:
    format: {{name: csv, separator: ',', encoding: utf-8, header: true, skip_lines: 0}}
    target: y
    task: classification
    split: {{validation: 0.15, test: 0.15, group: null, time: null}}
    {own}
gate: {{minimum: {{test/accuracy: baseline/majority/accuracy}}}}
"""


@pytest.mark.parametrize(
    ("kind", "scenario", "own"),
    [
        ("table", "table_dnn", "columns: [{name: x, type: number}, {name: word, type: category}]"),
        ("text", "text_bert", "text: word"),
    ],
)
def test_settings_that_init_wrote_before_compose_and_run(
    project: Path, called: Ratchet, kind: str, scenario: str, own: str
) -> None:
    file = project.parent / "own.csv"
    pl.DataFrame({"x": noise(), "word": words(ROWS, "unknown"), "y": words(ROWS, "none of these")}).write_csv(file)
    about = {"bytes": file.stat().st_size, "sha256": sha256(file), "file": file}
    (project / "params.yaml").write_text(OLD.format(kind=kind, scenario=scenario, own=own, **about))
    assert called("compose").returncode == 0
    if kind == "table":
        assert f"{ROWS} rows in = {ROWS} kept + 0 set apart" in preprocess(called)
