"""What Prometheus is told, and the log; workers count into files of one folder, so that each can tell of all."""

import itertools
import logging
import secrets
import time
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from pipeline.serving.asgi import Message, Receive, Send, who

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
GONE = 499  # as nginx counts clients that have gone before their answer
LINES, PAUSE = 100, 10.0  # of the log, in so many seconds
REQUESTS = Counter("ratchet_requests", "Requests", ["path", "status"])
DURATION = Histogram(
    "ratchet_request_seconds", "From the request's first byte to its answer", ["path"], buckets=SECONDS
)
PREDICTIONS = Counter("ratchet_predictions", "Records that were predicted", ["version"])
FEEDBACK = Counter("ratchet_feedback", "Labels that came", ["version", "status"])
BATCH = Histogram("ratchet_batch_records", "Records predicted together", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 1024))
NETWORK = Histogram("ratchet_batch_seconds", "From a batch's encoding to its storage", buckets=SECONDS)

log = logging.getLogger("uvicorn.error")


def batch(version: int, records: int, seconds: float) -> None:
    PREDICTIONS.labels(str(version)).inc(records)
    BATCH.observe(records)
    NETWORK.observe(seconds)


@cache
def counted(path: str, status: int) -> tuple[Counter, Histogram]:
    """To look a series up by its labels takes longer than to count."""
    return REQUESTS.labels(path, str(status)), DURATION.labels(path)


class Measured:
    """Around an app: counts its requests by route and status, numbers them, and logs those that are refused or fail."""

    def __init__(self, app: Any):
        self.app = app
        self.ids, self.start = itertools.count(1), secrets.token_hex(4)
        self.lines, self.since = 0, 0.0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), GONE
        scope["request_id"] = name = f"{self.start}-{next(self.ids):x}"

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", name.encode())]}
            await send(message)

        try:
            await self.app(scope, receive, heard)
        finally:
            requests, duration = counted(getattr(scope.get("route"), "path", "other"), status)
            requests.inc()
            duration.observe(taken := time.perf_counter() - began)
            if status >= 400:
                self.tell(scope, status, taken)
        return None

    def tell(self, scope: Message, status: int, taken: float) -> None:
        """A line of the log, unless a flood of them came just before."""
        if (now := time.monotonic()) - self.since > PAUSE:
            if self.lines > LINES:
                log.warning("%d more requests were refused; /metrics counts them all", self.lines - LINES)
            self.lines, self.since = 0, now
        self.lines += 1
        if self.lines <= LINES:
            log.warning("%s: %d after %.3f s", who(scope), status, taken)


def text() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
    return generate_latest(registry)
