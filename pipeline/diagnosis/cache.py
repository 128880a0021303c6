"""DVC's cache: whether it holds what dvc.lock names. DVC itself trusts a file whose mode and time are unchanged."""

import configparser
import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.diagnosis.finding import Finding, Look, note, ok, problem
from pipeline.diagnosis.project import DVC, DVC_LOCK, read_lock
from pipeline.project import paths
from pipeline.project.errors import ConfigError
from pipeline.project.files import quoted

SHOWN = 8  # files in one line to type


def cache(look: Look) -> Iterator[Finding]:
    """Each output's files are there; with --deep each is hashed."""
    try:
        stages = read_lock()["stages"] if DVC_LOCK.is_file() else {}
    except ConfigError:
        yield note("DVC's cache", f"can't be looked at before {DVC_LOCK} is mended")
        return
    seen, wrong = set(), []
    for stage, out in outputs(stages):
        files = named(out["md5"], Path(out["path"]))
        seen |= set(files)
        wrong += list(faults(stage, out["path"], files, look.deep))
    yield from wrong
    if seen and not wrong:
        depth = "each has the MD5 of its name" if look.deep else "all are there (`ratchet doctor --deep` hashes them)"
        yield ok("DVC's cache", f"{len(seen)} files that {DVC_LOCK} names: {depth}")


def outputs(stages: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stage, output) of each output that DVC keeps in its cache."""
    declared = yaml.safe_load(DVC.read_text(encoding="utf-8"))["stages"]
    for stage, run in stages.items():
        kinds = (declared.get(stage, {}).get(kind) or [] for kind in ("outs", "metrics", "plots"))
        options = [entry for entries in kinds for entry in entries if isinstance(entry, dict)]
        uncached = {path for entry in options for path, chosen in entry.items() if chosen.get("cache") is False}
        yield from ((stage, out) for out in run.get("outs") or [] if out["path"] not in uncached)


def settings() -> configparser.ConfigParser:
    """DVC's own: .dvc/config and .dvc/config.local."""
    parser = configparser.ConfigParser(interpolation=None)
    place = paths.home(Path.cwd()) / ".dvc"
    parser.read([place / "config", place / "config.local"])
    return parser


def folder() -> Path:
    """.dvc/cache, or what cache.dir of DVC's settings says."""
    place = paths.home(Path.cwd()) / ".dvc"
    return place / settings().get("cache", "dir", fallback="cache").strip("'\"") / "files" / "md5"


def file_of(md5: str) -> Path:
    return folder() / md5[:2] / md5[2:]


@dataclass(frozen=True)
class Kept:
    """A file of the cache: its MD5, and the output in the project that it is a copy of; a folder's listing has none."""

    md5: str
    copy: Path | None


def named(md5: str, path: Path) -> dict[Path, Kept]:
    """The files of the output at `path`; of a folder, its listing and what that lists."""
    if not md5.endswith(".dir"):
        return {file_of(md5): Kept(md5, path)}
    files = {file_of(md5): Kept(md5.removesuffix(".dir"), None)}
    if file_of(md5).is_file():
        try:
            listed = json.loads(file_of(md5).read_text(encoding="utf-8"))
        except ValueError:
            return {file_of(md5): Kept("damaged", None)}
        files |= {file_of(entry["md5"]): Kept(entry["md5"], path / entry["relpath"]) for entry in listed}
    return files


def faults(stage: str, path: str, files: dict[Path, Kept], deep: bool) -> Iterator[Finding]:
    missing = [file for file in files if not file.is_file()]
    if len(missing) == len(files) and not Path(path).exists():
        remote = any(section.startswith("'remote") for section in settings().sections())
        yield note("DVC's cache", f"{path} is not on this machine", f"dvc pull {path}" if remote else "dvc repro")
    elif missing:
        text = f"{path}: {len(missing)} of {len(files)} files are missing, so that DVC can't bring it back"
        yield problem("DVC's cache", text, copied(files, missing) or f"dvc repro {stage}")
    for file, kept in files.items():
        if kept.md5 == "damaged" or (deep and file not in missing and md5_of(file) != kept.md5):
            typed = copied(files, [file]) or f"rm -f {quoted(file)} && dvc repro {stage}"
            yield problem("DVC's cache", f"{path}: {file} is not what its name says", typed)


def copied(files: dict[Path, Kept], wanted: list[Path]) -> str | None:
    """Brings files from the project into the cache, if each is whole there: a stage that runs removes them first."""
    found = [(files[file].copy, files[file].md5) for file in wanted]
    copies = [copy for copy, md5 in found if copy is not None and copy.is_file() and md5_of(copy) == md5]
    if len(copies) < len(wanted):
        return None
    pairs = list(zip(copies, wanted, strict=True))[:SHOWN]
    folders = dict.fromkeys(file.parent for _, file in pairs if not file.parent.is_dir())
    typed = [f"mkdir -p {shlex.join(map(str, folders))}"] if folders else []
    typed += [f"install -m 444 {quoted(copy)} {quoted(file)}" for copy, file in pairs]
    return " && ".join(typed) + ("   (and then for the others: ratchet doctor)" if len(wanted) > SHOWN else "")


def md5_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
