"""Hydra's launchers start a sweep's workers: joblib is everywhere in test_sweep.py; here are Ray and submitit."""

from pathlib import Path

import pytest

from tests.support import runs, sweeps
from tests.support.sweeps import SPACE, TINY

SETTINGS = [*TINY, *SPACE, "sweep.n_trials=2", "sweep.workers=2"]
LAUNCHERS = {
    "ray": [
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ],
    "submitit_local": ["hydra/launcher=submitit_local"],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_workers_are_started_by(launcher: str, prepared: Path):
    done = sweeps.sweep(prepared, *SETTINGS, *LAUNCHERS[launcher])
    assert done.returncode == 0, done.stdout + done.stderr
    found = sweeps.trials(prepared)
    assert sweeps.states(prepared) == {"COMPLETE": 2}
    sweeps.trained_once(prepared, found)
    assert not (prepared / "multirun").exists()


def test_no_worker_outlives_a_driver_that_is_killed(prepared: Path):
    settings = [*TINY, *SPACE, "sweep.workers=2", "training.max_epochs=2000", "trainer.checkpoint_seconds=0.01"]
    driver = sweeps.begun(prepared, *settings)
    training = sweeps.eventually(lambda: sweeps.trial_processes(driver.pid))
    driver.kill()
    driver.wait()
    sweeps.eventually(lambda: not any(process.is_running() for process in training))
    assert runs.sync(prepared).returncode == 0
    assert {run.info.status for run in runs.shipped_runs(runs.store(prepared))} == {"KILLED"}
    assert sweeps.states(prepared)["FAIL"] == 0
