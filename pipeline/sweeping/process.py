"""A trial's process, seen from its worker: started, listened to, renewed, stopped. Light: no torch."""

import os
import pickle
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from typing import IO, Any, cast

from pipeline.training.channel import Watcher

STOPPING = 60.0  # seconds that a trial has to save its checkpoint
started: list[subprocess.Popen[bytes]] = []  # kept, since Python warns of a process that outlives its object
Outcome = dict[str, Any]  # state, reason, run_id, found, history, …


@dataclass(frozen=True)
class Membership:
    """What makes a run a trial of a sweep."""

    parent: str  # run id
    experiment: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Task:
    """What a trial is told."""

    root: str
    settings: dict[str, Any]  # the whole config
    run_id: str
    membership: Membership
    name: str
    objectives: tuple[str, ...]
    log: str  # the file that takes what the training prints


class Trials:
    """The trials of a worker, one after the other, each in a process of its own that dies alone."""

    def __init__(self, shared: str | None = None) -> None:
        """`shared`: the socket of a server that this machine's workers share; without it, it starts its own."""
        self.shared = shared
        self.tasks: IO[bytes] | None = None
        self.answers: IO[bytes] | None = None
        self.pid: int | None = None  # of the trial that runs
        self.asked: Callable[[int, float], bool] = lambda epoch, value: False
        self.outcome: Outcome | None = None

    def run(self, task: Task, asked: Callable[[int, float], bool]) -> Outcome:
        """Returns when the trial has ended; interrupted itself, it stops the trial at its next checkpoint.

        `asked`: (epoch, value) → whether the trial shall stop.
        """
        self.asked, self.outcome, key = asked, None, secrets.token_bytes(32)
        with Listener(authkey=key) as listener:
            threading.Thread(target=self.listen, args=(listener,), daemon=True).start()
            try:
                exitcode = self.forked((task, Watcher(listener.address, key), os.getpid()))
            except BaseException:
                self.stop()
                raise
            finally:
                self.pid = None
        return self.outcome or {"state": "FAIL", "reason": died(exitcode)}

    def forked(self, task: tuple[Any, ...]) -> int:
        if self.tasks is None or self.answers is None:
            self.tasks, self.answers = own_server() if self.shared is None else connected(self.shared)
        pickle.dump(task, self.tasks)
        self.tasks.flush()
        self.pid = int(self.answers.readline() or 0)
        if not (code := self.answers.readline()):  # the server has gone, and its trial with it
            self.close()
        return int(code or -signal.SIGKILL)

    def stop(self) -> None:
        """Lets the trial save its checkpoint; kills it where that takes too long."""
        if self.pid:
            self.signal(signal.SIGTERM)
            answers = cast("IO[bytes]", self.answers)  # there, while a trial runs
            if not select.select([answers], [], [], STOPPING)[0]:
                self.signal(signal.SIGKILL)
        self.close()

    def signal(self, signum: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(cast("int", self.pid), signum)  # whoever calls this has looked

    def kill(self) -> None:
        if self.pid:
            self.signal(signal.SIGKILL)

    def close(self) -> None:
        for pipe in (self.tasks, self.answers):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self.tasks = self.answers = None

    def listen(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except (OSError, EOFError, AuthenticationError):
                if listener._listener is None:  # type: ignore[attr-defined]  # closed: the trial ended
                    return
                continue
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: Connection) -> None:
        with connection:
            while True:
                try:
                    kind, content = connection.recv()
                except (EOFError, OSError):  # its process has gone; `run` sees how
                    return
                if kind == "ended":
                    self.outcome = content
                connection.send(self.asked(*content) if kind == "epoch" else None)


def own_server() -> tuple[IO[bytes], IO[bytes]]:
    """Ends when the first of its pipes is closed."""
    command = [sys.executable, "-m", "pipeline.sweeping.forking"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    started.append(server)
    return cast("tuple[IO[bytes], IO[bytes]]", (server.stdin, server.stdout))  # pipes


def connected(path: str) -> tuple[IO[bytes], IO[bytes]]:
    deadline = time.monotonic() + STOPPING
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection.makefile("wb"), connection.makefile("rb")
        except OSError:  # it has just been started, and listens before it imports
            connection.close()
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


class Server:
    """Forks the trials of all workers of this machine: torch is imported once, and its memory is there once."""

    def __init__(self) -> None:
        """Begins with the import at once, in the background."""
        self.folder = tempfile.TemporaryDirectory(prefix="ratchet-")
        self.count = 0
        self.start()

    def start(self) -> None:
        self.count += 1
        self.path = f"{self.folder.name}/trials-{self.count}"
        command = [sys.executable, "-m", "pipeline.sweeping.forking", self.path, str(os.getpid())]
        self.process = subprocess.Popen(command)

    def socket(self) -> str:
        """Where it listens, or another one in its place if it was killed."""
        if self.process.poll() is not None:
            self.start()
        return self.path

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def died(exitcode: int) -> str:
    if exitcode < 0:
        name = signal.Signals(-exitcode).name
        more = ": the machine's memory was full, perhaps" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{more}"
    return f"its process ended with exit code {exitcode} and without a word"
