"""What the machine does while a run trains, under MLflow's names for system metrics."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from pipeline.tracking.journal import Journal

CPU = "system/cpu_utilization_percentage"


@contextmanager
def sampled(journal: Journal, seconds: float) -> Iterator[None]:
    """Journals CPU and memory every so many seconds, in a thread."""
    stop = threading.Event()
    sampler = threading.Thread(target=sample, args=(journal, seconds, stop), daemon=True)
    sampler.start()
    try:
        yield
    finally:
        stop.set()
        sampler.join()


def sample(journal: Journal, seconds: float, stop: threading.Event) -> None:
    process = psutil.Process()
    psutil.cpu_percent()
    while not stop.wait(seconds):
        step = journal.seen.get(CPU, (-1, 0.0))[0] + 1
        values = {
            CPU: psutil.cpu_percent(),
            "system/system_memory_usage_percentage": psutil.virtual_memory().percent,
            "system/process_memory_megabytes": process.memory_info().rss / 2**20,
        }
        journal.metrics(step, values)
