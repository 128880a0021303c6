"""ratchet sweep: the study is the queue, and nothing of it is lost."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import runs, sweeps
from tests.support.sweeps import FIRST, SPACE, TINY
from tests.support.trackers import postgresql, postgresql_missing


@pytest.fixture
def again(swept: Path, tmp_path: Path) -> Path:
    """A copy of that project, to go on with; its MLflow names no file of the project that others look at."""
    project = shutil.copytree(swept, tmp_path / "project")
    with closing(sqlite3.connect(project / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            assert database.execute(change, (str(swept), str(project))).rowcount
    return project


def test_all_trials_end_and_each_is_a_run_under_the_sweep_s(swept: Path):
    found, about = sweeps.trials(swept), sweeps.study(swept).user_attrs
    assert len(found) == 6
    assert all(trial.state.name in ("COMPLETE", "PRUNED") for trial in found)
    assert {trial.user_attrs["threads"] for trial in found if trial.state.name == "COMPLETE"} == {1}
    sweeps.trained_once(swept, found)
    below = sweeps.children(swept, about["run_id"])
    assert [run.data.tags["sweep.state"] for run in below] == [trial.state.name for trial in found]
    ends = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
    for run, trial in zip(below, found, strict=True):
        assert run.info.status == ends[trial.state.name]
        assert run.data.tags["config.hash"] == trial.user_attrs["config.hash"]
        assert float(run.data.params["optimizer.lr"]) == trial.params["optimizer.lr"]
    parent = next(run for run in runs.shipped_runs(runs.store(swept)) if run.info.run_name == "mnist_mlp-sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best/val/accuracy"] == sweeps.study(swept).best_value
    listed = runs.client(runs.store(swept)).list_artifacts(parent.info.run_id, "sweep")
    assert "sweep/report.html" in [file.path for file in listed]


def test_the_same_command_with_more_trials_trains_those_alone(again: Path):
    before = [trial.user_attrs["run_id"] for trial in sweeps.trials(again)]
    done = sweeps.sweep(again, *FIRST, "sweep.n_trials=7")
    assert done.returncode == 0, done.stderr
    assert "6 trials have ended before" in done.stdout
    assert sweeps.finished(again) == 7
    assert [trial.user_attrs["run_id"] for trial in sweeps.trials(again)][:6] == before


def test_a_changed_space_or_base_is_refused_with_the_difference(again: Path):
    done = sweeps.sweep(again, *FIRST, "model.widths=choice([16],[32])", "optimizer.weight_decay=0.1")
    assert done.returncode == 1
    assert "model.widths: was choice([16],[24,16]), is choice([16],[32])" in done.stderr
    assert "optimizer.weight_decay: was 0.0, is 0.1" in done.stderr
    assert "sweep.study=mnist_mlp-2" in done.stderr
    assert sweeps.finished(again) == 6


def test_settings_trained_before_are_reused_in_another_sweep(again: Path):
    best = sweeps.study(again).best_trial
    rate, widths = best.params["optimizer.lr"], best.params["model.widths"]
    space = [f"optimizer.lr={rate!r},{rate / 2!r}", "sweep.study=other", f"model.widths={widths}"]
    done = sweeps.sweep(again, *TINY, "training.max_epochs=4", *space)
    assert done.returncode == 0, done.stderr
    first, second = sweeps.trials(again, "other")
    assert (first.value, first.user_attrs["reused"]) == (best.value, best.user_attrs["run_id"])
    assert "reused" not in second.user_attrs
    assert f"(reused: run {best.user_attrs['run_id'][:12]})" in done.stdout
    lines = runs.journal(again, first.user_attrs["run_id"])
    assert lines[1]["parent"] == sweeps.study(again, "other").user_attrs["run_id"]
    assert (lines[-2]["value"], lines[-1]["values"]) == ("FINISHED", {"sweep.state": "COMPLETE"})
    assert any(line.get("values", {}).get("ratchet.reused_run") == best.user_attrs["run_id"] for line in lines)


def test_trials_that_fail_stop_no_other(again: Path):
    """A loss that is not finite, memory that is not there, and a process that is killed."""
    space = [
        "optimizer.lr=1e-3,1e30",
        "model.widths=choice([16],[24],[3000000000])",
        "optimizer=sgd",
        "sweep.study=bad",
    ]
    driver = sweeps.begun(again, *TINY, *space, "training.max_epochs=60", "sweep.workers=2")
    process = sweeps.eventually(lambda: next(iter(sweeps.trial_processes(driver.pid)), None))
    process.kill()
    assert driver.wait(240) == 0, (again / "sweep.out").read_text()
    found = sweeps.trials(again, "bad")
    assert len(found) == 6
    reasons = [trial.user_attrs.get("reason", "") for trial in found if trial.state.name == "FAIL"]
    assert sum("killed by SIGKILL" in reason for reason in reasons) == 1, reasons
    assert sum("memory" in reason for reason in reasons) >= 1, reasons
    assert sum("not finite" in reason or "nan" in reason.lower() for reason in reasons) >= 1, reasons
    assert sweeps.states(again, "bad")["COMPLETE"] == 6 - len(reasons) >= 1
    assert runs.sync(again).returncode == 0
    below = sweeps.children(again, sweeps.study(again, "bad").user_attrs["run_id"])
    assert [run.data.tags["sweep.state"] for run in below] == [trial.state.name for trial in found]


def test_a_sweep_that_is_killed_goes_on(again: Path):
    space = [*SPACE, *TINY, "training.max_epochs=30", "trainer.checkpoint_seconds=0.01", "sweep.study=killed"]
    space += ["sweep.n_trials=4", "sweep.workers=2"]
    driver = sweeps.begun(again, *space)
    sweeps.eventually(lambda: sweeps.finished(again, "killed") >= 1)
    sweeps.eventually(lambda: list(again.glob(".ratchet/checkpoints/*/[0-9]*.ckpt")))
    sweeps.kill(driver)
    before = {trial.number: trial.user_attrs["run_id"] for trial in sweeps.trials(again, "killed") if trial.values}
    assert sweeps.states(again, "killed")["RUNNING"] >= 1
    done = sweeps.sweep(again, *space)
    assert done.returncode == 0, done.stderr
    found = sweeps.trials(again, "killed")
    assert sweeps.states(again, "killed") == {"COMPLETE": 4}
    assert {number: found[number].user_attrs["run_id"] for number in before} == before
    sweeps.trained_once(again, found)
    logs = "".join(file.read_text() for file in again.glob(".ratchet/sweeps/killed/trial-*.log"))
    assert "resuming at step" in logs


def test_multirun_with_commas_is_a_grid_whose_lagging_trials_are_pruned(again: Path):
    rates = ["optimizer.lr=0.01,0.02,0.03,0.05,1e-7", "sweep.pruner=median", "sweep.study=grid"]
    done = runs.train(again, "-m", *TINY, "model.widths=[16]", *rates)
    assert done.returncode == 0, done.stderr
    assert runs.sync(again).returncode == 0
    found = sweeps.trials(again, "grid")
    assert [trial.params["optimizer.lr"] for trial in found] == [0.01, 0.02, 0.03, 0.05, 1e-7]
    assert [trial.state.name for trial in found] == [*["COMPLETE"] * 4, "PRUNED"]
    below = sweeps.children(again, sweeps.study(again, "grid").user_attrs["run_id"])
    assert [run.info.status for run in below] == [*["FINISHED"] * 4, "KILLED"]
    assert below[-1].data.tags["sweep.state"] == "PRUNED"
    assert below[-1].data.tags["ratchet.reason"] == "pruned at epoch 1"


def test_a_python_file_gives_a_conditional_space_and_several_objectives_a_front(again: Path):
    (again / "space.py").write_text(
        "def space(trial):\n"
        "    name = trial.suggest_categorical('optimizer', ['adam', 'sgd'])\n"
        "    more = {'optimizer.momentum': trial.suggest_float('momentum', 0.5, 0.9)} if name == 'sgd' else {}\n"
        "    return {'optimizer': name, 'model.widths': [8, 8 + trial.number], **more}\n"
    )
    own = ["sweep.space_file=space.py", "sweep.study=file", "sweep.n_trials=4", "training.max_epochs=1"]
    done = sweeps.sweep(again, *TINY, *own, "sweep.objectives=[val/accuracy,parameters]")
    assert done.returncode == 0, done.stderr
    found = sweeps.trials(again, "file")
    assert {trial.params["optimizer"] for trial in found} == {"adam", "sgd"}
    assert all(("momentum" in trial.params) == (trial.params["optimizer"] == "sgd") for trial in found)
    assert [one.name for one in sweeps.study(again, "file").directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.values[1] for trial in found] == sorted({trial.values[1] for trial in found})
    assert "the Pareto front:" in done.stdout


@pytest.mark.skipif(postgresql_missing() is not None, reason=str(postgresql_missing()))
def test_workers_share_a_study_in_postgresql_and_a_second_driver_joins(again: Path):
    with postgresql() as server:
        space = [*SPACE, *TINY, f"sweep.storage={server.uri}", "sweep.n_trials=4", "training.max_epochs=20"]
        first = sweeps.begun(again, *space)
        sweeps.eventually(lambda: "sweep mnist_mlp" in (again / "sweep.out").read_text())
        second = sweeps.sweep(again, *space)
        assert second.returncode == 0, second.stderr
        assert "another process drives the study" in second.stdout
        assert first.wait(120) == 0, (again / "sweep.out").read_text()
        assert sweeps.states(again, url=server.uri) == {"COMPLETE": 4}
        sweeps.trained_once(again, sweeps.trials(again, url=server.uri))


REFUSED = {
    "unknown key": (["optimizer.rate=interval(0.1,1)"], "optimizer.rate"),
    "empty interval": (["optimizer.lr=interval(0.1,0.1)"], "a lower end below its upper end"),
    "a single point": (["optimizer.lr=choice(0.1)"], "two points at least"),
    "a value that is not allowed": (["optimizer.lr=interval(-1,1)"], "optimizer.lr"),
    "a value and a space": (["optimizer.lr=0.1,0.2", "optimizer.lr=0.3"], "as a value and as a space"),
    "data": (["data.prepare.validation=100,200"], "not searched"),
    "a database that is away": (
        ["seed=1,2", "sweep.storage=postgresql+psycopg2://nobody:canary@127.0.0.1:9/none"],
        "can't be used",
    ),
    "an unknown sampler": (["seed=1,2", "sweep.sampler=magic"], "'grid', 'random'"),
    "an unknown setting of the sweep": (["seed=1,2", "sweep.trials=5"], "n_trials"),
    "an unknown objective": (["seed=1,2", "sweep.objectives=[val/acuracy]"], "Did you mean val/accuracy?"),
    "a grid of an interval": (["optimizer.lr=interval(0.1,1)", "sweep.sampler=grid"], "sweep.sampler=tpe"),
    "cmaes for a choice": (["optimizer.lr=interval(0.1,1)", "seed=1,2", "sweep.sampler=cmaes"], "seed is a choice"),
    "an unknown launcher": (["seed=1,2", "hydra/launcher=cloud"], "submitit_slurm"),
    "an unknown space": (["sweep=nothing"], "mnist_mlp"),
    "a space file that raises": (["sweep.space_file=bad.py"], "AttributeError"),
    "no space file": (["sweep.space_file=none.py"], "def space(trial)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_before_the_first_trial(case: str, swept: Path, monkeypatch, capsys):
    from pipeline.__main__ import main

    arguments, words = REFUSED[case]
    (swept / "bad.py").write_text("def space(trial):\n    return trial.nothing\n")
    monkeypatch.chdir(swept)
    code = main(["sweep", "sweep.study=refused", *arguments])
    said = capsys.readouterr().err
    assert (code, words in said, "canary" in said) == (1, True, False), said
    assert sweeps.trials(swept, "refused") == []
