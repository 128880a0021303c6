"""Sweeps as real processes; studies, journals and MLflow read from outside."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from tests.conftest import lean
from tests.support import runs

TINY = ["trainer=cpu", "trainer.threads=1", "model.dropout=0.2", "training.max_epochs=3"]
SPACE = ["optimizer.lr=tag(log,interval(1e-3,1e-1))", "model.widths=choice([16],[24,16])"]
# Nothing is pruned: which trials lag depends on the machine, and those of one width might be all that are left
FIRST = [*SPACE, *TINY, "training.max_epochs=4", "sweep.n_trials=6", "sweep.workers=2", "sweep.pruner=none"]


def sweep(project: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "sweep", *arguments]
    environment = lean(**(env or {}))
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


def begun(project: Path, *arguments: str) -> subprocess.Popen:
    """A sweep in a session of its own, whose output is not looked at."""
    command = [sys.executable, "-m", "pipeline", "sweep", *arguments]
    with (project / "sweep.out").open("ab") as output:
        return subprocess.Popen(command, cwd=project, env=lean(), stdout=output, stderr=output, start_new_session=True)


def kill(driver: subprocess.Popen) -> None:
    """The driver, its workers and their trials at once; what ships the journals too."""
    try:
        processes = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        processes = []
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    driver.wait()


def storage(project: Path) -> str:
    return f"sqlite:///{project}/.ratchet/sweeps.db"


def study(project: Path, name: str = "mnist_mlp", url: str | None = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=name, storage=url or storage(project))


def trials(project: Path, name: str = "mnist_mlp", url: str | None = None) -> list[FrozenTrial]:
    if url is None and not (project / ".ratchet/sweeps.db").exists():
        return []
    try:
        return study(project, name, url).trials
    except (KeyError, RuntimeError, SQLAlchemyError):  # not made yet
        return []


def states(project: Path, name: str = "mnist_mlp", url: str | None = None) -> Counter[str]:
    return Counter(trial.state.name for trial in trials(project, name, url))


def finished(project: Path, name: str = "mnist_mlp") -> int:
    return sum(trial.state.is_finished() for trial in trials(project, name))


def trained_once(project: Path, found: list[FrozenTrial]) -> None:
    """Every trial has a run of its own, and none of them went through an epoch twice."""
    ids = [trial.user_attrs["run_id"] for trial in found]
    assert len(set(ids)) == len(ids)
    for run_id in ids:
        steps = [step for name, step, _ in runs.points(project, run_id) if name == "val/loss"]
        assert steps == sorted(set(steps)), f"run {run_id} was at {steps}"


def children(project: Path, parent: str) -> list[Any]:
    """MLflow's runs under the sweep's, by trial."""
    found = runs.shipped_runs(runs.store(project))
    (above,) = [run.info.run_id for run in found if run.data.tags["ratchet.run_id"] == parent]
    below = [run for run in found if run.data.tags.get("mlflow.parentRunId") == above]
    return sorted(below, key=lambda run: int(run.data.tags["sweep.trial"]))


def eventually(condition, seconds: float = 120.0) -> Any:
    return runs.eventually(condition, seconds, pause=0.1)


def trial_processes(driver: int) -> list[psutil.Process]:
    """The processes that train: what they print goes to their trial's log."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if any("/trial-" in file.path for file in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue
    return found
