"""Rows 13 and 15 to 21: signals, disks, rights, damage, hostile files, losses and memory that end a training."""

import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from benchmarks.faults import plainly
from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from pipeline.project.files import sha256
from pipeline.training.files import newest
from tests.conftest import lean
from tests.support import limits, runs

EPOCHS = 60
SETTINGS = ["model.widths=[32]", "model.dropout=0.2", f"training.max_epochs={EPOCHS}", "trainer.threads=1"]
SETTINGS += ["trainer.checkpoint_steps=20"]
WEIGHTS = "models/bundle/weights.safetensors"
SIZES = 110_000, 300_000  # bytes: more than the best weights, less than a checkpoint


@cache
def undisturbed() -> str:
    """SHA-256 of the weights that a training ends with that nothing disturbs."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        project = prepared(Path(folder))
        assert runs.train(project, *SETTINGS).returncode == 0
        return sha256(project / WEIGHTS)


def stopped(folder: Path, seed: int, how: signal.Signals, name: str = "project") -> tuple[Path, Path, int]:
    """A project whose training got the signal somewhere in its first half, its checkpoints, and the exit code."""
    project = prepared(folder, name)
    code = runs.stopped(project, SETTINGS, f"epoch {random.Random(seed).randrange(5, EPOCHS // 2)}/", how)
    return project, next(project.glob(".ratchet/checkpoints/*/")), code


def in_mlflow(project: Path) -> tuple[str, str]:
    """Status and reason of the only run, after one `ratchet sync`."""
    done = runs.sync(project)
    assert done.returncode == 0, done.stderr
    (run,) = runs.shipped_runs(runs.store(project))
    return run.info.status, run.data.tags["ratchet.reason"]


def goes_on(project: Path, words: str = "resuming at step", **env: str) -> None:
    """The same command ends, in the same run, with the bytes of a training that nothing disturbed."""
    done = runs.train(project, *SETTINGS, env=env)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout, done.stdout
    assert sha256(project / WEIGHTS) == undisturbed()
    assert in_mlflow(project)[0] == "FINISHED"


def polite_signal(folder: Path, seed: int) -> None:
    how, code = [(signal.SIGTERM, 143), (signal.SIGINT, 130)][seed % 2]
    project, place, given = stopped(folder, seed, how)
    assert given == code, given
    assert newest(place)[0] is not None
    status, reason = in_mlflow(project)
    assert (status, how.name in reason) == ("KILLED", True), (status, reason)
    goes_on(project)


def early_signal(folder: Path, seed: int) -> None:
    """Before the first step, while modules are imported or the run is described."""
    project = prepared(folder)
    command = [sys.executable, "-m", "pipeline", "train", *SETTINGS]
    with subprocess.Popen(command, cwd=project, env=lean(), stdout=subprocess.DEVNULL) as training:
        time.sleep(random.Random(seed).uniform(0.5, 6.0))
        training.terminate()
    assert training.returncode in (143, -signal.SIGTERM), training.returncode
    if runs.run_ids(project):
        assert in_mlflow(project)[0] == "KILLED"
    goes_on(project, "epoch")


def signalled(folder: Path, seed: int) -> None:
    (early_signal if seed % 4 == 3 else polite_signal)(folder, seed)


def disk_full(folder: Path, seed: int) -> None:
    (filled_by_others if seed % 2 else files_too_large)(folder, seed)


def files_too_large(folder: Path, seed: int) -> None:
    project, place, _ = stopped(folder, seed, signal.SIGKILL)
    before, _ = newest(place)
    full = limits.limited(project, SETTINGS, resource.RLIMIT_FSIZE, random.Random(seed).randrange(*SIZES))
    assert (full.returncode, "Traceback" in full.stderr) == (1, False), full.stderr
    assert f"{place} can't be written" in full.stderr, full.stderr
    assert (newest(place), list(place.glob(".*"))) == ((before, []), [])
    assert in_mlflow(project)[0] == "FAILED"
    goes_on(project)


def filled_by_others(folder: Path, seed: int) -> None:
    """A small disk holds all that Ratchet keeps, the journal too, and someone else takes the last byte of it."""
    with limits.disk(folder / "disk", "3m") as small:
        project = prepared(folder)
        (project / ".ratchet").rename(folder / "kept")
        (project / ".ratchet").symlink_to(small)
        epoch = random.Random(seed).randrange(5, EPOCHS // 2)
        command = [sys.executable, "-m", "pipeline", "train", *SETTINGS]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=project, env=lean(), **pipes) as training:
            assert any(f"epoch {epoch}/" in line for line in training.stdout)
            filler = limits.fill(small)
            errors = training.communicate(timeout=60)[1]
        assert training.returncode == 1, errors
        assert "No space left on device" in errors, errors
        assert newest(next(small.glob("checkpoints/*/")))[0] is not None
        filler.unlink()
        status, reason = in_mlflow(project)
        assert (status, "can't be written" in reason) == ("FAILED", True), (status, reason)
        goes_on(project)


def small_tmpdir(folder: Path, seed: int) -> None:
    with limits.disk(folder / "tmp", "64k") as small:
        limits.fill(small)
        project = prepared(folder)
        begun = [*SETTINGS, "trainer.checkpoint_steps=10"]
        done = runs.train(project, *begun, env={"TMPDIR": str(small)})
        assert done.returncode == 0, done.stderr
        assert sha256(project / WEIGHTS) == undisturbed()
        project, _, _ = stopped(folder, seed, signal.SIGKILL, "killed")
        goes_on(project, TMPDIR=str(small))


def read_only(folder: Path, seed: int) -> None:
    closed = [".ratchet", "models", ".ratchet/checkpoints", ".ratchet/journal"][seed % 4]
    project = prepared(folder)
    (project / closed).mkdir(parents=True, exist_ok=True)
    (project / closed).chmod(0o555)
    done = limits.powerless(project, SETTINGS)
    assert done.returncode == 1
    assert f"{project / closed} can't be written" in done.stderr, done.stderr
    assert ("epoch" in done.stdout, runs.run_ids(project)) == (False, [])
    (project / closed).chmod(0o755)
    goes_on(project, "epoch 1/")


def damaged(folder: Path, seed: int) -> None:
    project, place, _ = stopped(folder, seed, signal.SIGKILL)
    files = sorted(place.glob("*.ckpt"))
    words = "resuming at step"
    if seed % 4 == 0:
        files[-1].write_bytes(files[-1].read_bytes()[: random.Random(seed).randrange(files[-1].stat().st_size)])
    elif seed % 4 == 1:
        limits.flip(files[-1])
    elif seed % 4 == 2:
        limits.flip(max(place.glob("*.safetensors")))
        words = "is damaged"
    else:
        for file in files:
            limits.flip(file)
        words = "starting from the beginning"
    goes_on(project, words)


def payload(folder: Path, seed: int) -> None:
    project, place, _ = stopped(folder, seed, signal.SIGKILL)
    touched = folder / "touched"
    hostile = pickle.dumps(limits.Payload(touched), protocol=2)
    verb = "train"
    if seed % 3 == 0:
        (place / "bad").write_bytes(hostile)
        (place / "bad").rename(place / f"00009999-{sha256(place / 'bad')}.ckpt")
    elif seed % 3 == 1:
        limits.swap(project / "data/processed/train.safetensors", project / "data/processed/spec.json", hostile)
    else:
        goes_on(project)
        limits.swap(project / WEIGHTS, project / "models/bundle/bundle.json", hostile)
        verb = "evaluate"
    command = [sys.executable, "-m", "pipeline", verb, *SETTINGS]
    done = subprocess.run(command, cwd=project, env=lean(), capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert not touched.exists()


def infinite_loss(folder: Path, seed: int) -> None:
    project = prepared(folder)
    rate = 10 ** random.Random(seed).uniform(25, 37)
    done = runs.train(project, *SETTINGS, "optimizer=sgd", f"optimizer.lr={rate}")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert not (project / "models").exists()
    status, reason = in_mlflow(project)
    assert (status, "at step" in reason) == ("FAILED", True), (status, reason)


def no_memory(folder: Path, seed: int) -> None:
    project = prepared(folder)
    large = ["scenario=mnist_cnn", f"model.layers=[{60000 + seed}, 1]", "training.batch_size=512"]
    done = limits.limited(project, [*large, "trainer.threads=1"], resource.RLIMIT_AS, 16 << 30)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    status, reason = in_mlflow(project)
    assert (status, "Type: training.accumulate=2" in reason) == ("FAILED", True), (status, reason)


ROWS = [
    Row(13, "SIGTERM, SIGINT", "checkpoint, KILLED, exit 143", 6, signalled, plainly.signalled),
    Row(15, "disk full while saving", "the checkpoint before is intact", 6, disk_full, plainly.disk_full),
    Row(16, "TMPDIR small or on another device", "still atomic", 4, small_tmpdir, plainly.small_tmpdir),
    Row(17, "read-only output", "fails before step 1", 4, read_only, plainly.read_only),
    Row(18, "damaged newest checkpoint", "falls back one and says so", 8, damaged, plainly.damaged),
    Row(19, "pickle payload", "refused; the payload does not run", 6, payload, plainly.payload),
    Row(20, "NaN or Inf loss", "stops, FAILED, never best", 4, infinite_loss, plainly.infinite_loss),
    Row(21, "out of memory", "recorded, clear advice", 3, no_memory, plainly.no_memory),
]
