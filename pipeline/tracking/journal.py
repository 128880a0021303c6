"""The journal of a run: an append-only file that a tracker's outage, or a kill, can't hurt.

.ratchet/journal/<run id>/journal.jsonl holds one JSON object a line, `kind` first:
  run       experiment, name, time, parent    tags      values
  params    values                            input     context, name, digest, source, profile
  metrics   step, time, values                artifact  name, sha256 (the file lies in artifacts/)
  status    value, time, reason
Times are milliseconds since 1970. A line without its newline was never acknowledged, and is dropped.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout

from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.project.files import sha256, sync_folder
from pipeline.project.secrets import redact

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
TEXTS = {".csv", ".html", ".json", ".md", ".txt", ".yaml"}


def folder(run_id: str) -> Path:
    return paths.state("journal", run_id)


def lines(run_id: str, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Each acknowledged line from a byte offset on, with the offset after it."""
    with (folder(run_id) / "journal.jsonl").open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield json.loads(line), offset


def status(run_id: str) -> Status:
    """The last status that the journal holds; a run that has said none yet has just begun."""
    values = [line["value"] for line, _ in lines(run_id) if line["kind"] == "status"]
    return values[-1] if values else "RUNNING"


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

    def __init__(self, run_id: str, fsync_seconds: float = 1.0):
        self.run_id = run_id
        self.folder = folder(run_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.folder / "writer.lock", timeout=2)
        try:
            self.lock.acquire()
        except Timeout:
            raise RatchetError(f"another process is writing the journal of run {run_id}; wait until it ends") from None
        # metric → its last step and value: a resumed run repeats points that are here already
        self.seen: dict[str, tuple[int, float]] = {}
        self.said: set[str] = set()  # names of parameters, and whole lines that need no repetition
        self._recover()
        self.file = (self.folder / "journal.jsonl").open("ab", buffering=0)
        self.closing = threading.Event()
        self.flusher = threading.Thread(target=self._flush, args=(fsync_seconds,), daemon=True)
        self.flusher.start()

    @classmethod
    def begin(
        cls, run_id: str, experiment: str, name: str, fsync_seconds: float, parent: str | None = None
    ) -> "Journal":
        """A run's journal, new or gone on with; `parent` is the id of the run that this one is a part of."""
        journal = cls(run_id, fsync_seconds)
        if journal.file.tell() == 0:
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
        path = self.folder / "journal.jsonl"
        if not path.is_file():
            return
        end = 0
        for line, end in lines(self.run_id):
            if line["kind"] == "metrics":
                self.seen.update({name: (line["step"], value) for name, value in line["values"].items()})
            elif line["kind"] == "params":
                self.said.update(line["values"])
            else:
                self.said.add(json.dumps(line, ensure_ascii=False))
        os.truncate(path, end)

    def _flush(self, seconds: float) -> None:
        while not self.closing.wait(seconds):
            os.fsync(self.file.fileno())

    def write(self, kind: str, **values: Any) -> None:
        """Appends a line, unless the very same is there."""
        line = json.dumps({"kind": kind, **masked(values)}, ensure_ascii=False)
        if line not in self.said:
            self.file.write(line.encode() + b"\n")

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Points at a step; those that the journal already has from before a kill are left out."""
        new = {name: value for name, value in values.items() if self.is_new(name, step, value)}
        if new:
            self.seen.update({name: (step, value) for name, value in new.items()})
            self.write("metrics", step=step, time=now(), values=new)

    def is_new(self, name: str, step: int, value: float) -> bool:
        last, same = self.seen.get(name, (-1, None))
        return step > last or (step == last and value != same)

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
        self.closing.set()
        self.flusher.join()
        os.fsync(self.file.fileno())
        self.file.close()
        sync_folder(self.folder)
        self.lock.release()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def sample_system(journal: Journal, seconds: float, stop: threading.Event) -> None:
    """Journals CPU and memory under MLflow's names for system metrics, until `stop` is set."""
    process = psutil.Process()
    psutil.cpu_percent()
    while not stop.wait(seconds):
        step = journal.seen.get("system/cpu_utilization_percentage", (-1, 0.0))[0] + 1
        memory = psutil.virtual_memory()
        values = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_memory_megabytes": process.memory_info().rss / 2**20,
        }
        journal.metrics(step, values)


def close_if_dead(run_id: str) -> None:
    """Says KILLED of a run that is shown as running but whose writer is gone: a SIGKILL, or no memory left."""
    try:
        with FileLock(folder(run_id) / "writer.lock", timeout=0):
            running = status(run_id) == "RUNNING"
    except Timeout:
        return
    if running:
        with Journal(run_id) as journal:
            journal.status("KILLED", "its process was gone without a word (SIGKILL, or out of memory)")
