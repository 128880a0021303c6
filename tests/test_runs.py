"""ratchet runs and ratchet compare: what journals tell, true and quickly, without MLflow."""

import json
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.tracking.journal import Journal, now
from pipeline.tracking.lines import encode
from tests.conftest import clone, lean
from tests.support import runs

WIDE = ["model.widths=[32]", "optimizer.lr=0.01", "trainer.threads=1"]
SMALL = ["model.widths=[8]", "optimizer=sgd", "trainer.threads=1", "training.max_epochs=4"]
SCORES = {"test/accuracy": 0.875, "test/loss": 0.5, "test/recall/7": 0.5, "baseline/majority/accuracy": 0.1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, project_files: list[str]) -> Path:
    """A project with two trainings, the second one scored on the test split."""
    project = clone(tmp_path_factory.mktemp("runs") / "project", project_files)
    verbs = [["download"], ["preprocess"], ["train", *WIDE], ["train", *SMALL]]
    whole = f"from pipeline.__main__ import main; sys.exit(any([main(verb) for verb in {verbs}]))"  # torch starts once
    command = [sys.executable, "-c", f"import sys; {whole}"]
    done = subprocess.run(command, cwd=project, env=lean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        result = json.loads((project / "models/run.json").read_text())
        with Journal.later(result["run_id"], "mnist", "as evaluate does") as journal:
            journal.metrics(result["best"]["step"], SCORES)
    return project


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """A copy of that project, in which `called` runs."""
    return shutil.copytree(trained, tmp_path / "project")


@pytest.fixture
def listed(called: Callable) -> Callable[..., list[dict]]:
    """listed(*arguments) → what `ratchet runs --json` prints."""

    def call(*arguments: str) -> list[dict]:
        done = called("runs", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


def begun(run_id: str, name: str, parent: str | None = None, **tags: str) -> None:
    """A run whose process is gone without a word."""
    with Journal.begin(run_id, "mnist", name, 1.0, parent) as journal:
        journal.status("RUNNING")
        journal.tags({"sweep.study": "mine", **tags})
        journal.metrics(10, {"train/loss": 0.5})


def test_runs_lists_the_newest_first_with_their_best(project: Path, listed: Callable, called: Callable):
    newest, older = listed()
    result = json.loads((project / "models/run.json").read_text())
    assert (newest["run_id"], newest["best"]) == (result["run_id"], result["best"]["value"])
    at_best = next(entry for entry in result["history"] if entry["epoch"] == result["best"]["epoch"])
    assert newest["metrics"]["val/loss"] == at_best["val/loss"]
    assert newest["metrics"]["test/accuracy"] == SCORES["test/accuracy"]
    assert "test/recall/7" not in newest["metrics"]
    assert not [name for name in newest["metrics"] if name.startswith(("train/", "system/", "baseline/"))]
    assert [newest["status"], older["status"]] == ["FINISHED"] * 2
    assert 0 < newest["seconds"] < 60
    lines = called("runs").stdout.splitlines()
    assert lines[1].startswith(newest["run_id"][:12])
    assert f"val/accuracy {older['best']:.4f}" in lines[2]
    (line, more) = called("runs", "--last", "1").stdout.splitlines()[1:]
    assert line == lines[1]
    assert more == "1 of 2 runs, the newest. For the others, type: ratchet runs --all"


def test_a_run_whose_process_is_gone_is_said_to_be_killed(project: Path, listed: Callable, monkeypatch):
    monkeypatch.chdir(project)
    begun("d" * 32, "gone")
    file = project / ".ratchet/journal" / ("d" * 32) / "journal.jsonl"
    hour_ago = re.sub(r'"time": (\d+)', lambda found: f'"time": {int(found[1]) - 3_600_000}', file.read_text())
    file.write_text(hour_ago)
    with Journal.begin("e" * 32, "mnist", "here", 1.0) as journal:
        journal.status("RUNNING")
        found = {run["name"]: run for run in listed()}
        assert found["gone"]["status"] == "KILLED"
        assert found["gone"]["seconds"] < 5  # until its last point
        assert found["here"]["status"] == "RUNNING"
    assert runs.journal(project, "d" * 32)[-1]["value"] == "KILLED"


def test_the_runs_of_a_study(project: Path, listed: Callable, called: Callable, monkeypatch):
    monkeypatch.chdir(project)
    with Journal.begin("a" * 32, "mnist", "mnist-sweep", 1.0) as journal:
        journal.status("FINISHED")
    begun("b" * 32, "first", "a" * 32, **{"sweep.trial": "0", "sweep.state": "PRUNED"})
    begun("c" * 32, "second", "a" * 32, **{"sweep.trial": "1"})
    assert {run["name"]: run["status"] for run in listed("--study", "mine")} == {
        "mnist-sweep": "FINISHED",
        "first": "PRUNED",
        "second": "KILLED",
    }
    assert "mine, trial 1" in called("runs").stdout
    unknown = called("runs", "--study", "yours")
    assert unknown.returncode == 1
    assert "the studies are mine" in unknown.stderr


def test_compare_shows_what_differs_and_marks_the_best(project: Path, listed: Callable, called: Callable):
    small, wide = listed()
    done = called("compare", wide["name"], small["run_id"][:6])
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["optimizer.name"] == ["adam", "sgd"]
    assert rows["optimizer.momentum"] == ["-", "0.9"]
    assert rows["model.widths"] == ["[32]", "[8]"]
    assert "seed" not in rows
    assert "scenario" not in rows
    assert rows["test/accuracy"][0] == "-"
    given = json.loads(called("compare", "--json", wide["run_id"], small["run_id"]).stdout)
    for metric, better in (("val/accuracy", max), ("val/loss", min), ("seconds", min)):
        values = given["metrics"][metric]
        assert given["best"][metric] == [values.index(better(values))]
        assert [cell.endswith("*") for cell in rows[metric]] == [value == better(values) for value in values]
    assert given["metrics"]["val/accuracy"] == [wide["best"], small["best"]]
    assert "their settings are the same" in called("compare", small["run_id"], small["run_id"]).stdout


def test_a_run_that_is_unknown_or_several_is_refused(project: Path, listed: Callable, called: Callable, monkeypatch):
    monkeypatch.chdir(project)
    small, wide = listed()
    unknown = called("compare", wide["name"], "mnist_mlq-1234567")
    assert unknown.returncode == 1
    assert "2 have" in unknown.stderr
    assert "Did you mean mnist_mlp-" in unknown.stderr
    begun("d" * 32, wide["name"])
    several = called("compare", wide["name"], small["name"])
    assert several.returncode == 1
    assert "names 2 runs" in several.stderr
    assert "d" * 12 in several.stderr


def test_a_thousand_runs_are_listed_within_a_second(project: Path):
    points = [{"train/loss": 0.5, "train/lr": 0.001}] * 100 + [{"val/accuracy": 0.9, "val/loss": 0.1}]
    body = [{"kind": "params", "values": {"training.monitor": "val/accuracy"}}]
    body += [{"kind": "metrics", "step": step, "time": now(), "values": one} for step, one in enumerate(points)]
    body += [{"kind": "status", "value": "FINISHED", "time": now(), "reason": ""}]
    text = "".join(f"{encode(line)}\n" for line in body)
    for number in range(1000):
        folder = project / ".ratchet/journal" / f"{number:032x}"
        folder.mkdir()
        head = encode({"kind": "run", "experiment": "many", "name": f"run-{number}", "time": number, "parent": None})
        (folder / "journal.jsonl").write_text(f"{head}\n{text}")
    probe = "import sys; from pipeline.__main__ import main; main(['runs', '--last', '1000', *sys.argv[1:]])"
    probe += "; print([name for name in ('torch', 'mlflow', 'hydra', 'optuna') if name in sys.modules])"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([sys.executable, "-c", probe], cwd=project, env=lean(), capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    *_, last, _, loaded = done.stdout.splitlines()
    assert "run-2 " in last
    assert "val/accuracy 0.9000" in last
    assert loaded == "[]"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1, time.monotonic() - began
