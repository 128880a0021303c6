"""Processes that end with the one that they serve."""

import os
import threading
import time

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
