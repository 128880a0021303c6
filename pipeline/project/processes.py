"""Processes that end with the one that they serve, and threads that end with what they watch."""

import os
import signal
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
def exit_unless(heard: threading.Event, seconds: float) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT end this process after `seconds`, unless their handler sets `heard` by then.

    Python calls a handler between two of its own instructions: never, while a call of a library in C waits.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)

    def listen() -> None:
        while told := os.read(reading, 1):
            if told[0] in (signal.SIGTERM, signal.SIGINT) and not heard.wait(seconds):
                os._exit(128 + told[0])

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        thread.join()
        os.close(reading)


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
