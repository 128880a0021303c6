"""Rows 23 to 28: what MLflow's server, its database and the net between them do to a run.

Even seeds stand on SQLite, odd ones on PostgreSQL; row 25 on PostgreSQL alone, through a server and without one.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from benchmarks.faults import control
from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from tests.conftest import lean
from tests.support import runs
from tests.support.proxy import Fault, Rule, proxy, some
from tests.support.trackers import arrived_once, free_port, kill, postgresql, server

EPOCHS = 1500  # so many that it still trains when the first points have arrived
LONG = 4 * EPOCHS  # also where other work keeps the shipper waiting
WELL: Rule = lambda method, path, before: "none"  # noqa: E731


@contextmanager
def database(seed: int) -> Iterator[str | None]:
    """The store's URI, or None for an SQLite file of the server's own."""
    if seed % 2 == 0:
        yield None
        return
    with postgresql() as made:
        yield made.uri


def settings(epochs: int, wait: int = 60) -> list[str]:
    return [*runs.TINY, f"training.max_epochs={epochs}", f"tracking.wait_seconds={wait}"]


@contextmanager
def training(project: Path, uri: str, epochs: int = EPOCHS) -> Iterator[tuple[subprocess.Popen, str]]:
    """A training some of whose points have arrived, and its run's id."""
    command = [sys.executable, "-m", "pipeline", "train", *settings(epochs)]
    with (project / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=project, env=lean(MLFLOW_TRACKING_URI=uri), stdout=output, stderr=output
        )
    try:
        run_id = runs.eventually(lambda: next(iter(runs.run_ids(project)), None), 120)
        runs.eventually(lambda: offset(project, run_id) > 0, 120)
        yield process, run_id
    finally:
        process.kill()
        process.wait()


def offset(project: Path, run_id: str) -> int:
    """Bytes of the journal that were shipped."""
    files = (project / ".ratchet/journal" / run_id).glob("shipped-*.json")
    return max((json.loads(file.read_text())["offset"] for file in files), default=0)


def ended_well(process: subprocess.Popen, project: Path, epochs: int = EPOCHS) -> None:
    code = process.wait(300)
    output = (project / "output").read_text()
    assert code == 0, f"exit {code}: {output[-2000:]}"
    assert f"epoch {epochs}/{epochs}" in output


def complete(project: Path, uri: str, run_id: str) -> None:
    """As a user would find it after `ratchet sync`."""
    done = runs.sync(project, MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0, done.stdout + done.stderr
    arrived_once(uri, project, run_id)


def killed_and_back(folder: Path, seed: int) -> None:
    chance, port = random.Random(seed), free_port()
    project, uri = prepared(folder), f"http://127.0.0.1:{port}"
    with database(seed) as store, ExitStack() as second:
        with server(folder / "server", port, store=store) as first, training(project, uri) as (process, run_id):
            time.sleep(chance.uniform(0, 3))
            kill(first)
            time.sleep(chance.uniform(0, 5))
            second.enter_context(server(folder / "server", port, store=store))
            ended_well(process, project)
        complete(project, uri, run_id)


def never_back(folder: Path, seed: int) -> None:
    chance, port = random.Random(seed), free_port()
    project, uri = prepared(folder), f"http://127.0.0.1:{port}"
    with database(seed) as store:
        with (
            server(folder / "server", port, store=store) as first,
            training(project, uri, LONG) as (process, run_id),
        ):
            time.sleep(chance.uniform(0, 3))
            kill(first)
            assert process.poll() is None, "the training had ended before the server was killed"
            ended_well(process, project, LONG)
        assert "ratchet sync" in (project / "output").read_text()
        with server(folder / "server", port, store=store):
            complete(project, uri, run_id)


def database_crashed(folder: Path, seed: int) -> None:
    """Even seeds: beneath a server; odd ones: with MLFLOW_TRACKING_URI=postgresql+psycopg2://…"""
    chance, project = random.Random(seed), prepared(folder)
    with postgresql() as store, ExitStack() as stack:
        uri = store.uri
        if seed % 2 == 0:
            port = free_port()
            stack.enter_context(server(folder / "server", port, store=store.uri))
            uri = f"http://127.0.0.1:{port}"
        process, run_id = stack.enter_context(training(project, uri))
        for _ in range(3):
            time.sleep(chance.uniform(0, 2))
            store.crash()
            time.sleep(chance.uniform(0, 2))
            store.start()
        ended_well(process, project)
        complete(project, uri, run_id)


def answers_badly(folder: Path, seed: int) -> None:
    """Half of all requests go wrong for as long as it trains."""
    chance, port = random.Random(seed), free_port()
    faults: list[Fault] = ["500", "503", "429", "garbage", "truncated", "reset", "hang", "late", "lost"]
    project = prepared(folder)
    with database(seed) as store, server(folder / "server", port, store=store):
        with proxy(port, some(chance.sample(faults, 4), seed, 0.5, 10**9), late=12.0) as between:
            done = runs.train(project, *settings(EPOCHS, wait=0), env={"MLFLOW_TRACKING_URI": between.uri})
            assert done.returncode == 0, done.stderr
            time.sleep(5)
            between.rule = WELL
            (run_id,) = runs.run_ids(project)
            synced = runs.sync(project, MLFLOW_TRACKING_URI=between.uri)
            assert synced.returncode == 0, synced.stderr
        arrived_once(f"http://127.0.0.1:{port}", project, run_id)


def replies_lost(folder: Path, seed: int) -> None:
    """The server commits, the client does not hear of it: one run, each point once."""
    port, project = free_port(), prepared(folder)
    uri = f"http://127.0.0.1:{port}"
    with database(seed) as store, server(folder / "server", port, store=store):
        with proxy(port, some(["lost"], seed, 0.5, 60)) as between:
            environment = lean(MLFLOW_TRACKING_URI=between.uri)
            for verb in ("train", "evaluate"):
                ratchet(project, environment, verb)
            runs.eventually(lambda: between.faults() > 3, 120)
        (run_id,) = runs.run_ids(project)
        complete(project, uri, run_id)


def ratchet(project: Path, environment: dict[str, str], verb: str) -> None:
    command = [sys.executable, "-m", "pipeline", verb]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def left_running(folder: Path, seed: int) -> None:
    """The training and its shipper are killed at once; the next command says so: `sync`, or another `train`."""
    chance, project, uri = random.Random(seed), prepared(folder), f"sqlite:///{folder}/project/mlflow.db"
    with training(project, uri, 100 * EPOCHS) as (process, run_id):
        time.sleep(chance.uniform(0, 2))
        for one in (*psutil.Process(process.pid).children(recursive=True), process):
            os.kill(one.pid, signal.SIGKILL)
    assert shown(uri, run_id) == "RUNNING"
    if seed % 2:
        assert runs.sync(project, MLFLOW_TRACKING_URI=uri).returncode == 0
        assert shown(uri, run_id) == "KILLED"
    else:
        other = settings(2, wait=0)
        assert runs.train(project, *other, env={"MLFLOW_TRACKING_URI": uri}).returncode == 0
        runs.eventually(lambda: shown(uri, run_id) == "KILLED", control.DEADLINE)
    arrived_once(uri, project, run_id, status="KILLED")


def shown(uri: str, run_id: str) -> str:
    return next(run.info.status for run in runs.shipped_runs(uri) if run.data.tags.get("ratchet.run_id") == run_id)


ONCE = "every point exactly once, in order"
ROWS = [
    Row(23, "the tracking server is killed, and comes back", ONCE, 4, killed_and_back, control.killed_and_back),
    Row(
        24,
        "the tracking server never comes back",
        "exit 0; all there after sync",
        4,
        never_back,
        control.never_back,
    ),
    Row(25, "PostgreSQL crashes, three times", ONCE, 4, database_crashed, control.database_crashed),
    Row(26, "5xx, 429, hangs, garbage", f"training goes on; {ONCE}", 4, answers_badly, control.answers_badly),
    Row(
        27,
        "replies are lost after the commit",
        "one run, every point once",
        4,
        replies_lost,
        control.replies_lost,
    ),
    Row(28, "a run left RUNNING by SIGKILL", "KILLED within 60 s", 4, left_running, control.left_running),
]
