"""Rows 33 to 35: decisions about the champion that race, that are cut off, and that go past the ledger.

Even seeds stand on SQLite, odd ones on PostgreSQL, behind a server; row 34 tries each failpoint on both.
"""

import json
import multiprocessing
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.faults.outages import database
from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from pipeline.registry import champion, ledger
from tests.conftest import lean
from tests.support import runs
from tests.support.proxy import Fault, proxy, well
from tests.support.trackers import free_port, server

NAME = "mnist"
ROUNDS = 500  # of each race
CREATE, MOVE, MARK = "model-versions/create", "registered-models/alias", "model-versions/set-tag"
FAILPOINTS: list[tuple[str, int, Fault]] = [  # which request of which path the kill meets, and whether that one arrives
    (CREATE, 1, "reset"),
    (CREATE, 1, "none"),
    (MOVE, 1, "reset"),
    (MOVE, 1, "none"),
    (MARK, 1, "reset"),
    (MARK, 1, "none"),
    (MARK, 2, "reset"),
    (MARK, 2, "none"),
]
Outcome = tuple[int, int, str | None]  # round, version, what it was told where it lost


@contextmanager
def registry(folder: Path, seed: int) -> Iterator[str]:
    """A server's URI; its model has three versions and no champion."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with database(seed) as store, server(folder / "server", port, store=store):
        client = runs.client(uri)
        client.create_registered_model(NAME)
        for _ in range(3):
            client.create_model_version(NAME, "ratchet:/test", await_creation_for=0)
        yield uri


def alias(client: Any) -> int | None:
    found = client.get_registered_model(NAME).aliases.get("champion")
    return None if found is None else int(found)


def racer(uri: str, version: int, rounds: int, barrier: Any) -> list[Outcome]:
    """One of two processes: in each round both decide on what both have seen."""
    client, outcomes = runs.client(uri), []
    for number in range(rounds):
        state, lost = champion.state(client, NAME), None
        barrier.wait(120)
        try:
            champion.record(client, NAME, state, "promote", version, f"round {number}", {})
        except champion.Overtaken as error:
            lost = str(error)
        outcomes.append((number, version, lost))
        barrier.wait(120)
    return outcomes


def raced(folder: Path, seed: int, rounds: int = ROUNDS) -> None:
    spawn = multiprocessing.get_context("spawn")
    with registry(folder, seed) as uri, spawn.Manager() as manager, spawn.Pool(2) as pool:
        barrier = manager.Barrier(2)
        both = pool.starmap(racer, [(uri, version, rounds, barrier) for version in (1, 2)], chunksize=1)
        chain = ledger.checked(runs.client(uri), NAME)
        assert chain.broken is None, chain.broken
        assert len(chain.counting) == rounds, f"{len(chain.counting)} entries count"
        assert len(chain.entries) > rounds, "in no round did both write an entry: it was no race"
        for entry, (_, first, told), (_, second, said) in zip(chain.counting, *both, strict=True):
            winner, words = (first, said) if told is None else (second, told)
            assert (told is None) != (said is None), f"round of entry {entry.number}: {told}, {said}"
            assert entry.version == winner, f"entry {entry.number} says {entry.version}, {winner} won"
            assert f"version {winner} was {entry.told}: {entry.reason}" in words, words
            assert entry.applied, entry.number
        assert alias(runs.client(uri)) == chain.counting[-1].version


def killed(folder: Path, seed: int) -> None:
    """`ratchet rollback` dies at a failpoint; the next command says who is champion, and finishes what counts."""
    path, count, fate = FAILPOINTS[seed // 2 % len(FAILPOINTS)]
    project, started, met = prepared(folder), [], []

    def rule(method: str, asked: str, before: int) -> Fault:
        met.extend([asked] * (method == "POST" and asked.endswith(path)))
        if not asked.endswith(path) or len(met) != count:
            return "none"
        started[0].kill()
        return fate

    with registry(folder, seed) as uri, proxy(int(uri.rpartition(":")[2]), well) as between:
        client = runs.client(uri)
        for version in (1, 2):
            champion.record(client, NAME, champion.state(client, NAME), "promote", version, "", {})
        between.rule = rule
        command, environment = [sys.executable, "-m", "pipeline", "rollback"], lean(MLFLOW_TRACKING_URI=between.uri)
        started.append(subprocess.Popen(command, cwd=project, env=environment))
        assert started[0].wait(120) == -signal.SIGKILL
        runs.eventually(lambda: fate == "reset" or between.done[-1].endswith(path), pause=0.05)
        champion_now = 2 if (path, fate) == (CREATE, "reset") else 1
        after = runs.called(project, "history", "--json", MLFLOW_TRACKING_URI=uri)
        told = json.loads(after.stdout)
        assert (after.returncode, told["champion"], told["alias"], alias(client)) == (0, *[champion_now] * 3), after
        assert len(told["entries"]) == (2 if champion_now == 2 else 3)
        assert all(entry["applied"] for entry in told["entries"])
        again = runs.called(project, "rollback", "--to", str(3 - champion_now), MLFLOW_TRACKING_URI=uri)
        assert (again.returncode, again.stderr, alias(client)) == (0, "", 3 - champion_now), again


def moved_by_hand(folder: Path, seed: int) -> None:
    """Past Ratchet, through MLflow's own client: the alias is set elsewhere, or deleted."""
    project = prepared(folder)
    with registry(folder, seed) as uri:
        client = runs.client(uri)
        for version in (1, 2):
            champion.record(client, NAME, champion.state(client, NAME), "promote", version, "", {})
        if seed % 4 < 2:
            client.set_registered_model_alias(NAME, "champion", "3")
        else:
            client.delete_registered_model_alias(NAME, "champion")
        found = alias(client)
        for verb in ("history", "rollback"):
            done = runs.called(project, verb, MLFLOW_TRACKING_URI=uri)
            assert (done.returncode, alias(client)) == (1, found), done
            assert re.search(r"the ledger says version 2, promoted by \S+ at .* \(entry 2\)", done.stderr), done.stderr
        assert runs.called(project, "rollback", "--to", "2", MLFLOW_TRACKING_URI=uri).returncode == 0
        assert alias(client) == 2
        assert runs.called(project, "history", MLFLOW_TRACKING_URI=uri).returncode == 0


ROWS = [
    Row(33, f"two promotions at once, {ROUNDS} rounds", "in each one wins, one is told", 2, raced),
    Row(
        34,
        "a kill between ledger and alias",
        "the next command finishes it, once",
        2 * len(FAILPOINTS),
        killed,
    ),
    Row(35, "the alias is moved by hand", "told as drift, and what to type", 4, moved_by_hand),
]
