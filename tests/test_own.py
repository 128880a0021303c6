"""A person's own data: `ratchet init`, the flow on what it wrote, `ratchet predict`, cross-validation."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml
from safetensors.numpy import load_file

from pipeline.evaluation import paired
from pipeline.models.bundle import Bundle
from pipeline.store import held_out
from tests.conftest import Ratchet
from tests.support import runs, smoke

STAGES = ["compose", "download", "preprocess", "train", "evaluate", "register", "promote"]

AREA = "${area}"
ODD = ["a", "a.b", "__proto__", "constructor", "1e-3", "\\${x}", "${oc.env:HOME}", "{😀'", "- #:", "null"]


def houses(folder: Path, rows: int = 240) -> Path:
    """A regression of numbers, a category with odd values, and gaps; the price follows from them. Any name is one."""
    chance = np.random.default_rng(0)
    area = chance.integers(30, 200, rows)
    town = chance.choice(["Zürich", "北京", '=the "old" town'], rows)
    price = 3000.0 * area + 200_000 * (town == "北京") + chance.normal(0, 5000, rows)
    odd = {name: (area + place) // 20 for place, name in enumerate(ODD)}
    frame = pl.DataFrame({"id": range(rows), AREA: area, "Town, quarter": town, **odd, "price": price.round()})
    frame = frame.with_columns(pl.when(pl.col("id") % 17 == 3).then(None).otherwise(AREA).alias(AREA))
    file = folder / "houses.2024 数据.csv"
    frame.write_csv(file)
    return file


def test_a_table_of_ones_own_from_init_to_predictions(project: Path, run: Callable[..., str]) -> None:
    file = houses(project.parent)
    before = (project / "params.yaml").read_bytes()
    shown = run("init", "--data", str(file), "--target", "price")
    assert "regression of 'price'" in shown
    assert "an id: nearly all values are different" in shown
    assert (project / "params.yaml.before-init").read_bytes() == before
    data = yaml.safe_load((project / "params.yaml").read_text())["data"]
    data["prepare"]["slices"] = ["Town, quarter"]
    smoke.more(project, data=data)
    smoke.more(project, training={"max_epochs": 30, "batch_size": 16, "monitor": "val/rmse"}, optimizer={"lr": 0.01},
               gate={"name": "regression", "minimum": {}, "over_baseline": True})  # fmt: skip
    for stage in STAGES:
        run(stage)
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert metrics["test/r2"] > 0.8
    assert metrics["baseline/mean/r2"] <= 0
    conditions = json.loads((project / "reports/promotion.json").read_text())["conditions"]
    (gain,) = [one["given"] for one in conditions if one["name"] == "certain gain in rmse over the mean"]
    assert 0 < gain < metrics["baseline/mean/rmse"] - metrics["test/rmse"]
    towns = pl.read_csv(project / "reports/slices.csv")["value"].to_list()
    assert sorted(towns) == ['\'=the "old" town', "Zürich", "北京"]  # a spreadsheet would run it otherwise
    asked = held_out.held_out(project / "data/processed")
    for score in ("mae", "rmse"):
        by_row = paired.by_row(Bundle.load(project / "models/bundle"), asked, score).mean()
        assert paired.value(by_row, score) == pytest.approx(metrics[f"test/{score}"], rel=1e-6)

    model = mlflow.pyfunc.load_model("models:/houses.2024-数据@champion")
    (cheap, dear) = model.predict(
        pd.DataFrame({AREA: [40.0, 190.0], "Town, quarter": ["Zürich", "北京"], **{name: [2.0, 9.5] for name in ODD}})
    )["value"]
    assert cheap < 300_000 < dear

    shuffled = (
        pl.read_csv(file).select("Town, quarter", "price", *ODD[::-1], AREA).head(50)
    )  # any order, more and fewer columns
    other = project.parent / "new.jsonl"
    shuffled.write_ndjson(other)
    run("predict", str(other), "--bundle", "models/bundle", "--out", str(project / "out.jsonl"))
    values = pl.read_ndjson(project / "out.jsonl")["value"]
    assert np.corrcoef(values, shuffled["price"])[0, 1] > 0.9


def test_a_net_that_only_says_the_frequent_class_does_not_become_the_first_champion(
    project: Path, run: Callable[..., str], called: Ratchet
) -> None:
    """94 of 100 rows are of one class, and nothing tells them apart."""
    chance = np.random.default_rng(0)
    ill = ["yes" if row % 17 == 3 else "no" for row in range(300)]
    file = project.parent / "rare.csv"
    pl.DataFrame({"x": chance.normal(size=300), "y": chance.normal(size=300), "ill": ill}).write_csv(file)
    run("init", "--data", str(file), "--target", "ill")
    smoke.more(project, training={"max_epochs": 2}, gate={"minimum": {}, "over_baseline": True})
    for stage in STAGES[:-1]:
        run(stage)
    done = called("promote")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "certain gain in accuracy over the majority class" in done.stdout
    assert "FAILED" in done.stdout
    assert "compare the mean of the classes: gate.metric=recall" in done.stdout


def test_a_group_stays_on_one_side(project: Path, run: Callable[..., str]) -> None:
    file = project.parent / "visits.csv"
    lines = [f"p{row // 4},{row * 7 % 50},{'yes' if row % 8 < 4 else 'no'}" for row in range(200)]
    file.write_text("patient_id,value,ill\n" + "\n".join(lines) + "\n")
    assert "--group patient_id" in run("init", "--data", str(file), "--target", "ill")
    run("init", "--data", str(file), "--target", "ill", "--group", "patient_id")
    smoke.more(project)
    for stage in ("download", "preprocess"):
        run(stage)
    sides = {
        name: {row // 4 for row in load_file(project / f"data/processed/{name}.safetensors")["rows"].tolist()}
        for name in ("train", "val", "test")
    }
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["val"]
    assert not sides["val"] & sides["test"]


def test_odd_pictures_are_set_apart_with_their_names(project: Path, run: Callable[..., str], called: Ratchet) -> None:
    folder = smoke.pictures(project.parent / "my digits", 10)
    (folder / "3" / "torn.png").write_bytes((folder / "3" / "0.png").read_bytes()[:60])
    shutil.copy(folder / "4" / "0.png", folder / "4" / "again.png")
    (folder / "notes.txt").write_text("which camera?")
    run("init", "--data", str(folder))
    assert yaml.safe_load((project / "params.yaml").read_text())["data"]["prepare"] == {"size": [28, 28], "channels": 1}
    smoke.more(project)
    run("download")
    run("preprocess")
    reasons = pl.read_parquet(project / "data/processed/quarantine.parquet")["reason"].to_list()
    assert any("3/torn.png: no picture that can be read" in reason for reason in reasons)
    assert "4/again.png: the same picture as 4/0.png" in reasons
    assert "notes.txt: it lies in no class folder" in reasons

    (folder / "9" / "new.png").write_bytes((folder / "8" / "1.png").read_bytes())
    shutil.rmtree(project / "data/raw")
    changed = called("download")
    assert changed.returncode == 1
    assert "has changed since `ratchet init`" in changed.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nowhere.csv", "--target", "x"], "there is no such file or folder"),
        (["--data", "houses.2024 数据.csv", "--target", "prize"], "price"),
        (["--data", "houses.2024 数据.csv"], "--target COLUMN"),
        (["--data", "houses.2024 数据.csv", "--target", "price", "--group", "twon"], "--group twon"),
        (["--data", "empty"], "found none"),
    ],
)
def test_what_init_cannot_use_it_refuses_and_leaves_the_settings(
    project: Path, called: Ratchet, arguments: list[str], words: str
) -> None:
    houses(project.parent)
    before = (project / "params.yaml").read_bytes()
    (project.parent / "empty").mkdir()
    path = project.parent / arguments[1]
    refused = called("init", "--data", str(path), *arguments[2:])
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (project / "params.yaml").read_bytes() == before


def test_cross_validation_has_a_parent_and_a_child_for_each_fold(project: Path, run: Callable[..., str]) -> None:
    smoke.lay("table_dnn", project, run)
    run("preprocess")
    settings = ["cv=3", "training.max_epochs=3"]
    shown = run("train", *settings)
    assert "accuracy" in shown
    report = json.loads((project / "reports/cv.json").read_text())
    folds = report["scores"]["accuracy"]["folds"]
    assert len(folds) == 3
    assert report["scores"]["accuracy"]["mean"] == pytest.approx(sum(folds) / 3)
    assert not (project / "models/bundle").exists()

    sizes = [json.loads(file.read_text()) for file in sorted((project / ".ratchet/folds").rglob("spec.json"))]
    assert len({spec["splits"]["test"]["sha256"] for spec in sizes}) >= 1
    rows = [spec["splits"]["train"]["rows"] + spec["splits"]["val"]["rows"] for spec in sizes]
    assert rows == [rows[0]] * 3
    assert len({json.dumps(spec["statistics"]) for spec in sizes}) == 3  # each fitted on its own train

    assert runs.sync(project).returncode == 0
    found = runs.shipped_runs(runs.store(project))
    parents = [one for one in found if "mlflow.parentRunId" not in one.data.tags]
    children = [one for one in found if "mlflow.parentRunId" in one.data.tags]
    assert len(parents) == 1
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {parents[0].info.run_id}
    assert len(children) == 3
    assert parents[0].data.metrics["cv/accuracy/mean"] == pytest.approx(sum(folds) / 3)
    assert run("train", *settings).count("its result is reused") == 3
