"""`ratchet feedback`: scores of use with their intervals; drift is found where there is some, and only there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from pipeline.evaluation.statistics import wilson
from pipeline.feedback_loop import comparing, features
from pipeline.store import held_out
from tests.support import digits, labelled, registered, runs, smoke, texts

ENCODER = {"kind": "image", "task": "classification", "shape": [1, 28, 28]}
PICTURES, TRUTH = digits.published()["test"]
DAY = 86_400_000
Given = list[tuple[str, bytes, str, Any]]


@pytest.fixture
def project(tmp_path: Path, prepared_once: Path) -> Path:
    return shutil.copytree(prepared_once, tmp_path / "project")


def said(project: Path, *settings: str) -> tuple[str, dict[str, Any]]:
    text = registered.good(project, "feedback", *settings)
    return text, json.loads((project / "reports/feedback.json").read_text())


def pictures(some: np.ndarray, right: list[bool]) -> Given:
    """Each with the label 3, answered rightly or not."""
    answers = ({"label": "3" if one else "8", "probabilities": {"3": 0.5, "8": 0.5}} for one in right)
    return [("image", labelled.png(one), "3", answer) for one, answer in zip(some, answers, strict=True)]


@pytest.mark.parametrize(
    ("right", "labels", "low", "high"), [(81, 263, 0.2553, 0.3662), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)]
)
def test_wilsons_intervals_are_those_of_newcombe_1998(right, labels, low, high):
    assert wilson(right, labels) == pytest.approx((low, high), abs=5e-5)


def test_the_index_is_that_of_a_calculation_by_hand():
    # shares 50.5/102, 30.5/102, … of two samples of 100 rows in four bins, half a row added to each
    old, new = np.array([50, 30, 20, 0]), np.array([30, 30, 30, 10])
    by_hand = sum((b - a) * np.log(b / a) for a, b in zip((old + 0.5) / 102, (new + 0.5) / 102, strict=True))
    assert comparing.psi(old, new) == pytest.approx(by_hand)
    assert comparing.psi(old, old) == 0
    category = comparing.compared("colour", np.array(["red"] * 90 + ["blue"] * 10), np.array(["green"] * 50))
    assert (category.test, category.bins, category.live) == ("chi-squared", ["red", "blue", "others"], [0, 0, 1])
    assert category.p < 1e-9
    gaps = comparing.compared("pay", np.array([1.0] * 80 + [np.nan] * 20), np.array([1.0] * 10 + [np.nan] * 90))
    assert (gaps.test, gaps.bins[-1], gaps.live[-1]) == ("chi-squared", "none", 0.9)


def test_samples_of_the_training_data_itself_have_not_drifted():
    train = digits.published()["train"][0][:, None]
    alarms = 0
    for seed in range(20):
        chosen = np.random.default_rng(seed).permutation(len(train))
        old, new = (features.of_inputs(ENCODER, train[some], np.empty(0)) for some in (chosen[150:], chosen[:150]))
        found = [comparing.compared(name, old[name], new[name]) for name in old]
        alarms += any(one.psi >= 0.2 and one.p <= 0.01 / len(found) for one in found)
    assert alarms <= 1


def test_scores_by_version_and_day(project):
    for version, day, right in ((1, 0, [True] * 9 + [False]), (1, 1, [False] * 4), (2, 1, [True, False])):
        given = pictures(PICTURES[: len(right)], right)
        labelled.fill(project, given, version=version, time=1_790_000_000_000 + day * DAY)
    labelled.fill(project, pictures(PICTURES[:3], [True] * 3), model="another")
    text, found = said(project)
    rows = [(one["version"], one["day"], one["predictions"], one["labels"], one["value"]) for one in found["scores"]]
    assert rows == [
        (1, None, 14, 14, pytest.approx(9 / 14)),
        (1, "2026-09-21", 10, 10, 0.9),
        (1, "2026-09-22", 4, 4, 0.0),
        (2, None, 2, 2, 0.5),
        (2, "2026-09-22", 2, 2, 0.5),
    ]
    low, high = wilson(9, 10)
    assert f"1        2026-09-21  10           10      0.9000    {low:.4f} to {high:.4f}" in text
    assert "2 predictions of the newest version; drift is judged from 50 on" in text
    page = (project / "reports/feedback.html").read_text()
    assert page.count("<circle") == 3
    assert "<script" not in page
    assert "http" not in page


def test_nothing_yet_and_numbers_and_lists(project):
    text, found = said(project)
    assert "nothing was predicted yet" in text
    assert found["scores"] == []
    labelled.fill(project, [("table", b"{}", repr(value + 1.0), {"value": value}) for value in (1.0, 2.0, 4.0)])
    text, found = said(project)
    assert (found["metric"], found["scores"][0]["value"], found["scores"][0]["low"]) == ("mae", 1.0, 1.0)
    shutil.rmtree(project / ".ratchet")
    shown = {"items": [{"item": "5", "title": "Five", "score": 1.0}]}
    labelled.fill(project, [("behaviour", b'{"items":[]}', item, shown) for item in ("5", "6", "5", "7")])
    text, found = said(project)
    assert (found["metric"], found["scores"][0]["value"]) == ("hit rate", 0.5)
    shutil.rmtree(project / "data/processed")
    labelled.fill(project, pictures(PICTURES[:60], [True] * 60), version=3)
    assert "type: dvc repro preprocess" in said(project)[0]


def test_pictures_that_are_turned_have_drifted_and_others_not(project):
    labelled.fill(project, pictures(PICTURES, [True] * len(PICTURES)))
    text, found = said(project)
    assert "drifted: nothing" in text
    assert "the predictions are not compared: version 1 is not on this machine" in text
    turned = np.stack([labelled.turned(one) for one in PICTURES])
    labelled.fill(project, pictures(turned, [True] * len(turned)), version=2, time=1_790_000_001_000)
    text, found = said(project)
    assert {"slant", "width"} <= set(found["drift"]["drifted"])
    assert "brightness" not in found["drift"]["drifted"]
    assert "DRIFTED" in next(line for line in text.splitlines() if line.startswith("slant"))
    assert "drifted: nothing" in said(project, "feedback.psi=9")[0]


def of_tables(seen: list[Any]) -> tuple[list[Any], list[Any], str]:
    name = next(iter(seen[0]))
    return seen, [row | {name: row[name] * 1.5} for row in seen], name


def of_texts(seen: list[Any]) -> tuple[list[Any], list[Any], str]:
    known = [{"text": text} for text, _ in texts.sentences()][::3]
    return known, [{"text": f"{one['text']} and {one['text']}"} for one in known], "length in tokens"


def of_histories(seen: list[Any]) -> tuple[list[Any], list[Any], str]:
    usual = [{"items": items[:-1]} for items in seen]
    return usual, [{"items": items[:2]} for items in seen], "length of the history"


@pytest.mark.parametrize(
    ("scenario", "made"), [("table_dnn", of_tables), ("reviews_bert", of_texts), ("movielens_dnn", of_histories)]
)
def test_other_kinds_are_compared_too(scenario, made: Callable, project, run):
    smoke.lay(scenario, project, run)
    for verb in ("compose", "download", "preprocess"):
        run(verb)
    held = held_out.held_out(project / "data/processed")
    rows = held.records.to_dicts() if isinstance(held.records, pl.DataFrame) else held.records
    encoder = json.loads((project / "data/processed/encoder.json").read_text())
    if scenario == "table_dnn":
        names = [column["name"] for column in encoder["columns"]]
        rows = [{name: float(row[name]) for name in names} for row in rows]
    usual, moved, name = made(rows)
    model = yaml.safe_load((project / "params.lock.yaml").read_text())["registry"]["model"]
    answer = {"label": encoder["labels"][0], "probabilities": {}}
    for version, some in enumerate((usual, moved), 1):
        given = [(encoder["kind"], labelled.record(one), encoder["labels"][0], answer) for one in some]
        labelled.fill(project, given, model=model, version=version, time=1_790_000_000_000 + version)
        found = json.loads((said(project), (project / "reports/feedback.json").read_text())[1])["drift"]
        assert (found["version"], found["unusable"]) == (version, 0)
        assert (name in found["drifted"]) == (version == 2), (version, found["drifted"])
    assert runs.called(project, "feedback", "feedback.psi=none").returncode == 1
