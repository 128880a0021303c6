"""Ships journals to MLflow: in the background while training runs, at its end, or whenever `ratchet sync` is typed.

Idempotent: a run is looked for by its own id before it is created, and MLflow keeps equal points once. Beside a journal
stand, for each tracking URI, shipped-….json (how far it is there) and refused-….jsonl (what that server will not take).
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, cast

from filelock import FileLock, Timeout

from pipeline.project.errors import DataError, RegistryError
from pipeline.project.files import quoted, read_json, write_json, write_text
from pipeline.project.secrets import redact
from pipeline.tracking import delivery, journal, lines, mlflow_store, relocation
from pipeline.tracking.lines import Line

started: list[subprocess.Popen[bytes]] = []  # kept, since Python warns of a process that outlives its object
CHUNK = 20_000  # points for each step of the offset: as many are sent again after an outage, at most
WAIT = 60.0  # seconds that another process may take to ship the same run
LONGEST_PAUSE = 5.0  # seconds between two tries of the background's shipper


class Shipped(TypedDict):
    offset: int  # bytes of the journal that the server has
    mlflow_id: str | None
    creates: int  # how often the run was asked for; a reply that was lost, or late, makes it more than once


def run_ids() -> list[str]:
    """Runs that have a journal, oldest first."""
    return sorted(lines.run_ids(), key=lambda run_id: lines.journal_file(run_id).stat().st_ctime_ns)


def beside(run_id: str, name: str) -> Path:
    server = relocation.key(mlflow_store.tracking_uri())
    stem, _, suffix = name.partition(".")
    return lines.folder(run_id) / f"{stem}-{server}.{suffix}"


def readable() -> list[str]:
    """Those of them that are not of a format which only another version of Ratchet knows."""
    return [run_id for run_id in run_ids() if lines.refusal(run_id) is None]


def shipped(run_id: str) -> Shipped:
    file = beside(run_id, "shipped.json")
    try:
        known = read_json(file, "sync") if file.is_file() else {}
    except DataError:
        typed = f"rm {quoted(file)} && ratchet sync   (MLflow keeps equal points once)"
        raise DataError(f"{file}, which says how far the run is shipped, is damaged.\nType: {typed}") from None
    return cast(Shipped, {"offset": 0, "mlflow_id": None, "creates": 0} | known)


def keep(run_id: str, state: Shipped) -> Shipped:
    write_json(beside(run_id, "shipped.json"), state)
    return state


def forget(run_id: str) -> None:
    """All of the run is to be sent anew: this server has nothing of it."""
    for name in ("shipped.json", "refused.jsonl"):
        beside(run_id, name).unlink(missing_ok=True)


def emptied(client: Any) -> list[str]:
    """Runs that were shipped to this server, and whose experiment it has not: its database is another, or emptied."""
    experiments: dict[str, list[str]] = {}
    for run_id in readable():
        head = lines.beginning(run_id)
        if shipped(run_id)["mlflow_id"] is not None and head is not None:
            experiments.setdefault(head["experiment"], []).append(run_id)
    return [
        run_id for name, runs in experiments.items() if client.get_experiment_by_name(name) is None for run_id in runs
    ]


def waiting(run_id: str) -> int:
    """Points, tags and files that the server does not have yet, or refuses."""
    rest = lines.lines(run_id, shipped(run_id)["offset"])
    return sum(lines.count(line) for line, _ in rest) + len(refused(run_id))


def set_aside(run_id: str) -> list[Line]:
    """What did not arrive: the lines, each of one value and with the reason."""
    file = beside(run_id, "refused.jsonl")
    return [lines.parsed(line) for line in file.read_bytes().splitlines()] if file.is_file() else []


def refused(run_id: str) -> list[Line]:
    """Of what was set aside, what this server will not take; it may, another time."""
    return [line for line in set_aside(run_id) if line["kind"] != "damaged"]


def unreadable(run_id: str) -> list[Line]:
    """The rest of it: lines that are damaged on disk, and say nothing any more."""
    return [line for line in set_aside(run_id) if line["kind"] == "damaged"]


def refuse(run_id: str, some: list[Line]) -> None:
    write_text(beside(run_id, "refused.jsonl"), "".join(f"{lines.encode(line)}\n" for line in some))


def ship(client: Any, run_id: str, again: bool = False, wait: float = WAIT, needed: bool = False) -> str:
    """Sends what waits in one run's journal, and `again` what was refused; returns the id of its MLflow run.

    One process at a time. What the server refuses for good is set aside and stops nothing behind it. `needed`: if the
    server does not have the run any more, it gets all of it anew; and the run must not be deleted there.
    """
    if (newer := lines.refusal(run_id)) is not None:
        raise newer
    with locked(run_id, wait):
        known = shipped(run_id)["mlflow_id"]
        if needed and known is not None and not delivery.has_active(client, known):
            forget(run_id)
        mlflow_id, state = identified(client, run_id), shipped(run_id)
        files = lines.folder(run_id) / "artifacts"
        if again and (before := set_aside(run_id)):
            refuse(run_id, delivery.send(client, mlflow_id, before, files))
        ended = False
        for some, offset in chunks(run_id, state["offset"]):
            ended = ended or any(line["kind"] == "status" and line["value"] != "RUNNING" for line in some)
            if bad := delivery.send(client, mlflow_id, some, files):
                aside = set_aside(run_id)
                refuse(run_id, aside + [line for line in bad if line not in aside])
            state = keep(run_id, {**state, "offset": offset})
        if state["creates"] > 1 and (ended or again):
            mlflow_store.delete_copies(client, mlflow_id, run_id)
        return mlflow_id


@contextmanager
def locked(run_id: str, wait: float) -> Iterator[None]:
    lock = FileLock(lines.folder(run_id) / "sync.lock", timeout=wait)
    try:
        lock.acquire()
    except Timeout:
        raise RegistryError(
            f"another process ships run {run_id}, and was not done in {wait:.0f} seconds.\n"
            "When it is, type: ratchet sync"
        ) from None
    try:
        yield
    finally:
        lock.release()


def chunks(run_id: str, offset: int) -> Iterator[tuple[list[Line], int]]:
    """Lines of about CHUNK values together, with the offset after them; only what is on the journal's disk for good."""
    end, size = lines.durable(run_id), 0
    some: list[Line] = []
    for line, after in lines.lines(run_id, offset):
        if after > end:
            break
        some.append(line)
        size, offset = size + lines.count(line), after
        if size >= CHUNK:
            yield some, offset
            size, some = 0, []
    if some:
        yield some, offset


def identified(client: Any, run_id: str) -> str:
    """The run's MLflow id, which is kept beside the journal: found by its tag, or made."""
    state = shipped(run_id)
    if state["mlflow_id"] is not None:
        return state["mlflow_id"]
    head = lines.beginning(run_id)
    if head is None:
        first = next((line for line, _ in lines.lines(run_id)), "with nothing")
        raise RegistryError(f"{lines.journal_file(run_id)} does not begin with its run: it begins {first}")
    experiment = mlflow_store.experiment_id(client, head["experiment"])
    found = mlflow_store.find_run(client, experiment, run_id)
    if found is None:
        above = head.get("parent")
        parent = identified_once(client, experiment, above) if above else None
        state = keep(run_id, {**state, "creates": state["creates"] + 1})
        found = mlflow_store.create_run(client, experiment, run_id, head["name"], head["time"], parent)
    keep(run_id, {**state, "mlflow_id": found})
    return found


def identified_once(client: Any, experiment: str, run_id: str) -> str:
    """The MLflow run of another journal, which is made if need be: two children may ask at once.

    A sweep's workers on other hosts have no journal of its own, or another version's: there its run has to be at the
    server.
    """
    here = lines.journal_file(run_id).is_file()
    newer = lines.refusal(run_id) if here else None
    if not here or newer is not None:
        found = mlflow_store.find_run(client, experiment, run_id)
        if found is None:
            why = "" if newer is None else f": {newer}"
            raise RegistryError(f"run {run_id}, of which this one is a part, is not on the server yet{why}")
        return found
    with locked(run_id, WAIT):
        return identified(client, run_id)


def in_background(run_id: str) -> subprocess.Popen[bytes]:
    """Starts a process that ships a run until it has ended; it outlives a kill of this one, and says so in MLflow."""
    log = (lines.folder(run_id) / "sync.log").open("ab")
    command = [sys.executable, "-m", "pipeline", "sync", "--follow", run_id]
    with log:
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0))
    return started[-1]


def follow(run_id: str, patience: float) -> None:
    """Ships until the run has ended and all is there; gives up `patience` seconds after its end."""
    client, offset, status = None, 0, "RUNNING"
    ended_at: float | None = None
    pause, others = 1.0, stopped(run_id)
    while True:
        journal.close_if_dead(run_id)
        for line, offset in lines.lines(run_id, offset):  # noqa: B020
            status = line["value"] if line["kind"] == "status" else status
        ended = status != "RUNNING"
        if ended and ended_at is None:
            ended_at = time.monotonic()
        try:
            client = client or mlflow_store.client()
            ship(client, run_id)
            while others:
                left_behind(client, others.pop())
        except Exception as error:  # whatever the server does, the next round tries again
            print(f"{time.strftime('%X')} {type(error).__name__}: {redact(str(error))}", flush=True)
            if ended and ended_at is not None and time.monotonic() - ended_at > patience:
                raise
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            if ended:
                return
            pause = 1.0
        time.sleep(pause)


def stopped(run_id: str) -> list[str]:
    """Other runs that were on their way to this server when their processes were killed; all dead runs are closed."""
    others = [one for one in readable() if one != run_id]
    for one in others:
        journal.close_if_dead(one)
    begun = [one for one in others if beside(one, "shipped.json").is_file()]
    return [one for one in begun if lines.status(one) != "RUNNING" and waiting(one)]


def left_behind(client: Any, run_id: str) -> None:
    try:
        ship(client, run_id, wait=0)
    except RegistryError as error:  # its own trouble, or its own shipper
        print(f"{time.strftime('%X')} run {run_id}: {redact(str(error))}", flush=True)
