"""Rows 29 and 30: a trial of a sweep that goes wrong, and a sweep that is killed with its workers and their trials."""

import random
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from tests.support import runs, sweeps

TRIALS = 20
SEARCH = [*sweeps.SPACE, *sweeps.TINY, "trainer.checkpoint_seconds=0.01", "sweep.workers=2"]
WRONG = {
    "raises": ["model.widths=[16],[18],[20],[22],[24],[26],[28],[3000000000]"],
    "gives NaN": ["model.widths=[16]", "optimizer=sgd", "optimizer.lr=0.01,0.02,0.03,0.04,0.05,0.06,0.07,1e30"],
    "is killed": ["model.widths=[16]", "seed=1,2,3,4,5,6,7,8"],
}


def one_of_eight(folder: Path, seed: int) -> None:
    """Seven finish, and one is FAIL with its reason, in the study and in MLflow."""
    project, kind = prepared(folder), list(WRONG)[seed % 3]
    epochs = 40 if kind == "is killed" else 4
    driver = sweeps.begun(project, *sweeps.TINY, f"training.max_epochs={epochs}", *WRONG[kind], "sweep.workers=2")
    if kind == "is killed":
        victim = sweeps.eventually(lambda: next(iter(sweeps.trial_processes(driver.pid)), None))
        victim.send_signal(signal.SIGKILL)
    assert driver.wait(300) == 0, (project / "sweep.out").read_text()
    assert sweeps.states(project) == {"COMPLETE": 7, "FAIL": 1}, sweeps.states(project)
    (failed,) = [trial for trial in sweeps.trials(project) if trial.state.name == "FAIL"]
    assert failed.user_attrs["reason"], "no reason"
    assert runs.sync(project).returncode == 0
    below = sweeps.children(project, sweeps.study(project).user_attrs["run_id"])
    assert [run.data.tags["sweep.state"] for run in below] == [trial.state.name for trial in sweeps.trials(project)]


def driver_killed(folder: Path, seed: int) -> None:
    """Killed at any moment, twice in every third try; typed again, exactly so many trials, none trained twice."""
    project, chance = prepared(folder), random.Random(seed)
    settings = [*SEARCH, "training.max_epochs=10", f"sweep.n_trials={TRIALS}", "sweep.seed=1"]
    for _ in range(2 if seed % 3 == 0 else 1):
        driver = sweeps.begun(project, *settings)
        wait_for(project, driver, chance.randrange(TRIALS - 1))
        time.sleep(chance.uniform(0, 2))
        sweeps.kill(driver)
    before = {one.number: one.user_attrs["run_id"] for one in sweeps.trials(project) if one.state.is_finished()}
    done = sweeps.sweep(project, *settings)
    assert done.returncode == 0, done.stderr
    found = sweeps.trials(project)
    assert sweeps.states(project) == {"COMPLETE": TRIALS}, sweeps.states(project)
    assert {number: found[number].user_attrs["run_id"] for number in before} == before, "a finished trial ran again"
    sweeps.trained_once(project, found)
    assert runs.sync(project).returncode == 0
    below = sweeps.children(project, sweeps.study(project).user_attrs["run_id"])
    assert [(run.info.status, run.data.tags["sweep.state"]) for run in below] == [("FINISHED", "COMPLETE")] * TRIALS


def wait_for(project: Path, driver: subprocess.Popen, ended: int) -> None:
    """Until so many trials have ended, or the sweep has."""
    sweeps.eventually(lambda: sweeps.finished(project) >= ended or driver.poll() is not None)


ROWS = [
    Row(
        29, "a trial raises, gives NaN, is killed", "the other seven finish; one FAIL with its reason", 6, one_of_eight
    ),
    Row(
        30,
        "a sweep is killed with its workers and trials",
        "the same command: exactly 20 trials, none trained twice",
        20,
        driver_killed,
    ),
]
