"""Folders of many files: their sums, their copy in data/raw, and what does not belong there."""

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from pipeline.config.data import FileSum, Folder
from pipeline.fetch import sources
from pipeline.project.errors import DataError
from pipeline.project.files import digest, sha256

SHOWN = 5  # names in a message


def listing(source: Folder) -> dict[str, FileSum]:
    """Every file of the folder by its relative path; DataError when they are not those that `ratchet init` saw."""
    found = sums(Path(source.folder))
    given = digest_of(found)
    if given == source.sha256 and len(found) == source.files:
        return found
    raise DataError(
        f"{source.folder} has changed since `ratchet init`: it holds {len(found):,} files, digest {given};\n"
        f"expected {source.files:,} files, digest {source.sha256}.\n"
        f"To use it as it is now, type: ratchet init --data {shlex.quote(source.folder)}"
    )


def digest_of(files: Mapping[str, FileSum]) -> str:
    """SHA-256 of the sorted list of [relative path, SHA-256 of the file]."""
    return digest(sorted([name, one.sha256] for name, one in files.items()))


def sums(folder: Path) -> dict[str, FileSum]:
    """Every file of `folder` by its relative path, hidden ones left out; links and devices are refused by name."""
    try:
        found = list(walk(folder))
        bar = tqdm(found, desc=f"reading {folder.name}"[:40], unit="file", disable=None, leave=False)
        return {path.relative_to(folder).as_posix(): measured(path) for path in bar}
    except OSError as error:
        raise DataError(
            f"{error.filename or folder} can't be read: {error.strerror}.\n"
            "data.source.folder, or --data, must name a folder that you may read"
        ) from None


def measured(path: Path) -> FileSum:
    return FileSum.model_construct(bytes=path.stat().st_size, sha256=sha256(path))  # 0 bytes is a finding here


def walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):  # .DS_Store and its like, which come and go
            continue
        if re.search("[\ud800-\udfff]", entry.name) or entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            raise DataError(
                f"{entry.path!r} is a link, a device, or has a name that is not UTF-8; only plain files are read.\n"
                "Put a copy of the file in its place, or remove it"
            )
        if entry.is_dir():
            yield from walk(Path(entry))
        else:
            yield Path(entry)


def copy(origin: Path, files: Mapping[str, FileSum], target: Path) -> None:
    """Brings `files` of the folder `origin` into `target`, verified, under the same relative paths."""
    for name, wanted in tqdm(files.items(), desc=f"copying {origin.name}"[:40], unit="file", disable=None, leave=False):
        if not sources.present(target / name, wanted):
            copy_file(origin / name, wanted, target / name, target / ".copied.tmp")
    if hasattr(os, "sync"):
        os.sync()  # once: an fsync for each picture would take minutes


def copy_file(origin: Path, wanted: FileSum, target: Path, temporary: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    summed = hashlib.sha256()
    try:
        with origin.open("rb") as file, temporary.open("wb") as copied:
            while chunk := file.read(1 << 20):
                summed.update(chunk)
                copied.write(chunk)
        if summed.hexdigest() != wanted.sha256:
            raise DataError(f"{origin} was changed while it was copied. Type: ratchet download")
        os.replace(temporary, target)  # never into the target: it may be a link into DVC's cache
    finally:
        temporary.unlink(missing_ok=True)


def keep_only(raw: Path, names: Collection[str]) -> None:
    """Removes from data/raw what the settings don't name: another scenario's files, which DVC would keep as these."""
    removed = []
    for folder, folders, files in os.walk(raw, topdown=False):
        inside = Path(folder)
        links = [name for name in folders if (inside / name).is_symlink()]
        for path in (inside / name for name in (*files, *links)):
            if path.relative_to(raw).as_posix() not in names:
                path.unlink()
                removed.append(path.relative_to(raw).as_posix())
        if inside != raw and not any(inside.iterdir()):
            inside.rmdir()
    if removed:
        shown = ", ".join(sorted(removed)[:SHOWN]) + (", …" if len(removed) > SHOWN else "")
        print(
            f"removed from {raw}, since the settings don't name them: {shown} ({len(removed)} files)", file=sys.stderr
        )


def refuse_inside(raw: Path, origin: Path) -> None:
    """Stops when what is to be copied lies in data/raw, or holds it: DVC empties data/raw before it is filled."""
    given, emptied = origin.resolve(), raw.resolve()
    if given.is_relative_to(emptied) or emptied.is_relative_to(given):
        raise DataError(
            f"{origin} can't be a source of the data: {raw}, in it or around it, is emptied by each download.\n"
            "Move it to a place of its own, and name that: ratchet init --data PATH"
        )
