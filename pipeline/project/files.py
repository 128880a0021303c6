"""Files that are whole or absent: digests, atomic writes, JSON; and what is said of a disk that takes none."""

import errno
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.project.errors import DataError, DiskError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value in its canonical form: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` survive a power cut (a no-op where folders can't be opened)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, write: Callable[[Path], Any], named: Callable[[Path], Path] | None = None) -> Path:
    """Lets `write` fill a temporary file beside `path`, then fsyncs and renames it: all of it, or nothing.

    `named` gives the final path, in the same folder, where it depends on what was written. DiskError if the disk is
    full or closed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # of a killed process with the same number
        temporary.touch()
        mode = temporary.stat().st_mode  # that the umask gives; safetensors, for one, makes a private file of its own
        write(temporary)
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        path = path if named is None else named(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except Exception as error:
        if (code := disk_code(error)) is None:
            raise
        raise unwritable(path.parent, code) from error
    finally:
        if os.path.lexists(temporary):
            temporary.unlink()
    return path


def follow_umask(folder: Path) -> None:
    """Gives each file of a tree the mode of a new one: whoever copied it there kept the original's."""
    probe = folder / f".{os.getpid()}.tmp"
    probe.touch()
    mode = probe.stat().st_mode
    probe.unlink()
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            file.chmod(mode)


def disk_code(error: BaseException | None) -> int | None:
    """The error number of a full or closed disk, which libraries hide beneath errors of their own."""
    while error is not None:
        rust = re.search(r"\(os error (\d+)\)", str(error))  # safetensors and Polars say it in words alone
        code = error.errno if isinstance(error, OSError) else int(rust[1]) if rust else None
        if code in FULL | CLOSED:
            return code
        error = error.__cause__ or error.__context__
    return None


def unwritable(folder: Path, code: int) -> DiskError:
    if code in CLOSED:
        return DiskError(
            f"{folder} can't be written: {os.strerror(code)}.\n"
            f"It has to be a folder in which this user may create files.\nType: {opening(folder)}"
        )
    free = f"; {shutil.disk_usage(folder).free >> 20:,} MiB are free there" if folder.is_dir() else ""
    cure = "Raise the limit that `ulimit -f` shows" if code == errno.EFBIG else f"Free some of it (`df -h {folder}`)"
    return DiskError(
        f"{folder} can't be written: {os.strerror(code)}{free}. What was there before is whole.\n"
        f"{cure}, then type the same command again"
    )


def free(path: Path) -> Path:
    """The path, or with a number behind it: where nothing is yet."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not os.path.lexists(one))


def quoted(path: Path) -> str:
    """As a shell takes it for one word."""
    return shlex.quote(str(path))


def opening(folder: Path) -> str:
    """What to type so that this user may write there."""
    place = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(one))
    shown = quoted(place)
    if not place.is_dir():
        return f"mv {shown} {quoted(free(Path(f'{place}.file')))}   (it is a file where a folder has to be)"
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return f"findmnt --target {shown}   (its file system is mounted read-only)"
    if place.stat().st_uid == os.getuid():
        return f"chmod u+rwx {shown}"
    return f"sudo chown -R {os.getuid()} {shown}   (if it is a colleague's, work in a clone of your own instead)"


def require_writable(*folders: Path) -> None:
    """DiskError for the first one where nothing can be created: said before the work, not at its end."""
    for folder in folders:
        there = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.path.exists(one))
        if not there.is_dir():
            raise unwritable(there, errno.ENOTDIR)
        if not os.access(there, os.W_OK | os.X_OK):
            raise unwritable(there, errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path, made_by: str) -> Any:
    """The value in `path`; a missing or broken file names the stage that makes it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `ratchet {made_by}` makes it.\nType: dvc repro {made_by}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is damaged ({error}); `ratchet {made_by}` makes it anew.\nType: dvc repro --force {made_by}"
        ) from None
