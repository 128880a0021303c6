"""What Prometheus is told; workers count into files of one folder, so that each can tell of all."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUESTS = Counter("ratchet_requests", "Requests", ["path", "status"])
DURATION = Histogram(
    "ratchet_request_seconds", "From the request's first byte to its answer", ["path"], buckets=SECONDS
)
PREDICTIONS = Counter("ratchet_predictions", "Records that were predicted", ["version"])
FEEDBACK = Counter("ratchet_feedback", "Labels that came", ["version", "status"])
BATCH = Histogram("ratchet_batch_records", "Records predicted together", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 1024))
NETWORK = Histogram("ratchet_batch_seconds", "From a batch's encoding to its storage", buckets=SECONDS)


def batch(records: int, seconds: float) -> None:
    BATCH.observe(records)
    NETWORK.observe(seconds)


def request(path: str, status: int, seconds: float) -> None:
    REQUESTS.labels(path, str(status)).inc()
    DURATION.labels(path).observe(seconds)


def text() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)
