"""The journal of a run: an append-only file that a tracker's outage, or a kill, can't hurt.

pipeline/tracking/lines.py says what its lines hold, and how a journal of another format is treated.
"""

import json
import math
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.project.errors import RatchetError
from pipeline.project.files import sha256, sync_folder
from pipeline.project.secrets import redact
from pipeline.tracking.lines import Status, after_header, append, begin, encode, folder, journal_file, lines, status

WRITER, BORROWER = "writer.lock", "borrower.lock"
canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode  # the same line, whoever wrote it
TEXTS = {".csv", ".html", ".json", ".md", ".txt", ".yaml"}


def masked(node: Any) -> Any:
    """The same tree with secrets masked in every text."""
    if isinstance(node, str):
        return redact(node)
    if isinstance(node, dict):
        return {key: masked(value) for key, value in node.items()}
    return node


def now() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """One process at a time writes a run's journal; the lock goes with the process, however it dies."""

    def __init__(self, run_id: str, fsync_seconds: float = 1.0, borrowed: bool = False):
        """`borrowed`: from a process that holds the run and lends its journal, as `lent` does."""
        self.run_id = run_id
        self.folder = folder(run_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fsync_seconds = fsync_seconds
        self.lock = FileLock(self.folder / (BORROWER if borrowed else WRITER), timeout=2)
        try:
            self.lock.acquire()
        except Timeout:
            raise RatchetError(f"another process is writing the journal of run {run_id}; wait until it ends") from None
        try:
            self._open()
        except BaseException:  # another version's journal, or a full disk
            self.lock.release()
            raise

    def _open(self) -> None:
        # metric → its last step and value: a resumed run repeats points that are here already
        self.seen: dict[str, tuple[int, float]] = {}
        self.said: set[str] = set()  # names of parameters, and whole lines that need no repetition
        self.begun = self.stated = False  # whether it held a whole line, and a status, when it was opened
        self.time = 0  # of the last points
        self.failure: OSError | None = None  # of the fsync beside the training
        self._recover()
        self.file = journal_file(self.run_id).open("ab", buffering=0)
        if self.file.tell() == 0:
            append(self.file, begin(self.run_id, now()))
        self.appending = threading.Lock()
        self.closing = threading.Event()
        self.flusher = threading.Thread(target=self._flush, args=(self.fsync_seconds,), daemon=True)
        self.flusher.start()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Another process writes meanwhile; the run stays this one's, and is dead when both are gone."""
        self._close()
        try:
            yield
        finally:
            with FileLock(self.folder / BORROWER, timeout=10):  # a killed borrower is gone within a second
                self._open()

    @classmethod
    def begin(
        cls, run_id: str, experiment: str, name: str, fsync_seconds: float, parent: str | None = None
    ) -> "Journal":
        """A run's journal, new or gone on with; `parent` is the id of the run that this one is a part of."""
        journal = cls(run_id, fsync_seconds)
        if not journal.begun:
            journal.write("run", experiment=experiment, name=name, time=now(), parent=parent)
        return journal

    @classmethod
    def later(cls, run_id: str, experiment: str, name: str) -> "Journal":
        """The journal that a later stage adds to; begun here as well if the run was trained in another clone."""
        journal = cls.begin(run_id, experiment, name, 1.0)
        if not journal.said:
            journal.status("FINISHED", "trained in another clone")
        return journal

    def _recover(self) -> None:
        """Learns what the journal holds, and cuts off a line that a kill left unfinished."""
        path = journal_file(self.run_id)
        if not path.is_file():
            return
        with path.open("rb") as file:
            end = after_header(file)
        for line, end in lines(self.run_id):
            self.begun = self.begun or line["kind"] != "damaged"
            self.stated = self.stated or line["kind"] == "status"
            if line["kind"] == "metrics":
                self.time = max(self.time, line["time"])
                self.seen.update({name: (line["step"], value) for name, value in line["values"].items()})
            elif line["kind"] == "params":
                self.said.update(line["values"])
            else:
                self.said.add(canonical(line))
        os.truncate(path, end)

    def _flush(self, seconds: float) -> None:
        while not self.closing.wait(seconds):
            try:
                os.fsync(self.file.fileno())
            except OSError as error:
                self.failure = error  # told to whoever writes next
                return

    def write(self, kind: str, **values: Any) -> None:
        """Appends a line, unless the very same is there."""
        line = {"kind": kind, **masked(values)}
        if kind != "metrics" and canonical(line) in self.said:  # `metrics` itself leaves out what is there
            return
        if self.failure is not None:
            raise OSError(self.failure.errno, "does not reach its disk", self.file.name) from self.failure
        with self.appending:
            append(self.file, encode(line))

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Points at a step; those that the journal already has from before a kill are left out."""
        new = {name: value for name, value in values.items() if self.is_new(name, step, value)}
        if new:
            self.time = max(self.time, now())  # MLflow orders by time first
            self.write("metrics", step=step, time=self.time, values=new)
            self.seen.update({name: (step, value) for name, value in new.items()})

    def is_new(self, name: str, step: int, value: float) -> bool:
        last, old = self.seen.get(name, (-1, 0.0))
        return step > last or (step == last and value != old and not (math.isnan(value) and math.isnan(old)))

    def params(self, values: dict[str, Any]) -> None:
        """Parameters; MLflow takes each once, so a resumed run keeps those of its beginning."""
        new = {name: str(value) for name, value in values.items() if name not in self.said}
        if new:
            self.said.update(new)
            self.write("params", values=new)

    def tags(self, values: dict[str, str]) -> None:
        self.write("tags", values=values)

    def input(self, context: str, name: str, digest: str, source: str, profile: dict[str, Any]) -> None:
        self.write("input", context=context, name=name, digest=digest, source=source, profile=profile)

    def artifact(self, path: Path, name: str) -> None:
        """Copies a file to keep it with the run as `name`, such as figures/roc.png."""
        target = self.folder / "artifacts" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in TEXTS:
            target.write_text(redact(path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(path, target)
        self.write("artifact", name=name, sha256=sha256(target))

    def text(self, text: str, name: str) -> None:
        target = self.folder / "artifacts" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(redact(text), encoding="utf-8")
        self.write("artifact", name=name, sha256=sha256(target))

    def status(self, value: Status, reason: str = "") -> None:
        self.write("status", value=value, time=now(), reason=reason)

    def close(self) -> None:
        """Everything is on disk when this returns."""
        self._close()
        self.lock.release()

    def fsync(self) -> None:
        """What was written so far is on disk when this returns."""
        os.fsync(self.file.fileno())

    def _close(self) -> None:
        self.closing.set()
        self.flusher.join()
        self.fsync()
        self.file.close()
        sync_folder(self.folder)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def close_if_dead(run_id: str) -> None:
    """Says KILLED of a run that is shown as running but whose writer is gone: a SIGKILL, or no memory left."""
    if status(run_id) != "RUNNING":
        return
    path, reason = journal_file(run_id), "its process was gone without a word (SIGKILL, or out of memory)"
    try:
        with FileLock(folder(run_id) / WRITER, timeout=0), FileLock(folder(run_id) / BORROWER, timeout=0):
            end = 0
            for _, end in lines(run_id):
                pass
            if end == 0 or status(run_id) != "RUNNING":  # it never began; or another process was faster
                return
            os.truncate(path, end)
            with path.open("ab", buffering=0) as file:
                append(file, encode({"kind": "status", "value": "KILLED", "time": now(), "reason": reason}))
                os.fsync(file.fileno())
    except Timeout:
        return
