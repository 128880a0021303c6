"""Several processes train as one does: the same samples, the same metrics, the same bytes after any of them dies."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.project.files import sha256
from tests.conftest import lay, lean
from tests.support import digits, runs
from tests.support.trackers import free_port

WEIGHTS = "models/bundle/weights.safetensors"
SMALL = ["model.widths=[32]", "training.max_epochs=2", "trainer.threads=1", "trainer=cpu"]
TWO = [*runs.TINY, "training.max_epochs=9", "trainer=cpu", "trainer.devices=2"]
TWO += ["tracking.log_every_steps=1"]


def lay_odd(project: Path) -> None:
    """21 test pictures, 21 of validation, and a last batch of a single row."""
    published = digits.published()
    pictures, labels = published["test"]
    chosen = np.concatenate([[2], *(np.flatnonzero(labels == label)[-2:] for label in range(10))])
    train = tuple(array[: 21 + 64 * 4 + 1] for array in published["train"])
    lay(project, digits.idx_files({"train": train, "test": (pictures[chosen], labels[chosen])}))


def learned(project: Path, run_id: str | None = None) -> dict[tuple[str, int], float]:
    points = runs.points(project, run_id or runs.run_ids(project)[0])
    return {(name, step): value for name, step, value in points if name.startswith(("train/", "val/", "test/"))}


def trained(project: Path, run, *settings: str) -> dict[tuple[str, int], float]:
    run("train", "--fresh", *SMALL, *settings)
    run("evaluate", *SMALL, *settings)
    return learned(project, json.loads((project / "models/run.json").read_text())["run_id"])


def test_metrics_are_those_of_one_process_and_each_sample_counts_once(project, run):
    lay_odd(project)
    run("preprocess", "data.prepare.validation=21")
    wanted = trained(project, run)
    fsdp = ["trainer=fsdp", "trainer.devices=2"]
    for settings in (*([f"trainer.devices={count}"] for count in (3, 4)), fsdp):
        given = trained(project, run, *settings)
        assert given.keys() == wanted.keys()
        assert given == pytest.approx(wanted, abs=1e-6), settings
        counted = {step: value for (name, step), value in given.items() if name == "test/count"}
        assert set(counted.values()) == {21}
    tags = [line["values"] for line in runs.journal(project, newest(project)) if line["kind"] == "tags"]
    assert {"strategy": "fsdp", "processes": "2", "precision": "32", "accumulate": "1"}.items() <= tags[0].items()


def newest(project: Path) -> str:
    return json.loads((project / "models/run.json").read_text())["run_id"]


def test_two_nodes_train_as_one_process(project, run):
    lay_odd(project)
    run("preprocess", "data.prepare.validation=21")
    wanted = trained(project, run)
    nodes = [*SMALL, "--fresh", "trainer.nodes=2", f"trainer.rendezvous=127.0.0.1:{free_port()}"]
    command = [sys.executable, "-m", "pipeline", "train", *nodes]
    second = subprocess.Popen([*command, "trainer.node=1"], cwd=project, env=lean(), stdout=subprocess.PIPE, text=True)
    first = subprocess.run([*command, "trainer.node=0"], cwd=project, env=lean(), capture_output=True, text=True)
    output, _ = second.communicate(timeout=60)
    assert first.returncode == second.returncode == 0, first.stderr
    assert "node 1 of 2 is done" in output
    given = learned(project, newest(project))
    assert given == pytest.approx(
        {key: value for key, value in wanted.items() if not key[0].startswith("test/")}, abs=1e-6
    )


def test_jobs_of_a_hydra_multirun_on_two_ranks_are_runs_of_their_own(prepared):
    """As a user's own Hydra application calls it; the processes of a rank never see its command line."""
    (prepared / "app.py").write_text(APP)
    command = [sys.executable, "app.py", "--multirun", "+optimizer.lr=0.001,0.002"]
    done = subprocess.run(command, cwd=prepared, env=lean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((prepared / "multirun").glob("*/*/[0-9]"))) == 2
    assert len(runs.run_ids(prepared)) == len(list(prepared.glob(".ratchet/checkpoints/*/finished.json"))) == 2


APP = f"""
import hydra
from hydra.core.hydra_config import HydraConfig
from pipeline.__main__ import main

@hydra.main(version_base="1.3", config_path=None)
def app(config):
    given = [one.lstrip("+") for one in HydraConfig.get().overrides.task]
    assert main(["train", *{SMALL!r}, "trainer.devices=2", *given]) == 0

if __name__ == "__main__":
    app()
"""


def at(project: Path, line: str, arguments: list[str]) -> subprocess.Popen:
    """A training whose output has reached `line`."""
    command = [sys.executable, "-m", "pipeline", "train", *arguments]
    process = subprocess.Popen(
        command, cwd=project, env=lean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for text in process.stdout:
        if line in text:
            return process
    raise AssertionError(f"ended before {line!r}")


def ranks(process: subprocess.Popen) -> list[psutil.Process]:
    """The launcher's processes that train: forked by a server that it started."""
    server = [child for child in psutil.Process(process.pid).children() if "forkserver" in " ".join(child.cmdline())]
    return server[0].children()


def ended_as_if_never_stopped(project: Path, whole: Path) -> None:
    assert sha256(project / WEIGHTS) == sha256(whole / WEIGHTS)
    (run_id,) = runs.run_ids(project)
    assert learned(project) == learned(whole)
    assert runs.journal(project, run_id)[-1]["value"] == "FINISHED"


def test_after_any_death_two_ranks_end_with_the_same_bytes_in_the_same_run(project, run):
    run("download")
    run("preprocess")
    prepared, whole = runs.copied(project, "killed"), project
    run("train", *TWO)

    launcher = at(prepared, "epoch 2/", TWO)
    launcher.send_signal(signal.SIGTERM)
    output, _ = launcher.communicate(timeout=20)  # whoever preempts gives 30 seconds; torch alone would take them all
    assert launcher.returncode == 143, output
    (run_id,) = runs.run_ids(prepared)
    assert runs.journal(prepared, run_id)[-1]["value"] == "KILLED"

    launcher = at(prepared, "epoch 5/", TWO)
    ranks(launcher)[1].kill()
    output, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, output
    assert "resuming at step" in output
    ended_as_if_never_stopped(prepared, whole)


def test_what_all_ranks_see_is_no_reason_to_start_again(prepared):
    done = runs.train(prepared, *SMALL, "trainer.devices=2", "optimizer=sgd", "optimizer.lr=1e30")
    assert done.returncode == 1
    assert done.stderr.count("the loss is") == 1
    (run_id,) = runs.run_ids(prepared)
    assert runs.journal(prepared, run_id)[-1]["value"] == "FAILED"
