"""Requests over many connections at once, from one process that costs little: python -m benchmarks.load < ASKED.

ASKED is JSON: `port`, `path`, `connections`, `seconds`, `warm` (seconds before anything is counted), `bodies`, and
`labels`: version → the right answer to each body; "" for a server that tells no version. Each connection asks anew as
soon as it is answered.
"""

import asyncio
import json
import re
import statistics
import sys
import time
from array import array
from collections import Counter
from itertools import cycle
from typing import Any

HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: "
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
LABEL, VERSION = re.compile(rb'"label": ?"([^"]*)"'), re.compile(rb'"version": ?(\d+)')
PATIENCE = 30  # seconds for the last answers


class Load:
    """What all connections ask, and what they were answered."""

    def __init__(self, asked: dict[str, Any]):
        head = HEAD.format(**asked)
        self.requests = [f"{head}{len(body)}\r\n\r\n{body}".encode("ascii") for body in asked["bodies"]]
        self.labels = {
            version.encode(): [label.encode() for label in some] for version, some in asked["labels"].items()
        }
        self.places = cycle(range(len(self.requests)))
        self.began = time.perf_counter() + asked["warm"]
        self.end = self.began + asked["seconds"]
        self.taken = array("d")  # seconds of each request
        self.versions: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def answered(self, place: int, answer: bytes, began: float, now: float) -> None:
        if (fault := self.fault(place, answer)) is not None:
            self.failures[fault] += 1
        elif self.began <= began and now <= self.end:
            self.taken.append(now - began)

    def fault(self, place: int, answer: bytes) -> str | None:
        if not answer.startswith(b"HTTP/1.1 200 "):
            return answer[:400].decode("latin-1")
        version, label = VERSION.search(answer), LABEL.search(answer)
        told = version[1] if version else b""
        self.versions[told.decode()] += 1
        if label is None or told not in self.labels or self.labels[told][place] != label[1]:
            return f"a wrong answer: {answer[-400:].decode('latin-1')}"
        return None


class Client(asyncio.Protocol):
    def __init__(self, load: Load, done: asyncio.Future):
        self.load, self.done = load, done
        self.given = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.place, self.began = next(self.load.places), time.perf_counter()
        self.transport.write(self.load.requests[self.place])

    def data_received(self, data: bytes) -> None:
        self.given += data
        head = self.given.find(b"\r\n\r\n")
        length = LENGTH.search(self.given, 0, head + 2) if head > 0 else None
        if length is None or len(self.given) < head + 4 + int(length[1]):
            return
        now = time.perf_counter()
        self.load.answered(self.place, bytes(self.given), self.began, now)
        self.given.clear()
        if now < self.load.end:
            self.ask()
        else:
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.load.failures[f"the connection was lost: {error!r}"] += 1
            self.done.set_result(None)


async def asked(given: dict[str, Any]) -> dict[str, Any]:
    loop, load = asyncio.get_running_loop(), Load(given)
    waiting = [loop.create_future() for _ in range(given["connections"])]
    for done in waiting:
        await loop.create_connection(lambda done=done: Client(load, done), "127.0.0.1", given["port"])
    late = (await asyncio.wait(waiting, timeout=load.end - time.perf_counter() + PATIENCE))[1]
    if late:
        load.failures[f"no answer within {PATIENCE} s after the end"] += len(late)
    return told(load, given["seconds"])


def told(load: Load, seconds: float) -> dict[str, Any]:
    """Times in milliseconds; `cpu` is the share of a core that asking took."""
    points = statistics.quantiles(load.taken, n=100) if len(load.taken) > 1 else [0.0] * 99
    times = {f"p{one}": 1000 * points[one - 1] for one in (50, 90, 99)}
    cpu = time.process_time() / (time.perf_counter() - load.began)
    rate = len(load.taken) / seconds
    failed = {"failed": load.failures.total(), "failures": dict(load.failures.most_common(5))}
    most = 1000 * max(load.taken, default=0.0)
    answers = {"versions": load.versions, "answers": load.versions.total()}
    return {"rate": rate, **times, "most": most, "cpu": cpu, **failed, **answers}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps(asyncio.run(asked(given))))
