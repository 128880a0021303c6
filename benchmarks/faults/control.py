"""The control of rows 23 to 28: the same outages for plain Lightning with MLFlowLogger, see plain.py."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.faults.projects import prepared
from tests.conftest import REPOSITORY, lean
from tests.support import runs
from tests.support.proxy import Rule, proxy, some
from tests.support.trackers import free_port, kill, postgresql, server

EPOCHS = 400
POINTS = EPOCHS * 16 // 10  # of train/loss: 16 steps an epoch, one in 10 is logged
DEADLINE = 60.0  # seconds within which a dead run's status is true


@contextmanager
def training(folder: Path, uri: str) -> Iterator[subprocess.Popen]:
    """The control's training."""
    command = [sys.executable, "-m", "benchmarks.faults.plain", str(prepared(folder)), str(folder / "plain"), uri]
    with (folder / "output").open("wb") as output:
        environment = lean(PYTHONPATH=str(REPOSITORY))
        process = subprocess.Popen([*command, f"--epochs={EPOCHS}"], env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_complete(process: subprocess.Popen, folder: Path, uri: str) -> None:
    assert process.wait(300) == 0, (folder / "output").read_text()[-2000:]
    (run,) = runs.shipped_runs(uri)
    steps = [step for name, step, _ in runs.shipped_points(uri, run.info.run_id) if name == "train/loss"]
    assert run.info.status == "FINISHED"
    assert len(steps) == len(set(steps)) == POINTS, f"{len(steps)} of {POINTS} points"


def killed_and_back(folder: Path, seed: int, back: bool = True) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with server(folder / "server", port) as first, training(folder, uri) as process, ExitStack() as second:
        runs.eventually(lambda: points(uri) > 10, 120)
        kill(first)
        time.sleep(3)
        if back:
            second.enter_context(server(folder / "server", port))
            is_complete(process, folder, uri)
        assert process.wait(300) == 0, (folder / "output").read_text()[-2000:]


def database_crashed(folder: Path, seed: int) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with postgresql() as store, server(folder / "server", port, store=store.uri), training(folder, uri) as process:
        runs.eventually(lambda: points(uri) > 10, 120)
        for _ in range(3):
            store.crash()
            time.sleep(1)
            store.start()
        is_complete(process, folder, uri)


def points(uri: str) -> int:
    return sum(len(runs.shipped_points(uri, run.info.run_id)) for run in runs.shipped_runs(uri))


def never_back(folder: Path, seed: int) -> None:
    killed_and_back(folder, seed, back=False)


def replies_lost(folder: Path, seed: int) -> None:
    behind(folder, some(["lost"], seed, 0.5, 60))


def answers_badly(folder: Path, seed: int) -> None:
    behind(folder, some(["500", "503", "429", "garbage"], seed, 0.5, 10**9))


def behind(folder: Path, rule: Rule) -> None:
    port = free_port()
    with (
        server(folder / "server", port),
        proxy(port, rule) as between,
        training(folder, between.uri) as process,
    ):
        is_complete(process, folder, f"http://127.0.0.1:{port}")


def left_running(folder: Path, seed: int) -> None:
    uri = f"sqlite:///{folder}/mlflow.db"
    with training(folder, uri):
        runs.eventually(lambda: points(uri) > 10, 120)
    time.sleep(DEADLINE)
    (run,) = runs.shipped_runs(uri)
    assert run.info.status == "KILLED", run.info.status
