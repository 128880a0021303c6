"""What is printed: where it goes may go away (a closed terminal or pipe, a full disk), or lack a character."""

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Stream(io.FileIO):
    """Standard output or error, which takes every text and remembers what the first one was lost by."""

    lost: OSError | None = None

    def write(self, content: "Buffer", /) -> int:
        try:
            while (written := super().write(content)) is None:  # a full pipe that does not wait by itself
                select.select([], [self], [])
            return written
        except OSError as error:
            self.lost = self.lost or error
            return memoryview(content).nbytes


def restart_in_utf8() -> None:
    """As Python itself does in a locale of ASCII, unless PYTHONUTF8=0: no file could be named that is not in ASCII."""
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def survive() -> None:
    """From now on nothing that is printed fails. For processes of Ratchet's own, before they open a file."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file to be opened would get its number, and what is printed
            os.open(os.devnull, os.O_RDWR)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        given = getattr(sys, name)
        told = ("encoding", "line_buffering", "write_through")
        buffer = io.BufferedWriter(Stream(descriptor, "w", closefd=False))
        stream = io.TextIOWrapper(buffer, errors="replace", **{one: getattr(given, one) for one in told if given})
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def lost() -> str | None:
    """Why standard output took not all; a reader that has seen enough (`| head`) is no loss."""
    sys.stdout.flush()
    error = cast("io.BufferedWriter[Stream]", sys.stdout.buffer).raw.lost  # survive() made it
    return None if error is None or error.errno == errno.EPIPE else error.strerror
