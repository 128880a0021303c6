"""Ships a run and all that name it as their parent, from one process, for a sweep has many and each would cost one."""

import os
import subprocess
import sys
import time

import psutil
from filelock import FileLock, Timeout

from pipeline.project.secrets import redact
from pipeline.tracking import journal, lines, mlflow_store, sync

LOCK = "family.lock"
PAUSE = 1.0  # seconds between two looks


def in_background(parent: str) -> None:
    """Starts the shipper, unless one is at work on this machine."""
    if at_work(parent):
        return
    command = [sys.executable, "-m", "pipeline", "sync", "--family", parent, "--starter", str(os.getpid())]
    with (lines.folder(parent) / "sync.log").open("ab") as log:
        sync.started.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
        )


def at_work(parent: str) -> bool:
    folder = lines.folder(parent)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def wait(parent: str, seconds: float) -> int:
    """How many runs are not at the server when all are, or the time is over; the shipper goes on by itself."""
    deadline = time.monotonic() + seconds
    members = find_members(parent, set())
    while (late := sum(map(has_news, members))) and time.monotonic() < deadline:
        in_background(parent)  # one that was at work may have seen its end before the last lines were written
        time.sleep(0.2)
    return late


def follow(parent: str, starter: int, patience: float) -> None:
    """Ships until the parent and all of its children have ended and all is there; `patience` seconds longer at most.

    On a host that has no journal of the parent's, until process `starter` has gone too.
    """
    try:
        with FileLock(lines.folder(parent) / LOCK, timeout=0):
            ship_all(parent, starter, patience)
    except Timeout:
        return


def ship_all(parent: str, starter: int, patience: float) -> None:
    client, idle_since = None, None
    known: set[str] = set()
    members: list[str] = []
    own = lines.journal_file(parent).is_file()
    while True:
        members += find_members(parent, known)
        for run_id in members:
            journal.close_if_dead(run_id)
        ended = all(lines.status(run_id) != "RUNNING" for run_id in members) and (own or not psutil.pid_exists(starter))
        late = [run_id for run_id in members if has_news(run_id)]
        if ended and not late:
            return
        idle_since = (idle_since or time.monotonic()) if ended else None
        try:
            client = client or mlflow_store.client()
            for run_id in late:
                sync.ship(client, run_id)
        except Exception as error:  # whatever the server does, the next round tries again
            print(f"{time.strftime('%X')} {type(error).__name__}: {redact(str(error))}", flush=True)
            if idle_since is not None and time.monotonic() - idle_since > patience:
                raise
        time.sleep(PAUSE)


def find_members(parent: str, known: set[str]) -> list[str]:
    """Runs that were not looked at before, the parent first; `ratchet sync` tells of those that can't be read."""
    new = [run_id for run_id in sync.run_ids() if run_id not in known]
    found = []
    for run_id in new:
        if lines.refusal(run_id) is not None:
            known.add(run_id)
        elif (head := lines.beginning(run_id)) is not None:
            known.add(run_id)
            found += [run_id] if parent in (run_id, head.get("parent")) else []
    return sorted(found, key=lambda run_id: run_id != parent)


def has_news(run_id: str) -> bool:
    """Whether the journal is longer than what was shipped of it."""
    return lines.journal_file(run_id).stat().st_size > sync.shipped(run_id)["offset"]
