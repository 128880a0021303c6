"""Ships journals to MLflow: in the background while training runs, at its end, or whenever `ratchet sync` is typed.

Idempotent: a run is looked for by its own id before it is created, and MLflow keeps equal points once. How far a
journal is shipped stands beside it in shipped.json, for each tracking URI.
"""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.project import paths
from pipeline.project.files import read_json, write_json
from pipeline.tracking import journal, mlflow_store

started: list[subprocess.Popen] = []  # kept, since Python warns of a process that outlives its object
CHUNK = 500  # journal lines for each step of the offset


def run_ids() -> list[str]:
    """Runs that have a journal, oldest first."""
    files = paths.state("journal").glob("*/journal.jsonl")
    return [file.parent.name for file in sorted(files, key=lambda file: file.stat().st_ctime_ns)]


def shipped_file(run_id: str) -> Path:
    server = hashlib.sha256(mlflow_store.tracking_uri().encode()).hexdigest()[:12]
    return journal.folder(run_id) / f"shipped-{server}.json"


def shipped(run_id: str) -> dict[str, Any]:
    file = shipped_file(run_id)
    return read_json(file, "sync") if file.is_file() else {"offset": 0, "mlflow_id": None}


def waiting(run_id: str) -> int:
    """Points, tags and files that the server does not have yet."""
    lines = journal.lines(run_id, shipped(run_id)["offset"])
    return sum(len(line.get("values", [0])) for line, _ in lines)


def ship(client: Any, run_id: str) -> str:
    """Sends what waits in one run's journal; returns the id of its MLflow run. One process at a time."""
    with FileLock(journal.folder(run_id) / "sync.lock"):
        state = shipped(run_id)
        if state["mlflow_id"] is None:
            state["mlflow_id"] = mlflow_run(client, run_id)
        for lines, offset in chunks(run_id, state["offset"]):
            mlflow_store.send(client, state["mlflow_id"], lines, journal.folder(run_id) / "artifacts")
            state["offset"] = offset
            write_json(shipped_file(run_id), state)
        return state["mlflow_id"]


def chunks(run_id: str, offset: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    lines: list[dict[str, Any]] = []
    for line, offset in journal.lines(run_id, offset):  # noqa: B020
        lines.append(line)
        if len(lines) == CHUNK:
            yield lines, offset
            lines = []
    if lines:
        yield lines, offset


def mlflow_run(client: Any, run_id: str) -> str:
    head, _ = next(journal.lines(run_id))
    experiment = mlflow_store.experiment_id(client, head["experiment"])
    if (found := mlflow_store.find_run(client, experiment, run_id)) is not None:
        return found
    parent = mlflow_run_once(client, head["parent"]) if head.get("parent") else None
    return mlflow_store.create_run(client, experiment, run_id, head["name"], head["time"], parent)


def mlflow_run_once(client: Any, run_id: str) -> str:
    """The MLflow run of another journal, which is made if need be: two children may ask at once."""
    with FileLock(journal.folder(run_id) / "sync.lock"):
        return shipped(run_id)["mlflow_id"] or mlflow_run(client, run_id)


def in_background(run_id: str) -> subprocess.Popen:
    """Starts a process that ships a run until it has ended; it outlives a kill of this one, and says so in MLflow."""
    log = (journal.folder(run_id) / "sync.log").open("ab")
    command = [sys.executable, "-m", "pipeline", "sync", "--follow", run_id]
    with log:
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0))
    return started[-1]


def follow(run_id: str, patience: float) -> None:
    """Ships until the run has ended and all is there; gives up `patience` seconds after its end."""
    client, ended_at, offset, status = None, None, 0, "RUNNING"
    while True:
        journal.close_if_dead(run_id)
        for line, offset in journal.lines(run_id, offset):  # noqa: B020
            status = line["value"] if line["kind"] == "status" else status
        ended = status != "RUNNING"
        ended_at = ended_at or (time.monotonic() if ended else None)
        try:
            client = client or mlflow_store.client()
            ship(client, run_id)
        except Exception as error:  # whatever the server does, the next round tries again
            print(f"{time.strftime('%X')} {type(error).__name__}: {error}", flush=True)
            if ended and time.monotonic() - ended_at > patience:
                raise
        else:
            if ended:
                return
        time.sleep(1.0)
