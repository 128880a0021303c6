"""The faults of ends.py on plain Lightning: what is asked is the same, as far as it can be asked there."""

import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import torch

from benchmarks.faults.projects import prepared
from tests.conftest import REPOSITORY, lean
from tests.support import limits, runs

EPOCHS = 60


def command(project: Path, folder: Path, *options: str) -> list[str]:
    module = [sys.executable, "-m", "benchmarks.faults.plain"]
    return [*module, str(project), str(folder), runs.store(project), f"--epochs={EPOCHS}", *options]


def train(project: Path, folder: Path, before: list[str] | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    whole = [*(before or []), *command(project, folder)]
    return subprocess.run(whole, cwd=REPOSITORY, env=lean(**env), capture_output=True, text=True, timeout=300)


@contextmanager
def training(project: Path, folder: Path, *options: str) -> Iterator[subprocess.Popen]:
    """One that has written a checkpoint."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(project, folder, *options), cwd=REPOSITORY, env=lean(), **pipes) as process:
        try:
            runs.eventually((folder / "last.ckpt").exists, 60)
            yield process
        finally:
            process.kill()


def status(project: Path) -> str:
    (run,) = runs.shipped_runs(runs.store(project))
    return run.info.status


def signalled(folder: Path, seed: int) -> None:
    project = prepared(folder)
    with training(project, folder / "plain") as process:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert (code, status(project)) == (143, "KILLED"), (code, status(project))


def disk_full(folder: Path, seed: int) -> None:
    project = prepared(folder)
    with limits.disk(folder / "plain", "2m") as small:
        with training(project, small) as process:
            limits.fill(small)
            process.wait(60)
        torch.load(small / "last.ckpt", weights_only=True)
        assert status(project) == "FAILED", status(project)


def small_tmpdir(folder: Path, seed: int) -> None:
    project = prepared(folder)
    with limits.disk(folder / "tmp", "64k") as small:
        done = train(project, folder / "plain", TMPDIR=str(small))
    assert done.returncode == 0, done.stderr[-300:]


def read_only(folder: Path, seed: int) -> None:
    project = prepared(folder)
    (folder / "plain").mkdir(mode=0o555)
    without = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = train(project, folder / "plain", without)
    assert done.returncode != 0
    (run,) = runs.shipped_runs(runs.store(project)) or [None]
    assert run is None or not run.data.metrics, "it failed after the first step"


def damaged(folder: Path, seed: int) -> None:
    project = prepared(folder)
    with training(project, folder / "plain"):
        pass
    last = folder / "plain/last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    done = train(project, folder / "plain")
    assert done.returncode == 0, done.stderr[-300:]


def payload(folder: Path, seed: int) -> None:
    project = prepared(folder)
    (folder / "plain").mkdir()
    (folder / "plain/last.ckpt").write_bytes(pickle.dumps(limits.Payload(folder / "touched"), protocol=2))
    assert train(project, folder / "plain").returncode != 0
    assert not (folder / "touched").exists()


def a_rank_dies(folder: Path, seed: int) -> None:
    project = prepared(folder)
    with training(project, folder / "plain", "--devices=2") as process:
        (rank,) = [one for one in psutil.Process(process.pid).children() if "plain" in " ".join(one.cmdline())]
        rank.kill()
        code = process.wait(120)
    assert (code, status(project)) == (0, "FINISHED"), (code, status(project))


def infinite_loss(folder: Path, seed: int) -> None:
    project = prepared(folder)
    subprocess.run(command(project, folder / "plain", "--lr=1e30"), cwd=REPOSITORY, env=lean(), capture_output=True)
    assert status(project) == "FAILED", status(project)


def no_memory(folder: Path, seed: int) -> None:
    project = prepared(folder)
    whole = command(project, folder / "plain", "--width=2000000")
    confine = partial(resource.setrlimit, resource.RLIMIT_AS, (16 << 30, 16 << 30))
    done = subprocess.run(whole, cwd=REPOSITORY, env=lean(), capture_output=True, text=True, preexec_fn=confine)
    assert status(project) == "FAILED", status(project)
    assert "batch" in done.stderr.splitlines()[-1], done.stderr[-300:]
