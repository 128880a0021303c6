"""What the project keeps: prepared data, bundle, folds, checkpoints, and what killed processes left behind."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.diagnosis.finding import Finding, Look, held, note, ok, problem, refused, size
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import digest, quoted, read_json, sha256
from pipeline.store import processed
from pipeline.tracking import journal

WEIGHTS, DESCRIPTION = "weights.safetensors", "bundle.json"  # as in models/bundle.py, which imports torch
SHOWN = 8  # paths in one line to type
TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")  # of files.write_atomically: the process's id


def processed_data(look: Look) -> Iterator[Finding]:
    if not paths.PROCESSED.is_dir():
        yield note(str(paths.PROCESSED), "is not here yet", "dvc repro preprocess")
        return
    try:
        fingerprint = verified(paths.PROCESSED, look)
    except DataError as error:
        yield refused(str(paths.PROCESSED), error, "dvc repro --force preprocess")
    else:
        yield ok(str(paths.PROCESSED), f"data fingerprint {fingerprint[:12]}")


def verified(folder: Path, look: Look) -> str:
    """The fingerprint of a folder that preprocess wrote; DataError if any of its files is not what it was."""
    spec = processed.load_spec(folder)
    sums = {processed.ENCODER: spec["encoder_sha256"], **spec["files"]}
    sums |= {processed.tensors(name): split["sha256"] for name, split in spec["splits"].items()}
    for name, wanted in sums.items():
        if look.may_hash(folder / name):
            processed.verify(folder / name, wanted)
    return spec["fingerprint"]


def folds(look: Look) -> Iterator[Finding]:
    """Prepared for a cross-validation, and made anew when they are missing."""
    whole = 0
    for spec in sorted(paths.state("folds").glob("*/*/spec.json")):
        try:
            verified(spec.parent, look)
            whole += 1
        except DataError as error:
            text = str(error).partition("\n")[0]
            yield problem("folds", text, f"rm -r {quoted(spec.parent)}   (the next cross-validation prepares it anew)")
    if whole:
        yield ok("folds", f"{whole} prepared folds")


def bundle(look: Look) -> Iterator[Finding]:
    if not paths.BUNDLE.is_dir():
        yield note(str(paths.BUNDLE), "is not here yet", "dvc repro")
        return
    try:
        description = read_json(paths.BUNDLE / DESCRIPTION, "train")
        run = read_json(paths.RUN, "train")
    except DataError as error:
        yield refused(str(paths.BUNDLE), error, "dvc repro --force train")
        return
    weights = paths.BUNDLE / WEIGHTS
    if digest(description) != run["bundle_digest"]:
        yield altered(f"{DESCRIPTION} is not the one that {paths.RUN} names")
    elif not weights.is_file():
        yield altered(f"{WEIGHTS} is missing")
    elif look.may_hash(weights) and (given := sha256(weights)) != description["weights_sha256"]:
        yield altered(f"{WEIGHTS} has SHA-256 {given}, but {DESCRIPTION} says {description['weights_sha256']}")
    else:
        yield ok(str(paths.BUNDLE), f"of run {run['run_id'][:12]}, digest {run['bundle_digest'][:12]}")


def altered(text: str) -> Finding:
    back = f"rm -r {paths.BUNDLE} && dvc checkout --force {paths.BUNDLE}   (brings back what DVC's cache holds)"
    return problem(str(paths.BUNDLE), text, f"{back}\nor, if that is damaged too: dvc repro --force train")


def checkpoints(look: Look) -> Iterator[Finding]:
    """Their names carry their digests. Those of a training that goes on now are left to it."""
    whole, bytes_ = 0, 0
    for place in idle_places():
        files = sorted([*place.glob("[0-9]*-*.ckpt"), *place.glob("[0-9]*-*.safetensors")])
        for file in files:
            if look.may_hash(file) and file.stem.partition("-")[2] != sha256(file):
                yield damaged(file)
            else:
                whole, bytes_ = whole + 1, bytes_ + file.stat().st_size
    yield ok("checkpoints", f"{whole} files, {size(bytes_)}")


def idle_places() -> list[Path]:
    places = [place for place in sorted(paths.state("checkpoints").glob("*")) if place.is_dir()]
    return [place for place in places if not held(place.with_suffix(".lock"))]


def damaged(file: Path) -> Finding:
    shown = f"{file.parent.name}/{file.name[:16]}…{file.suffix}"
    if file.suffix == ".ckpt":
        older = [other for other in file.parent.glob("[0-9]*-*.ckpt") if other.name < file.name]
        then = "falls back by one" if older else "starts from its beginning"
        return problem("checkpoints", f"{shown} is damaged: training {then}", f"rm {quoted(file)}")
    finished = (file.parent / "finished.json").is_file()
    then = "these settings are trained anew" if finished else "training goes back to a checkpoint from before it"
    typed = f"rm -r {quoted(file.parent)}   (or train these settings again, which mends it)"
    if not finished:  # its checkpoints are worth hours, and need these weights or those before
        typed = f"ratchet train   (with the settings of run {run_of(file.parent)}: it mends this)"
    return problem("checkpoints", f"{shown} is damaged: {then}", typed)


def run_of(place: Path) -> str:
    try:
        return read_json(place / "run.json", "train")["run_id"][:12]
    except DataError:
        return place.name


def leftovers(look: Look) -> Iterator[Finding]:
    found = sorted({*temporary(), *scratch(), *unfinished(), *reserves()})
    if not found:
        yield ok("leftovers", "none")
        return
    taken = sum(file.stat().st_size for one in found for file in (one, *one.rglob("*")) if file.is_file())
    typed = f"rm -r {shlex.join(map(str, found[:SHOWN]))}"
    more = "   (and then for the others: ratchet doctor)" if len(found) > SHOWN else ""
    kinds = "what killed processes left" if len(found) > 1 else "what a killed process left"
    yield note("leftovers", f"{kinds}: {len(found)}, {size(taken)}", typed + more)


def temporary() -> Iterator[Path]:
    """Files of atomic writes whose process is gone."""
    folders = (paths.state(), *(Path(name) for name in ("data", "models", "reports")))
    for file in (*Path().glob(".*.tmp"), *(file for folder in folders for file in folder.rglob(".*.tmp"))):
        matched = TEMPORARY.fullmatch(file.name)
        if matched and not psutil.pid_exists(int(matched[1])):
            yield file


def scratch() -> Iterator[Path]:
    for folder in paths.state("scratch").glob("[0-9]*"):
        if not psutil.pid_exists(int(folder.name)):
            yield folder


def unfinished() -> Iterator[Path]:
    """Preparations that were on their way to replace data/processed, or a fold's."""
    for folder in (paths.PROCESSED, *paths.state("folds").glob("*/[0-9]*")):
        if not held(folder.with_name(f".{folder.name}.lock")):
            left = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
            yield from (one for one in left if one.is_dir())


def reserves() -> Iterator[Path]:
    """What a training keeps free on the disk for the end of its journal."""
    for file in paths.state("journal").glob("*/reserve"):
        if not held(file.with_name(journal.WRITER)):
            yield file


def unhashed(look: Look) -> Iterator[Finding]:
    if look.left:
        text = f"{len(look.left)} files, {size(sum(look.left))}, were not hashed: that takes longer"
        yield note("not looked at", text, "ratchet doctor --deep")
