"""DVC's cache: whether it holds what dvc.lock names. DVC itself trusts a file whose mode and time are unchanged."""

import configparser
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.diagnosis.finding import Finding, Look, note, ok, problem
from pipeline.diagnosis.project import DVC, DVC_LOCK, read_lock
from pipeline.project import paths
from pipeline.project.errors import ConfigError


def cache(look: Look) -> Iterator[Finding]:
    """Each output's files are there; with --deep each is hashed."""
    try:
        stages = read_lock()["stages"] if DVC_LOCK.is_file() else {}
    except ConfigError:
        yield note("DVC's cache", f"can't be looked at before {DVC_LOCK} is mended")
        return
    seen, wrong = set(), []
    for stage, out in outputs(stages):
        files = named(out["md5"])
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


def folder() -> Path:
    """.dvc/cache, or what cache.dir of DVC's settings says."""
    parser = configparser.ConfigParser(interpolation=None)
    place = paths.home(Path.cwd()) / ".dvc"
    parser.read([place / "config", place / "config.local"])
    return place / parser.get("cache", "dir", fallback="cache").strip("'\"") / "files" / "md5"


def file_of(md5: str) -> Path:
    return folder() / md5[:2] / md5[2:]


def named(md5: str) -> dict[Path, str]:
    """The files of an output → their MD5; of a folder, its listing and what that lists."""
    files = {file_of(md5): md5.removesuffix(".dir")}
    if md5.endswith(".dir") and file_of(md5).is_file():
        try:
            listed = json.loads(file_of(md5).read_text(encoding="utf-8"))
        except ValueError:
            return {file_of(md5): "damaged"}
        files |= {file_of(entry["md5"]): entry["md5"] for entry in listed}
    return files


def faults(stage: str, path: str, files: dict[Path, str], deep: bool) -> Iterator[Finding]:
    missing = [file for file in files if not file.is_file()]
    again = f"dvc repro --force {stage}"
    if len(missing) == len(files) and not Path(path).exists():
        typed = f"dvc pull {path}   (or, without a remote: dvc repro)"
        yield note("DVC's cache", f"{path} is not on this machine", typed)
    elif missing:
        text = f"{path}: {len(missing)} of {len(files)} files are missing, so that DVC can't bring it back"
        yield problem("DVC's cache", text, f"dvc repro {stage}   (or, with a remote: dvc pull {path})")
    for file, wanted in files.items():
        if wanted == "damaged" or (deep and file not in missing and md5_of(file) != wanted):
            yield problem("DVC's cache", f"{path}: {file} is not what its name says", f"rm -f {file} && {again}")


def md5_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
