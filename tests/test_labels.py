"""`ratchet feedback --export`: labels from use become raw data that train gets, and validation and test never do."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.numpy import load_file

from pipeline.kinds.encoding import encode
from pipeline.store import held_out
from pipeline.store.held_out import HeldOut
from tests.support import digits, labelled, registered, runs, smoke

PICTURES, DIGITS = digits.published()["train"]
TURNED = [labelled.turned(picture) for picture in PICTURES[:60]]
ANSWER = {"label": "3", "probabilities": {"3": 1.0}}


@pytest.fixture
def project(tmp_path: Path, prepared_once: Path) -> Path:
    return shutil.copytree(prepared_once, tmp_path / "project")


def pictures(some: list[np.ndarray], labels: Any) -> list[tuple[str, bytes, str, Any]]:
    return [("image", labelled.png(one), str(label), ANSWER) for one, label in zip(some, labels, strict=True)]


def processed(project: Path, name: str) -> dict[str, np.ndarray]:
    return load_file(project / f"data/processed/{name}.safetensors")


def spec(project: Path) -> dict[str, Any]:
    return json.loads((project / "data/processed/spec.json").read_text())


def named(project: Path) -> dict[str, Any] | None:
    return yaml.safe_load((project / "params.yaml").read_text()).get("labels")


def held(project: Path) -> HeldOut:
    return held_out.held_back(project / "data/processed")


def test_train_gets_them_and_validation_and_test_stay_as_they_are(project):
    before = {name: (project / f"data/processed/{name}.safetensors").read_bytes() for name in ("val", "test")}
    bad = [
        *pictures([PICTURES[1100], digits.published()["test"][0][0]], [1, 2]),
        *pictures([labelled.turned(PICTURES[70])], ["11"]),
        ("text", b'{"text":"seven"}', "7", ANSWER),
        ("image", b"no picture", "7", ANSWER),
    ]
    labelled.fill(project, pictures(TURNED, DIGITS[:60]) + bad)
    labelled.fill(project, pictures([PICTURES[80]], ["1"]), model="another")
    said = registered.good(project, "feedback", "--export")
    assert "65 labels → data/feedback/labels.parquet" in said
    said = registered.good(project, "preprocess")

    about = spec(project)["feedback"]
    assert (about["rows"], about["unusable"], about["versions"]) == (65, 5, {"1": 65})
    assert about["joined"] + about["held_back"] == 60
    assert 3 <= about["held_back"] <= 25, "about a fifth"
    assert f"{about['joined']} in train, {about['held_back']} held back" in said
    for name, content in before.items():
        assert (project / f"data/processed/{name}.safetensors").read_bytes() == content

    train, back = processed(project, "train"), held(project)
    np.testing.assert_array_equal(train["inputs"][:1000], PICTURES[:1000, None])
    rows = -1 - train["rows"][1000:]
    np.testing.assert_array_equal(train["inputs"][1000:, 0], np.array(TURNED)[rows])
    np.testing.assert_array_equal(train["targets"][1000:], DIGITS[rows])
    others = [place for place in range(60) if place not in rows]
    np.testing.assert_array_equal(np.array(back.records)[:, 0], np.array(TURNED)[others])
    assert back.targets == [str(DIGITS[place]) for place in others]

    table = pl.read_parquet(project / "data/processed/quarantine.parquet")
    reasons = dict(zip(table["row"], table["reason"], strict=True))
    for row, reason in {
        -61: "label 61 of use, on an answer of version 1: the same stands in validation or test",
        -62: "label 62 of use, on an answer of version 1: the same stands in validation or test",
        -63: "label 63 of use, on an answer of version 1: the label '11' is none of the 10 that this data has",
        -64: "kind 'text'",
        -65: "no picture that can be read",
    }.items():
        assert reason in reasons[row]


def test_the_same_labels_give_the_same_bytes_and_a_record_stays_on_its_side(project):
    labelled.fill(project, pictures(TURNED[:40], DIGITS[:40]))
    registered.good(project, "feedback", "--export")
    registered.good(project, "preprocess")
    first, sides = spec(project), {one.tobytes() for one in held(project).records}
    registered.good(project, "feedback", "--export")
    registered.good(project, "preprocess")
    assert spec(project) == first

    labelled.fill(project, pictures(TURNED, DIGITS[:60]), version=2)
    registered.good(project, "feedback", "--export")
    registered.good(project, "preprocess")
    now = {one.tobytes() for one in held(project).records}
    assert sides < now
    assert now.isdisjoint({one.tobytes() for one in processed(project, "train")["inputs"]})
    assert spec(project)["feedback"]["versions"] == {"1": 40, "2": 60}


def test_settings_leave_labels_out(project):
    day = 86_400_000
    for number in range(3):
        labelled.fill(project, pictures(TURNED[number::3], DIGITS[number:60:3]), time=1_790_000_000_000 + number * day)
    registered.good(project, "feedback", "--export", "feedback.since=2026-09-22", "feedback.skip=[[21,25],[60,99]]")
    assert named(project)["rows"] == 40 - 5 - 1
    done = runs.called(project, "feedback", "--export", "feedback.skip=[[1,60]]")
    assert done.returncode == 1
    assert "no label of mnist" in done.stderr
    done = runs.called(project, "feedback", "--export", "feedback.since=2026-02-31")
    assert done.returncode == 1
    assert "feedback.since" in done.stderr


def test_what_is_not_what_was_exported_is_refused(project):
    labelled.fill(project, pictures(TURNED, DIGITS[:60]))
    before = (project / "params.yaml").read_text()
    registered.good(project, "feedback", "--export")
    assert (project / "params.yaml").read_text().startswith(before.rstrip())
    file = project / "data/feedback/labels.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    done = runs.called(project, "preprocess")
    assert done.returncode == 1
    assert "ratchet feedback --export && dvc repro" in done.stderr
    file.unlink()
    assert "is missing" in runs.called(project, "preprocess").stderr
    registered.good(project, "compose")
    registered.good(project, "feedback", "--bring", "--locked")
    assert file.read_bytes() == content
    shutil.rmtree(project / ".ratchet/feedback")
    file.unlink()
    done = runs.called(project, "feedback", "--bring", "--locked")
    assert done.returncode == 1
    assert "dvc pull data/feedback" in done.stderr


def sentences() -> list[str]:
    return [f"the {first} and the {second} is {word} ." for first, second, word in SENTENCES]


SENTENCES = [(a, b, word) for a in ("film", "plot", "cast") for b in ("end", "start") for word in ("lovely", "sad")]
# scenario → records that nobody has seen, with labels, of the test split's records and labels
FRESH = {
    "table_dnn": lambda rows: [
        ({name: value * 1.01 for name, value in row.items()}, label) for row, label in rows[:12]
    ],
    "reviews_bert": lambda rows: [(text, "positive" if "lovely" in text else "negative") for text in sentences()],
    "movielens_dnn": lambda rows: [([str(n), str(n + 20), str(n + 5)], str(n + 9)) for n in range(1, 13)],
}


@pytest.mark.parametrize("scenario", FRESH)
def test_records_of_every_kind_are_encoded_as_ever(scenario, project, run, prepared_once):
    smoke.lay(scenario, project, run)
    for verb in ("compose", "download", "preprocess"):
        run(verb)
    test, kind = held_out.held_out(project / "data/processed"), spec(project)["kind"]
    seen = test.records.to_dicts() if isinstance(test.records, pl.DataFrame) else test.records
    if kind == "text":
        seen = [row["text"] for row in seen]
    if kind == "table":
        names = [column["name"] for column in encoder(project)["columns"]]
        seen = [{name: float(row[name]) for name in names} for row in seen]
    fresh = FRESH[scenario](list(zip(seen, test.targets, strict=True)))
    shape = {"text": lambda one: {"text": one}, "behaviour": lambda one: {"items": one}}.get(kind, lambda one: one)
    known = list(zip(seen[:3], test.targets[:3], strict=True))
    given = [(kind, labelled.record(shape(one)), str(label), ANSWER) for one, label in fresh + known]
    labelled.fill(project, given, model=yaml.safe_load((project / "params.lock.yaml").read_text())["registry"]["model"])
    rows = spec(project)["splits"]["train"]["rows"]
    run("feedback", "--export", "feedback.held_back=0.3")
    run("preprocess")

    about, train = spec(project)["feedback"], processed(project, "train")
    assert (about["unusable"], about["joined"] + about["held_back"]) == (3, len(fresh))
    assert about["joined"] > 0
    chosen = -1 - train["rows"][rows:]
    wanted = encode(encoder(project), [fresh[place][0] for place in chosen])
    if kind == "behaviour":  # of training, histories of `window` items
        wanted = np.pad(wanted, ((0, 0), (train["inputs"].shape[1] - wanted.shape[1], 0)))
    np.testing.assert_array_equal(train["inputs"][rows:], wanted)
    labels = encoder(project)["labels"]
    assert [labels[target] for target in train["targets"][rows:]] == [fresh[place][1] for place in chosen]
    assert len(held(project)) == about["held_back"]


def encoder(project: Path) -> dict[str, Any]:
    return json.loads((project / "data/processed/encoder.json").read_text())
