"""Files out of zips and tars that nobody vouches for: no way out of the folder, no links, no devices, no bombs."""

import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Protocol, cast
from uuid import uuid4

from pipeline.project.errors import DataError

MOST_BYTES = 1 << 32  # of a member, unpacked
MOST_RATIO = 200  # of unpacked to packed bytes; text reaches about 20, a bomb 1,000
HARMLESS = 1 << 20  # bytes, however small they were packed
MOST_MEMBERS = 100_000
PADDING = 1 << 16  # bytes; a tar ends with zeros, which pack to nothing
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError)


class Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...
    def readline(self, size: int = ..., /) -> bytes: ...


Take = Callable[[Collection[str]], Mapping[str, Path]]
Open = Callable[[Path, Literal["rb"]], AbstractContextManager[Readable]]

# Of a tar, by its first bytes
UNPACKERS: dict[bytes, Open] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class Capped:
    """A stream that refuses to give more than `most` bytes, whatever its file unpacks to."""

    def __init__(self, file: Readable, most: int):
        self.file, self.most, self.left = file, most, most

    def read(self, size: int = -1) -> bytes:
        return self.counted(self.file.read(size if 0 <= size <= self.left else self.left + 1))

    def readline(self) -> bytes:
        return self.counted(self.file.readline(self.left + 1))

    def counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise DataError(f"it unpacks to more than the {self.most:,} bytes that are allowed")
        return data


class Whole(Capped):
    """A packed stream; one that is torn or no such stream says so, where a full disk says that it is full."""

    def read(self, size: int = -1) -> bytes:
        try:
            return super().read(size)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise DataError(f"the archive can't be read: {error}") from None


def locate(paths: Collection[str], take: Take, folder: Path) -> dict[str, Path]:
    """Where the file of each path lies once `take` gave its first part; `outer.tar!inner` is a file in an archive."""
    nested: dict[str, set[str]] = {}
    for path in paths:
        outer, _, inner = path.partition("!")
        nested.setdefault(outer, set()).add(inner)
    files, found = take(nested.keys()), {}
    for outer, inners in nested.items():
        if "" in inners:
            found[outer] = files[outer]
        if deeper := inners - {""}:
            within = locate(deeper, partial(extract, files[outer], folder=folder), folder)
            found |= {f"{outer}!{inner}": file for inner, file in within.items()}
    return found


def extract(archive: Path, names: Collection[str], folder: Path) -> dict[str, Path]:
    """Copies members of a zip or tar into `folder`, after a look at all of them: one odd one condemns the archive."""
    with archive.open("rb") as file:
        read = from_zip if file.read(2) == b"PK" else from_tar
    targets = {name: folder / uuid4().hex for name in names}
    try:
        read(archive, targets)
    except UNREADABLE as error:
        raise DataError(f"the archive can't be read: {error}") from None
    return targets


def from_zip(path: Path, targets: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        for number, info in enumerate(infos, 1):
            kind = stat.S_IFMT(info.external_attr >> 16)
            refuse_odd(number, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        refuse_lacking(targets.keys(), archive.namelist())
        for name, target in targets.items():
            info = archive.getinfo(name)
            refuse_bomb(name, info.compress_size, info.file_size)
            with archive.open(info) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)


def from_tar(path: Path, targets: Mapping[str, Path]) -> None:
    names = []
    with tar(path) as archive:
        for number, info in enumerate(archive, 1):
            refuse_odd(number, info.name, info.isdir() or (info.isreg() and not info.issparse()))
            names.append(plain(info.name))
    refuse_lacking(targets.keys(), names)
    with tar(path) as archive:
        for info in archive:
            if target := targets.get(plain(info.name)):
                packed = cast("IO[bytes]", archive.extractfile(info))  # None only of a folder
                with packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)


@contextmanager
def tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar, packed or not, read from front to end, whose headers and members together can't be a bomb."""
    with path.open("rb") as file:
        first = file.read(6)
    unpack: Open = next((unpack for magic, unpack in UNPACKERS.items() if first.startswith(magic)), open)
    most = min(MOST_BYTES, MOST_RATIO * path.stat().st_size + PADDING)
    with unpack(path, "rb") as stream:
        whole = cast("IO[bytes]", Whole(stream, most))  # a tar of mode r| is read, and asked for nothing else of a file
        with tarfile.open(fileobj=whole, mode="r|") as archive:
            yield archive


def plain(name: str) -> str:
    return PurePosixPath(name).as_posix()  # tar writes ./a for a


def refuse_odd(number: int, name: str, ordinary: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise DataError(f"the archive holds {name!r}, which would leave its folder; it was not unpacked")
    if not ordinary:
        raise DataError(f"the archive holds {name!r}, a link or device; it was not unpacked")
    if number > MOST_MEMBERS:
        raise DataError(f"the archive holds more than {MOST_MEMBERS:,} files, the most that are allowed")


def refuse_lacking(wanted: Collection[str], held: list[str]) -> None:
    if lacking := sorted(set(wanted) - set(held)):
        raise DataError(f"the archive holds no {', '.join(lacking)}; it holds {', '.join(held[:20])}")


def refuse_bomb(name: str, packed: int, unpacked: int) -> None:
    if unpacked > min(MOST_BYTES, max(HARMLESS, MOST_RATIO * packed)):
        raise DataError(
            f"{name!r} unpacks from {packed:,} to {unpacked:,} bytes; "
            f"allowed are {MOST_RATIO} times as many, and {MOST_BYTES:,}"
        )
