"""The raw files of a dataset, from whichever of its mirrors gives the right bytes."""

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pipeline.config.data import FileSum, Source
from pipeline.fetch import mirrors
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import sha256, sync_folder, write_atomically


@contextmanager
def alone() -> Iterator[None]:
    """One download at a time: they share .ratchet/downloads/ and data/raw."""
    paths.state("downloads").mkdir(parents=True, exist_ok=True)
    with FileLock(paths.state("downloads", "lock")):
        yield


def fetch(source: Source, folder: Path) -> None:
    """Brings every file of `source` into `folder`, verified; DataError, with each mirror's reason, when none can."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = {name: wanted for name, wanted in source.files.items() if not present(folder / name, wanted)}
    failures: list[str] = []
    for mirror in source.mirrors:
        if not missing:
            break
        if failures:
            print(f"{failures[-1]}\ntrying {mirrors.title(mirror)}", file=sys.stderr, flush=True)
        problems = mirrors.serve(mirror, missing, lambda name, chunks: keep(folder / name, source.files[name], chunks))
        missing = {name: wanted for name, wanted in missing.items() if not (folder / name).exists()}
        failures.append("\n".join([f"{mirrors.title(mirror)}:", *(indented(problem) for problem in problems)]))
    if missing:
        raise DataError(nowhere(missing, failures))
    for part in paths.state("downloads").glob("*.part"):  # of a server that another mirror made good
        part.unlink()


def nowhere(missing: Mapping[str, FileSum], failures: list[str]) -> str:
    wanted = [f"    {name}: {one.bytes:,} bytes, SHA-256 {one.sha256}" for name, one in missing.items()]
    lines = [f"{len(missing)} files could not be fetched:", *wanted, f"Tried {len(failures)} mirrors:"]
    lines += [indented(failure, 2) for failure in failures]
    lines += ["Try again when the network is back, or put the files into a folder and name it in params.yaml:"]
    lines += ['    data: {source: {mirrors: [{url: "file:/FOLDER/{file}", unpack: none}]}}']
    return "\n".join(lines)


def indented(text: str, width: int = 4) -> str:
    return "\n".join(" " * width + line for line in text.splitlines())


def present(path: Path, wanted: FileSum) -> bool:
    """Whether `path` holds the wanted bytes; a file that does not is removed, so that what is there is verified."""
    if not path.exists():
        return False
    if path.stat().st_size == wanted.bytes and sha256(path) == wanted.sha256:
        return True
    print(f"{path} is not the file with SHA-256 {wanted.sha256}; it is fetched anew", file=sys.stderr)
    path.unlink()
    return False


def keep(path: Path, wanted: FileSum, chunks: Iterable[bytes]) -> None:
    """Makes `path` of `chunks` if those are the wanted bytes; reads at most one chunk more than is wanted."""
    temporary, size, summed = paths.state("downloads", f"{path.name}.new"), 0, hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > wanted.bytes:
                    raise DataError(f"more than the expected {wanted.bytes:,} bytes")
                summed.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if summed.hexdigest() != wanted.sha256:
            given = f"{size:,} bytes, SHA-256 {summed.hexdigest()}"
            raise DataError(f"given {given}; expected {wanted.bytes:,} bytes, SHA-256 {wanted.sha256}")
        move(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def move(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno != errno.EXDEV:  # data/ may lie on another disk than .ratchet/
            raise
        write_atomically(path, lambda beside: shutil.copyfile(temporary, beside))
    sync_folder(path.parent)
