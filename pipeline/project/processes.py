"""Processes that end with the one that they serve, and threads that end with what they watch."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

WATCH_SECONDS = 0.5  # how long one may outlive the other


def end_with(pid: int) -> None:
    """From now on, ends this process soon after process `pid` has gone, for nobody would stop it."""
    threading.Thread(target=watch, args=(pid,), daemon=True).start()


def watch(pid: int) -> None:
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(WATCH_SECONDS)
    except psutil.NoSuchProcess:
        pass
    os._exit(1)


@contextmanager
def every(seconds: float, call: Callable[[], bool]) -> Iterator[None]:
    """Inside, calls it every so many seconds in a thread, for as long as it says True."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(seconds) and call():
            pass

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
