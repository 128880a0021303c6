"""How trainings end: with a true status and the reason in MLflow, and with whole checkpoints, whatever ends them."""

import json
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.__main__ import main
from pipeline.project.files import sha256
from pipeline.training.files import newest
from tests.conftest import lean
from tests.support import limits, runs

SHORT = ["model.widths=[32]", "training.max_epochs=12", "trainer.threads=1", "trainer.checkpoint_steps=20"]
# So long that a signal finds it training; no checkpoint but the one that a signal makes
LONG = [*SHORT, "training.max_epochs=300", "trainer.checkpoint_steps=null", "trainer.checkpoint_seconds=1000"]
SMALL_FILES = 200_000  # bytes: the best weights of SHORT have 102 kB, a checkpoint over 300 kB


@pytest.fixture
def copy(prepared_once, tmp_path) -> Path:
    return shutil.copytree(prepared_once, tmp_path / "project")


@pytest.fixture(scope="module")
def killed(prepared_once, tmp_path_factory) -> Path:
    """The project with a training that was killed along with its shipper, as when a machine goes down.

    It has two checkpoints and best weights.
    """
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("killed") / "project")
    command = [sys.executable, "-m", "pipeline", "train", *SHORT]
    with subprocess.Popen(command, cwd=project, env=lean(), stdout=subprocess.PIPE, text=True) as training:
        assert any("epoch 6/" in line for line in training.stdout)
        for process in (*psutil.Process(training.pid).children(), training):
            process.kill()
    (run_id,) = runs.run_ids(project)
    assert runs.journal(project, run_id)[-1]["kind"] != "status"
    return project


@pytest.fixture
def again(killed, tmp_path, monkeypatch, capsys) -> Callable[[Callable[[Path], None]], tuple[int, str, str, Path]]:
    """again(damage) → (code, output, errors, project) of the same command, in this process, once `damage` was done."""

    def train(damage):
        project = shutil.copytree(killed, tmp_path / "project")
        damage(next(project.glob(".ratchet/checkpoints/*/")))
        monkeypatch.chdir(project)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", runs.store(project))
        code = main(["train", *SHORT])
        return code, *capsys.readouterr(), project

    return train


def test_every_end_has_its_true_status_in_mlflow(copy):
    """An exception, a loss that is not finite, SIGTERM, SIGINT and SIGKILL; in MLflow after one `ratchet sync`."""
    codes = {
        "1": runs.stopped(copy, [*LONG, "seed=1"], "epoch 3/", signal.SIGTERM),
        "2": runs.stopped(copy, [*LONG, "seed=2"], "epoch 3/", signal.SIGINT),
        "3": runs.stopped(copy, [*LONG, "seed=3"], "epoch 3/", signal.SIGKILL),
    }
    infinite = runs.called(copy, "train", *SHORT, "seed=4", "optimizer=sgd", "optimizer.lr=1e30")
    with (copy / "pipeline/models/network.py").open("a") as code:
        code.write("\n\ndef broken(*inputs):\n    raise IndexError('a bug')\n\n\nNetwork.forward = broken\n")
    bug = runs.train(copy, *SHORT, "seed=5")
    assert runs.sync(copy).returncode == 0
    assert codes == {"1": 143, "2": 130, "3": -signal.SIGKILL}
    assert len(list(copy.glob(".ratchet/checkpoints/*/*.ckpt"))) == 2
    assert infinite.returncode == bug.returncode == 1
    assert "Traceback" not in infinite.stderr
    assert "optimizer.lr=1e+29" in infinite.stderr
    assert not (copy / "models").exists()

    uri = runs.store(copy)
    found = {run.data.params["seed"]: run for run in runs.shipped_runs(uri)}
    assert [found[seed].info.status for seed in "12345"] == [*["KILLED"] * 3, *["FAILED"] * 2]
    reasons = {"1": "SIGTERM", "2": "SIGINT", "3": "SIGKILL", "4": "the loss is", "5": "IndexError: a bug"}
    assert all(words in found[seed].data.tags["ratchet.reason"] for seed, words in reasons.items())
    files = {seed: runs.client(uri).list_artifacts(run.info.run_id) for seed, run in found.items()}
    assert {seed for seed, some in files.items() if "failure.txt" in [file.path for file in some]} == {"4", "5"}
    assert any("in broken" in file.read_text() for file in copy.glob("mlartifacts/**/failure.txt"))


def test_a_full_disk_keeps_the_checkpoint_before_and_the_same_command_goes_on(killed, tmp_path):
    project = shutil.copytree(killed, tmp_path / "project")
    folder = next(project.glob(".ratchet/checkpoints/*/"))
    before, _ = newest(folder)
    full = limits.limited(project, SHORT, resource.RLIMIT_FSIZE, SMALL_FILES)
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert f"{folder} can't be written: File too large" in full.stderr
    assert "type the same command again" in full.stderr
    assert newest(folder) == (before, [])
    assert list(folder.glob(".*")) == []
    (run_id,) = runs.run_ids(project)
    *_, said, end = runs.journal(project, run_id)
    assert (said["name"], end["value"]) == ("failure.txt", "FAILED")
    assert "can't be written" in end["reason"]

    on = runs.called(project, "train", *SHORT)
    assert on.returncode == 0, on.stderr
    assert f"resuming at step {int(before.name[:8])}" in on.stdout
    assert runs.journal(project, run_id)[-1]["value"] == "FINISHED"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    with limits.disk(tmp_path / "disk", "2m") as folder:
        yield folder


def test_a_disk_that_others_fill_leaves_room_for_the_last_words(copy, small_disk):
    shutil.rmtree(copy / ".ratchet")
    (copy / ".ratchet").symlink_to(small_disk)
    settings = [*SHORT, "training.max_epochs=100"]
    command = [sys.executable, "-m", "pipeline", "train", *settings]
    environment = lean(TMPDIR=str(small_disk))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=copy, env=environment, **pipes) as training:
        assert any("epoch 3/" in line for line in training.stdout)
        filler = limits.fill(small_disk)
        errors = training.communicate(timeout=60)[1]
    assert training.returncode == 1
    assert "can't be written: No space left on device" in errors
    assert "Traceback" not in errors
    (run_id,) = runs.run_ids(copy)
    assert runs.journal(copy, run_id)[-1]["value"] == "FAILED"
    filler.unlink()
    assert "resuming at step" in runs.called(copy, "train", *settings).stdout


@pytest.mark.parametrize("closed", [".ratchet", "models"])
def test_output_that_can_not_be_written_is_refused_before_the_first_step(copy, closed):
    (copy / closed).mkdir(exist_ok=True)
    (copy / closed).chmod(0o555)
    done = limits.powerless(copy, SHORT)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ratchet train: error: {copy / closed} can't be written: Permission denied")
    assert "epoch" not in done.stdout
    assert runs.run_ids(copy) == []


def test_a_damaged_checkpoint_falls_back_by_one(again):
    def damage(folder):
        newest = max(folder.glob("*.ckpt"))
        newest.write_bytes(newest.read_bytes()[:-100])

    code, output, _, _ = again(damage)
    assert code == 0
    assert output.count("is damaged") == 1
    assert "resuming at step" in output


def test_with_no_whole_checkpoint_it_starts_from_the_beginning_and_says_so(again):
    def damage(folder):
        for file in folder.glob("*.ckpt"):
            limits.flip(file)

    code, output, _, _ = again(damage)
    assert code == 0
    assert "no checkpoint is whole: starting from the beginning" in output
    assert "epoch 1/12" in output


def test_best_weights_that_are_damaged_are_trained_again(again):
    def damage(folder):
        limits.flip(max(folder.glob("*.safetensors")))

    code, output, _, project = again(damage)
    assert code == 0
    assert ".safetensors is damaged" in output
    best = json.loads((project / "models/run.json").read_text())["best"]["file"]
    assert sha256(project / "models/bundle/weights.safetensors") == best.partition("-")[2].partition(".")[0]


def test_a_pickle_under_a_checkpoints_right_name_is_refused_and_not_run(again, tmp_path):
    def damage(folder):
        file = folder / "bad"
        file.write_bytes(pickle.dumps(limits.Payload(tmp_path / "touched"), protocol=2))
        file.rename(folder / f"00009999-{sha256(file)}.ckpt")

    code, _, errors, _ = again(damage)
    assert code == 1
    assert "could run code. It is refused" in errors
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("verb", ["evaluate", "train"])
def test_a_pickle_with_right_sums_in_bundle_or_dataset_is_refused_and_not_run(again, tmp_path, capsys, verb):
    """Its author has written the sums beside it anew as well."""
    _, _, _, project = again(lambda folder: None)
    touched = tmp_path / "touched"
    where = {"train": "data/processed/train.safetensors", "evaluate": "models/bundle/weights.safetensors"}
    poisoned = project / where[verb]
    about = next(file for file in (poisoned.with_name("spec.json"), poisoned.with_name("bundle.json")) if file.exists())
    limits.swap(poisoned, about, pickle.dumps(limits.Payload(touched), protocol=2))
    assert main([verb, *SHORT]) == 1
    assert poisoned.name in capsys.readouterr().err
    assert not touched.exists()


def test_memory_that_does_not_suffice_is_said_with_what_to_type(copy):
    """The limit lets everything in but the activations of a whole batch, over 40 GB."""
    large = ["scenario=mnist_cnn", "model.layers=[60000, 1]", "training.batch_size=512", "training.max_epochs=1"]
    done = limits.limited(copy, [*large, "trainer.threads=1"], resource.RLIMIT_AS, 16 << 30)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "out of memory" in done.stderr
    assert "Given training.batch_size=512, training.accumulate=1" in done.stderr
    assert "Type: training.accumulate=2" in done.stderr
    (run_id,) = runs.run_ids(copy)
    end = runs.journal(copy, run_id)[-1]
    assert (end["value"], end["reason"].partition("\n")[0][:28]) == ("FAILED", "TrainingError: out of memory")


def test_a_killed_run_is_closed_by_the_next_training(killed, tmp_path):
    project = shutil.copytree(killed, tmp_path / "project")
    (dead,) = runs.run_ids(project)
    assert runs.called(project, "train", *SHORT, "training.max_epochs=1").returncode == 0
    end = runs.eventually(
        lambda: next((one for one in runs.journal(project, dead) if one.get("value") == "KILLED"), None)
    )
    assert "SIGKILL" in end["reason"]
