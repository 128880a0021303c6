"""What a machine may lack, and what may lie on it: room, rights, memory; damaged files and hostile ones."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import SkipTest

from pipeline.project.files import digest, sha256
from tests.conftest import lean


class Missing(SkipTest):
    """This machine can't inject the fault: the message says why, and pytest shows it."""


def limited(project: Path, arguments: list[str], limit: int, size: int) -> subprocess.CompletedProcess[str]:
    """A training under a limit of the operating system, such as resource.RLIMIT_AS."""

    def confine() -> None:
        resource.setrlimit(limit, (size, size))

    return command(project, arguments, preexec_fn=confine)


def powerless(project: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """A training that may write only where the modes of files say so; root may everywhere."""
    without = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    if without and shutil.which("setpriv") is None:
        raise Missing("root writes everywhere, and there is no setpriv to take that from it")
    return command(project, arguments, without)


def command(project: Path, arguments: list[str], before: list[str] | None = None, **more):
    whole = [*(before or []), sys.executable, "-m", "pipeline", "train", *arguments]
    return subprocess.run(whole, cwd=project, env=lean(), capture_output=True, text=True, timeout=120, **more)


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own at `folder`, of such a size as 2m."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        raise Missing(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Leaves not a byte free; returns the file that takes the room."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            return path


def flip(path: Path) -> None:
    """Changes one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def swap(file: Path, about: Path, content: bytes) -> None:
    """Puts `content` in place of a file, and its sum and the fingerprint into what is said about it."""
    old = sha256(file)
    file.chmod(0o644)
    file.write_bytes(content)
    said = json.loads(about.read_text().replace(old, sha256(file)))
    if "fingerprint" in said:
        said["fingerprint"] = digest({key: value for key, value in said.items() if key != "fingerprint"})
    about.write_text(json.dumps(said))


class Payload:
    """What makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")
