"""The circle: use, labels, retraining, the gate, the next champion; on real digits drawn askew."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from tests.conftest import clone, lean
from tests.support import digits, registered, runs
from tests.support.labelled import turned
from tests.support.services import Service, serving

(PICTURES, TRUTH), (FRESH, FRESH_TRUTH) = (digits.published()[part] for part in ("train", "test"))
ASKED = 400  # pictures of the first service's use
SETTINGS = {
    "model": {"widths": [64]},
    "training": {"max_epochs": 12},
    "optimizer": {"lr": 0.01},
    "feedback": {"least": 100, "labels": 300},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, project_files: list[str], empty_database: Path) -> Path:
    """With a champion that reads upright digits."""
    project = clone(tmp_path_factory.mktemp("circle") / "project", project_files)
    (project / "mlflow.db").write_bytes(empty_database.read_bytes())
    params = yaml.safe_load((project / "params.yaml").read_text())
    # 300 test rows: of equal models one may well lose 3% by chance
    params |= SETTINGS | {"gate": params["gate"] | {"live_loss": 0.05}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    for verb in ("compose", "download", "preprocess", "train", "evaluate", "register", "promote"):
        registered.good(project, verb)
    return project


@pytest.fixture(scope="module")
def service(project: Path) -> Iterator[Service]:
    with serving(project, "serving.watch_seconds=0.2") as service:
        yield service


def asked(service: Service, pictures: np.ndarray) -> list[dict[str, Any]]:
    records = [{"pixels": turned(one).tolist()} for one in pictures]
    status, found = service.post("/predict/batch", {"records": records})
    assert status == 200, found
    return found["predictions"]


def accuracy(answers: list[dict[str, Any]], truth: np.ndarray) -> float:
    return float(np.mean([one["label"] == str(label) for one, label in zip(answers, truth, strict=True)]))


def say(service: Service, answers: list[dict[str, Any]], labels: list[str]) -> set[str]:
    """Labels them; returns what became of the labels."""
    told = [
        service.post("/feedback", {"prediction_id": one["prediction_id"], "label": label})
        for one, label in zip(answers, labels, strict=True)
    ]
    assert {status for status, _ in told} == {200}
    return {found["status"] for _, found in told}


def started(project: Path, how: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipeline", "feedback", how, "feedback.watch_seconds=0.5"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=project, env=lean(), **streams)


def read_until(process: subprocess.Popen, end: str) -> str:
    said = ""
    for line in process.stdout:
        said += line
        if end in line:
            return said
    raise AssertionError(f"no {end!r} in:\n{said}")


def kill(process: subprocess.Popen) -> None:
    """With all that it started, as a power cut would."""
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        os.kill(one.pid, signal.SIGKILL)
    process.communicate()


def versions(project: Path) -> dict[int, dict[str, str]]:
    found = runs.client(runs.store(project)).search_model_versions("name='mnist'")
    return {int(one.version): one.tags for one in found}


def retrains(project: Path) -> list[dict[str, Any]]:
    return json.loads((project / ".ratchet/feedback/retrains.json").read_text())


def test_wrong_labels_are_refused_and_right_ones_make_the_next_champion(project: Path, service: Service):
    before = accuracy(asked(service, FRESH), FRESH_TRUTH)
    answers = asked(service, PICTURES[:ASKED])
    assert accuracy(answers, TRUTH[:ASKED]) < 0.9, "upright they are learned by heart"
    params = (project / "params.yaml").read_text()

    # 30% wrong
    generator = np.random.default_rng(0)
    wrong = [str(label) for label in TRUTH[:ASKED]]
    for place in generator.choice(ASKED, ASKED * 3 // 10, replace=False):
        wrong[place] = str((int(wrong[place]) + generator.integers(1, 10)) % 10)
    assert say(service, answers, wrong) == {"stored"}
    with started(project, "--retrain") as process:
        said = process.stdout.read()
    assert process.returncode == 1, said
    (why,) = [line for line in said.splitlines() if line.startswith("retraining: ")]
    assert why.startswith("retraining: 400 new labels; accuracy of version 1 is 0.5"), why
    assert "and was 0.9" in why, "on the test split"
    assert "slant" in why.partition("drift of ")[2]
    failed = [line for line in said.splitlines() if "FAILED" in line]
    assert any(line.startswith("agreement of labels from use") for line in failed), said
    assert (service.health()["version"], service.health()["problem"]) == (1, None)
    assert (project / "params.yaml").read_text() == params

    # the same again, whether labelled anew or asked for anew: nothing
    assert say(service, answers, wrong) == {"known"}
    assert "0 labels since the last retraining" in registered.good(project, "feedback", "--retrain")

    # corrected, which makes them new; the watcher is killed in the middle of the training
    right = [str(label) for label in TRUTH[: ASKED + 200]]
    assert say(service, answers, right[:ASKED]) == {"known", "corrected"}
    say(service, asked(service, PICTURES[ASKED : ASKED + 200]), right[ASKED:])
    with started(project, "--watch") as watcher:
        read_until(watcher, "epoch 1/12")
        kill(watcher)
    assert retrains(project)[-1]["ended"] is None
    with started(project, "--watch") as watcher:
        read_until(watcher, "promoted: mnist version 3 is champion")
        runs.eventually(lambda: retrains(project)[-1]["ended"])
        watcher.send_signal(signal.SIGTERM)
        assert "retraining" not in watcher.stdout.read()
    assert watcher.returncode == 0
    assert [one["outcome"] for one in retrains(project)] == ["refused", "promoted"]
    runs.eventually(lambda: service.health()["version"] == 3, pause=0.05)

    after = accuracy(asked(service, FRESH), FRESH_TRUTH)
    assert after > before + 0.1, f"live accuracy {before:.3f} → {after:.3f} on pictures that nobody had labelled"
    assert "0 labels since the last retraining" in registered.good(project, "feedback", "--retrain")
    assert set(versions(project)) == {1, 2, 3}
    told = registered.good(project, "lineage")
    assert "labels from use: " in told
    assert "labels on answers of versions 1" in told
    assert "promoted" in (project / "reports/promotion.html").read_text()
