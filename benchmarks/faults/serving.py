"""Rows 46 to 49: more than can be served, a store that goes away, long pictures, processes that are killed."""

import base64
import io
import json
import random
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
from PIL import Image

from benchmarks.faults.projects import bare
from benchmarks.faults.row import Row
from benchmarks.faults.service import asking
from tests.support import limits, runs, untrained
from tests.support.services import Service, serving

HEAD = (
    b"POST /predict/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
ROOM = 16 * 25_000_000 * 2 + (100 << 20)  # bytes: as docs/deploy.md says of pictures, and of their bodies
LABEL = {"pixels": [[0] * 28] * 28}


@contextmanager
def service(folder: Path, kind: str, *arguments: str) -> Iterator[Service]:
    """Of an untrained net."""
    project = bare(folder)
    untrained.point(project, untrained.lay(project, kind))
    with serving(project, "serving.watch_seconds=600", *arguments, MLFLOW_TRACKING_URI="http://127.0.0.1:9") as started:
        yield started


def kept(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "project/.ratchet/feedback.db")) as store:
        return store.execute("SELECT count(*) FROM ratchet_predictions").fetchone()[0]


def overloaded(folder: Path, seed: int) -> None:
    """Long batches, some whose clients go, and bodies that never end; small requests are answered meanwhile."""
    chance = random.Random(seed)
    with service(folder, "text") as one, ThreadPoolExecutor(20) as pool:
        port = int(one.uri.rpartition(":")[2])
        long = {"records": [{"text": "good film. " * 9_000}] * chance.choice([8, 10, 100])}
        hoards = [half_sent(port) for _ in range(8)]
        batches = [pool.submit(one.post, "/predict/batch", long) for _ in range(8)]
        for _ in range(8):
            gone(port, chance)
        waits, told, refused = [], 0, 0.0
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            began = time.monotonic()
            status, said = one.post("/predict", {"text": "bad film"})
            assert status in (200, 503), said
            waits.append(time.monotonic() - began)
            told += status == 200
            refused += waits[-1] if status == 503 else 0
        answers = [batch.result() for batch in batches]
        assert {status for status, _ in answers} <= {200, 413, 503}
        assert max(waits) < 4, f"a small request waited {max(waits):.1f} s"
        assert refused < 1.5, f"small requests were refused for {refused:.1f} of 15 s, {told} of {len(waits)} answered"
        told += sum(len(said["predictions"]) for status, said in answers if status == 200)
        time.sleep(1)
        assert kept(folder) == told, f"{kept(folder)} kept, {told} answered"
        for hoard in hoards:
            hoard.close()


def half_sent(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    length = (10 << 20) - 1
    client.settimeout(5)
    with suppress(OSError):
        client.sendall(HEAD % length + b" " * (length - 1))
    return client


def gone(port: int, chance: random.Random) -> None:
    """A whole request whose client goes before it is answered: 600 records, more than a slice of them."""
    body = json.dumps({"records": [{"text": "good film " * 150}] * 600}).encode()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(HEAD % len(body) + body)
        time.sleep(chance.uniform(0, 0.1))


@contextmanager
def deleted(file: Path) -> Iterator[None]:
    file.rename(file.with_name("away.db"))
    yield
    assert not file.exists(), "it was made anew"
    file.with_name("away.db").rename(file)


@contextmanager
def held(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full(file: Path) -> Iterator[None]:
    filler = limits.fill(file.parent)
    yield
    filler.unlink()


STORES: list[Callable] = [deleted, held, full]


def without_store(folder: Path, seed: int) -> None:
    """Not ready within 10 seconds, ready again by itself, and each label that was answered 200 is in the file."""
    fault, told = STORES[seed % len(STORES)], []
    with limits.disk(folder / "disk", "64m") as disk:
        file = disk / "feedback.db"
        with service(folder, "image", f"serving.store=sqlite:///{file}") as one:

            def ready(wanted: bool) -> bool:
                return one.get("/health/ready")[0] == (200 if wanted else 503)

            with asking(one, told, []):
                runs.eventually(lambda: len(told) > 20, pause=0.02)
                with fault(file):
                    runs.eventually(lambda: ready(False), 10, 0.1)
                    assert "feedback store" in one.health()["problem"]
                    status, said = one.post("/predict", LABEL)
                    assert status == 503
                    assert "/" not in said["detail"][0]["message"].removeprefix("/health")
                before = len(told)
                runs.eventually(lambda: ready(True), 20, 0.1)
                runs.eventually(lambda: len(told) > before + 5, pause=0.02)
        with closing(sqlite3.connect(file)) as store:
            found = dict(store.execute("SELECT prediction, label FROM ratchet_labels"))
        assert [name for name, label in told if found.get(name) != label] == []


def file_of(size: tuple[int, int], form: str) -> dict[str, str]:
    content = io.BytesIO()
    Image.new("L" if form != "WEBP" else "RGB", size).save(content, form)
    return {"image": base64.b64encode(content.getvalue()).decode()}


STRIPS = [((1, 24_000_000), "PNG"), ((16_383, 1_500), "WEBP"), ((65_000, 300), "JPEG"), ((2_000, 12_000), "PNG")]


def strips(folder: Path, seed: int) -> None:
    """Refused by their side; large ones that are allowed, many at once, take what the documentation says."""
    strip, whole = file_of(*STRIPS[seed % len(STRIPS)]), file_of((5_000, 5_000), ("PNG", "WEBP")[seed % 2])
    with service(folder, "image") as one, ThreadPoolExecutor(12) as pool:
        name = one.predicted(LABEL)["prediction_id"]
        seen = psutil.Process(one.process.pid)
        before, most, done = seen.memory_info().rss, 0, threading.Event()
        assert {status for status, _ in pool.map(lambda _: one.post("/predict", strip), range(4))} == {413}
        asked = [pool.submit(one.post, "/predict", whole) for _ in range(12)]
        while not all(one.done() for one in asked):
            most = max(most, seen.memory_info().rss)
            began = time.monotonic()
            assert one.post("/feedback", {"prediction_id": name, "label": "7"})[0] == 200
            assert time.monotonic() - began < 3
            done.wait(0.01)
        assert {given.result()[0] for given in asked} <= {200, 503}
        assert most - before < ROOM, f"{(most - before) >> 20} MB"


def killed_above(folder: Path, seed: int) -> None:
    """A new token is asked for by both workers at once; SIGHUP changes nothing; none outlives the one above."""
    token = folder / "token"
    token.write_text("first-0123456789")

    def statuses(given: str) -> set[int]:
        return {one.get("/health", Authorization=f"Bearer {given}")[0] for _ in range(20)}

    with service(folder, "image", "--workers", "2", "--token-file", str(token)) as one:
        below = psutil.Process(one.process.pid).children(recursive=True)
        token.write_text(f"second-{seed}-0123456789")
        assert (statuses("first-0123456789"), statuses(f"second-{seed}-0123456789")) == ({401}, {200})
        one.process.send_signal(signal.SIGHUP)
        time.sleep(random.Random(seed).uniform(0, 2))
        assert (statuses("first-0123456789"), statuses(f"second-{seed}-0123456789")) == ({401}, {200})
        one.process.send_signal(signal.SIGKILL)
        one.process.wait()
        assert psutil.wait_procs(below, timeout=10)[1] == []


ROWS = [
    Row(46, "more requests than can be served, clients that go, half-sent bodies", "shed at once", 5, overloaded),
    Row(47, "the store is deleted, held, or its disk is full", "503, said in 10 s, no label lost", 6, without_store),
    Row(48, "pictures with extreme sides, many at once", "413 by side; memory as documented", 4, strips),
    Row(49, "the process above the workers is killed; SIGHUP; a new token", "no orphan; one token", 5, killed_above),
]
