"""The token that requests have to bring, as its file says it now: all workers change to a new one at once."""

import logging
import os
from pathlib import Path

from pipeline.project.errors import RatchetError
from pipeline.project.files import quoted

EMPTY = "the token is empty; it has to be a line of text.\nType: openssl rand -hex 32 > {file}"

log = logging.getLogger("uvicorn.error")


class Token:
    def __init__(self, given: str | Path):
        """`given`: the token itself, or a file that is looked at with each request; RatchetError if it is empty."""
        self.file = given if isinstance(given, Path) else None
        self.seen = self.state()
        text = given if isinstance(given, str) else given.read_text(encoding="utf-8")
        if not text.strip():
            raise RatchetError(EMPTY.format(file=quoted(self.file) if self.file else "FILE"))
        self.token = text.strip().encode()

    def now(self) -> bytes:
        if self.file is not None and (state := self.state()) != self.seen:
            self.seen = state
            self.read(self.file)
        return self.token

    def state(self) -> tuple[int, ...] | None:
        """What changes when the file is written or replaced."""
        try:
            found = os.stat(self.file) if self.file else None
        except OSError:
            return None
        return found and (found.st_mtime_ns, found.st_ino, found.st_size)

    def read(self, file: Path) -> None:
        """The one before holds while the file is away, empty or half written."""
        try:
            token = file.read_bytes().strip()
        except OSError as error:
            log.warning("the token file can't be read, the token before stays: %s", error.strerror)
            return
        if token:
            self.token = token
            log.warning("the token file has changed; the token in it is asked for from now on")
