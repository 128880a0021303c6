"""Trainings as real processes, stopped at a line of their output; journals and MLflow read from outside."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipeline.__main__ import main
from tests.conftest import lean

# Small and long: epochs of 16 steps, so many that a signal sent in the first half always finds it training; dropout so
# that a wrong random state would show; one thread, since the shipper beside it has the lowest priority and needs a core
EPOCHS = 100
TINY = ["model.widths=[32]", "model.dropout=0.2", f"training.max_epochs={EPOCHS}", "trainer.threads=1"]
TINY += ["trainer.checkpoint_seconds=0.01"]


def copied(project: Path, name: str) -> Path:
    """Another clone with the same data, so that the same settings can be trained twice apart."""
    target = project.parent / name
    shutil.copytree(project, target)
    return target


def train(project: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "train", *arguments]
    environment = lean(**(env or {}))
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


def stopped(project: Path, arguments: list[str], line: str, how: signal.Signals) -> int:
    """Trains until the output holds `line`, then sends the signal; returns the exit code."""
    command = [sys.executable, "-m", "pipeline", "train", *arguments]
    process = subprocess.Popen(
        command, cwd=project, env=lean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        seen = []
        for text in process.stdout:
            seen.append(text)
            if line in text:
                process.send_signal(how)
                break
        else:
            raise AssertionError(f"no {line!r} in:\n{''.join(seen)}")
        process.stdout.read()
    return process.returncode


def run_ids(project: Path) -> list[str]:
    return sorted(file.parent.name for file in project.glob(".ratchet/journal/*/journal.jsonl"))


def journal(project: Path, run_id: str) -> list[dict[str, Any]]:
    file = project / ".ratchet/journal" / run_id / "journal.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def points(project: Path, run_id: str) -> list[tuple[str, int, float]]:
    lines = [line for line in journal(project, run_id) if line["kind"] == "metrics"]
    return [(name, line["step"], value) for line in lines for name, value in line["values"].items()]


def client(uri: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def store(project: Path) -> str:
    return f"sqlite:///{project}/mlflow.db"


def shipped_runs(uri: str) -> list[Any]:
    asked = client(uri)
    experiments = [one.experiment_id for one in asked.search_experiments()]
    return asked.search_runs(experiments)


def shipped_points(uri: str, mlflow_id: str) -> list[tuple[str, int, float]]:
    asked = client(uri)
    names = asked.get_run(mlflow_id).data.metrics
    return [(name, one.step, one.value) for name in names for one in asked.get_metric_history(mlflow_id, name)]


def called(project: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`ratchet …` in this process, which has torch and MLflow already: sooner by the seconds that those take."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in lean(**env).items():
            patch.setenv(name, value)
        patch.chdir(project)
        code = main(list(arguments))
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


def sync(project: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return called(project, "sync", **env)


def eventually(condition, seconds: float = 40.0, pause: float = 0.3) -> Any:
    """Waits for a background process to have done its work."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} seconds: {condition}")
