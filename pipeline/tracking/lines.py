"""The lines of a journal, as they lie on disk: read back one by one, and written whole or not at all."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pipeline.project import paths

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
encode = json.JSONEncoder(ensure_ascii=False).encode


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
            yield parsed(line), offset


def parsed(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if isinstance(value, dict) and "kind" in value:
        return value
    return {"kind": "damaged", "text": line.decode(errors="replace").strip()}


def status(run_id: str) -> Status:
    """The last status that the journal holds; a run that has said none yet has just begun."""
    with (folder(run_id) / "journal.jsonl").open("rb") as file:
        said = [parsed(line) for line in file if line.startswith(b'{"kind": "status"') and line.endswith(b"\n")]
    return next((line["value"] for line in reversed(said) if line["kind"] == "status"), "RUNNING")


def durable(run_id: str) -> int:
    """Bytes of the journal that no power cut can take back: only those are shipped."""
    with (folder(run_id) / "journal.jsonl").open("rb+") as file:
        size = os.fstat(file.fileno()).st_size
        os.fsync(file.fileno())
    return size


def append(file: BinaryIO, line: str) -> None:
    """Writes a whole line or nothing: a full disk leaves no half of it for the next line to follow."""
    content = memoryview(line.encode(errors="replace") + b"\n")
    written = 0
    try:
        while written < len(content):
            written += os.write(file.fileno(), content[written:])
    except OSError as error:
        os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size - written)
        raise OSError(error.errno, error.strerror, str(file.name)) from error
