"""Rows 38 and 40: a champion that can't be loaded, and a service that is killed right after it has answered.

Even seeds keep predictions on SQLite, odd ones on PostgreSQL.
"""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.faults.outages import database
from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from tests.support import digits, runs, untrained
from tests.support.services import Service, serving

CLIENTS, SECONDS = 4, 3.0  # at most, until it is killed
PICTURES = [{"pixels": one.tolist()} for one in digits.published()["test"][0][:50]]
DAMAGES: list[tuple[str, Callable[[Path], object]]] = [
    ("a flipped byte", lambda folder: flip(folder / "bundle/weights.safetensors")),
    ("cut weights", lambda folder: os.truncate(folder / "bundle/weights.safetensors", 1000)),
    ("no JSON", lambda folder: (folder / "bundle/bundle.json").write_text("{")),
    ("nothing", lambda folder: shutil.rmtree(folder)),
]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@contextmanager
def service(project: Path, store: str | None) -> Iterator[Service]:
    settings = ["serving.watch_seconds=600", *([f"serving.store={store}"] if store else [])]
    with serving(project, *settings, MLFLOW_TRACKING_URI="http://127.0.0.1:9") as one:
        yield one


@contextmanager
def asking(one: Service, told: list[tuple[str, str]], failed: list[str]) -> Iterator[None]:
    """Clients that predict and label for as long as they are answered; `told`: (id, label) of what was answered 200."""
    done = threading.Event()

    def client(number: int) -> None:
        chance = random.Random(number)
        while not done.is_set():
            try:
                status, answer = one.post("/predict", chance.choice(PICTURES))
                if status != 200:
                    failed.append(f"/predict: {status} {answer}")
                    continue
                name, label = answer["prediction_id"], str(chance.randrange(10))
                status, answer = one.post("/feedback", {"prediction_id": name, "label": label})
                (told if status == 200 else failed).append((name, label))
            except (OSError, EOFError) as error:
                failed.append(f"{type(error).__name__}: {error}")
                time.sleep(0.02)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def killed(folder: Path, seed: int) -> None:
    """All of it, at a random moment; started again it knows each label that it had answered, once."""
    project, told = prepared(folder), []
    untrained.point(project, untrained.lay(project, "image"))
    with database(seed) as store:
        with service(project, store) as one, asking(one, told, []):
            runs.eventually(lambda: len(told) > 20, pause=0.02)
            time.sleep(random.Random(seed).uniform(0, SECONDS))
            for process in [psutil.Process(one.process.pid), *psutil.Process(one.process.pid).children(recursive=True)]:
                process.send_signal(signal.SIGKILL)
            one.process.wait()
        with service(project, store) as one:
            for name, label in told:
                status, answer = one.post("/feedback", {"prediction_id": name, "label": label})
                assert (status, answer.get("status")) == (200, "known"), (name, status, answer)
            status, _ = one.post("/feedback", {"prediction_id": "0" * 32, "label": "1"})
            assert status == 404, "an orphan"


def damaged(folder: Path, seed: int) -> None:
    """While clients ask: the old one goes on, no request fails, and /health says what is wrong, until one comes."""
    project, failed, what = prepared(folder), [], DAMAGES[seed % len(DAMAGES)]
    digest = untrained.lay(project, "image")
    good = untrained.lay(project, "table")
    untrained.point(project, digest)
    bad = shutil.copytree(project / ".ratchet/served/mnist" / good, project / ".ratchet/served/mnist" / ("f" * 64)).name
    what[1](project / ".ratchet/served/mnist" / bad)
    with service(project, None) as one:
        with asking(one, [], failed):
            untrained.point(project, bad)
            problem = runs.eventually(lambda: one.health()["problem"], pause=0.05)
            assert one.health()["digest"] == digest, (what[0], problem)
            time.sleep(1)
        assert failed == [], (what[0], failed[:3])
        untrained.swap(one, project, good)
        assert one.health()["problem"] is None


ROWS = [
    Row(38, "a new champion will not load", "the old one serves on, /health says why", len(DAMAGES), damaged),
    Row(40, "kill right after a label was answered; replays; orphans", "kept once; 404", 20, killed),
]
