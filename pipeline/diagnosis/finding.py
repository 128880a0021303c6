"""What `ratchet doctor` finds, one line each, and what it looks at with."""

import fcntl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.config.schema import Config
from pipeline.project.errors import RatchetError

QUICKLY = 1 << 30  # bytes that are hashed without --deep: about a second's work


@dataclass(frozen=True)
class Finding:
    mark: Literal["ok", "note", "problem"]
    name: str
    text: str
    typed: str = ""  # what to type


def ok(name: str, text: str) -> Finding:
    return Finding("ok", name, text)


def note(name: str, text: str, typed: str = "") -> Finding:
    return Finding("note", name, text, typed)


def problem(name: str, text: str, typed: str) -> Finding:
    return Finding("problem", name, text, typed)


def refused(name: str, error: RatchetError, otherwise: str) -> Finding:
    """A refusal as a problem; what to type stands in its message after "Type:", or is `otherwise`."""
    text, _, typed = str(error).partition("\nType: ")
    return problem(name, text, typed or otherwise)


@dataclass
class Look:
    """One visit: how deep it goes, and the settings, or why they can't be used."""

    deep: bool
    config: Config | None = None
    mistake: RatchetError | None = None
    hashed: int = 0
    left: list[int] = field(default_factory=list)  # sizes of the files that were not hashed

    def may_hash(self, path: Path) -> bool:
        """Whether there is time for this file; those for which there is none are counted."""
        size = path.stat().st_size if path.is_file() else 0
        if not self.deep and self.hashed + size > QUICKLY:
            self.left.append(size)
            return False
        self.hashed += size
        return True


def held(lock: Path) -> bool:
    """Whether a process holds the lock: asked for a moment and shared, and without making the file."""
    if not lock.is_file():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def size(count: float) -> str:
    """Bytes for people: 1.5 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count /= 1000
    else:
        unit = "TB"
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
