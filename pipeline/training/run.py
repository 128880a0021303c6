"""A run: begun, found again or already finished; its folder, its journal, its true status."""

import json
import shlex
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from pipeline.config.checking import flatten
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.code import stage_digest
from pipeline.project.errors import DataError, TrainingError
from pipeline.project.files import FULL, free, read_json, require_writable, unwritable, write_json
from pipeline.tracking import lines as journals
from pipeline.tracking import revision
from pipeline.tracking.journal import Journal
from pipeline.training import launch
from pipeline.training.failures import explained, stoppable
from pipeline.training.files import verified
from pipeline.training.stops import Interrupted, Pruned

FINISHED = "finished.json"
RESERVE = 1 << 16  # bytes that a full disk leaves for the traceback and the status of a run
TO_ITS_END = "trained to its end"
CONTEXTS = {"train": "training", "val": "validation", "test": "testing"}


def folder(config: Config, spec: dict[str, Any], suffix: str = "") -> Path:
    """Checkpoints lie outside DVC's outputs, which DVC deletes; the same settings on the same data share a folder."""
    return paths.state("checkpoints", f"{config.hash[:16]}-{spec['fingerprint'][:16]}{suffix}")


def made_by(config: Config) -> dict[str, str]:
    """The code and packages that decide the bytes, and the grain of a checkpoint; what others made is not resumed."""
    return {
        "code": stage_digest("train", config.components),
        "torch": torch.__version__,
        "lightning": version("pytorch-lightning"),
        "block": str(config.trainer.steps_per_block),
    }


@contextmanager
def claimed(place: Path) -> Iterator[None]:
    """One process at a time trains the same settings on the same data; DiskError where its output can't be written."""
    require_writable(place, paths.state("journal"), paths.BUNDLE)
    lock = FileLock(place.with_suffix(".lock"))
    try:
        place.mkdir(parents=True, exist_ok=True)
        acquire(lock)
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise unwritable(Path(error.filename).parent if error.filename else place, error.errno) from error
    finally:
        lock.release()


def acquire(lock: FileLock) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process trains these very settings; waiting for its result", flush=True)
        lock.acquire()


def begin(place: Path, config: Config, fresh: bool, new_id: str | None = None) -> str:
    """The id of the run that `place` belongs to; a new run if none fits or a fresh start is asked for.

    `new_id`: what a new run is called, unless a run is called so already.
    """
    file = place / "run.json"
    run = kept(file) if file.is_file() else None
    if run and not fresh and run["made_by"] == made_by(config) and journals.folder(run["run_id"]).is_dir():
        for left in place.glob(".*.tmp"):  # by a save that was killed
            left.unlink()
        return run["run_id"]
    if run and not fresh:
        print("what was trained here was made by other code or packages; starting anew", flush=True)
    for old in place.iterdir():
        old.unlink()
    taken = new_id is None or journals.folder(new_id).is_dir()
    run = {"run_id": uuid.uuid4().hex if taken else new_id, "made_by": made_by(config)}
    write_json(file, run)
    return run["run_id"]


def kept(file: Path) -> dict[str, Any]:
    """What was written beside checkpoints; one that can't be read stops, for nothing here is thrown away unasked."""
    try:
        return read_json(file, "train")
    except DataError:
        place, aside = file.parent, free(file.parent.with_name(f"{file.parent.name}.damaged"))
        typed = f"{shlex.join(['mv', str(place), str(aside)])}   (these settings are then trained anew)"
        raise DataError(f"{file} is damaged.\nType: {typed}") from None


def finished(place: Path) -> dict[str, Any] | None:
    """The result of a training that came to its end here, if its weights are still whole; its run then says so too."""
    file = place / FINISHED
    if not file.is_file():
        return None
    result = kept(file)
    weights = place / result["best"]["file"]
    if not weights.is_file() or not verified(weights):
        return None
    if journals.status(result["run_id"]) != "FINISHED":  # a kill came between the two
        with Journal(result["run_id"]) as journal:
            journal.status("FINISHED", TO_ITS_END)
    return result


def finish(place: Path, result: dict[str, Any]) -> None:
    """Keeps the result and its weights; what only a resume would need goes."""
    if not verified(place / result["best"]["file"]):
        raise TrainingError(
            f"{place / result['best']['file']} is damaged: its SHA-256 is not the one in its name.\n"
            "Type the same command again: it goes on from before these weights"
        )
    write_json(place / FINISHED, result)
    for file in place.iterdir():
        if file.name not in (FINISHED, "run.json", result["best"]["file"]):
            file.unlink()


@contextmanager
def journalled(journal: Journal, config: Config) -> Iterator[None]:
    """RUNNING inside, then FINISHED, KILLED or FAILED, with the reason, and the traceback as failure.txt."""
    reserve = journal.folder / "reserve"
    reserve.write_bytes(bytes(RESERVE))
    journal.status("RUNNING")
    try:
        with stoppable():
            yield
    except Interrupted as signal:
        reserve.unlink(missing_ok=True)
        journal.status("KILLED", f"{signal}; the same command goes on from its checkpoint")
        raise
    except Pruned as stop:
        journal.status("KILLED", str(stop))
        raise
    except BaseException as error:
        reserve.unlink(missing_ok=True)
        failure = explained(error, config, journal.folder)
        journal.text(traceback.format_exc(), "failure.txt")
        journal.status("FAILED", f"{type(failure).__name__}: {failure}")
        if failure is error:
            raise
        raise failure from error
    else:
        journal.status("FINISHED", TO_ITS_END)
    finally:
        reserve.unlink(missing_ok=True)


def describe(journal: Journal, config: Config, spec: dict[str, Any], data: Path, told: bool = False) -> None:
    """Settings, lineage and data: what answers 'which data and settings made this?'.

    `told`: its parent said already what git does not tell.
    """
    code = revision.commit()
    if not told:
        revision.tell_no_commit(code)
    settings = config.model_dump(mode="json")
    journal.params({key: value for key, value in flatten(settings) if not key.startswith("data.source.")})
    journal.text(yaml.safe_dump(settings, sort_keys=True, allow_unicode=True), "config.yaml")
    journal.text(json.dumps(spec, indent=2, sort_keys=True), "data.json")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() and config.trainer.name != "cpu" else "cpu"
    journal.tags(
        {
            "scenario": config.scenario,
            "config.hash": config.hash,
            "data.fingerprint": spec["fingerprint"],
            "seed": str(config.seed),
            "device": device,
            **launch.tags(config),
            "threads": str(config.trainer.threads or torch.get_num_threads()),
            **code,
            **revision.dvc_sums(),
            **revision.packages(),
        }
    )
    for split, context in CONTEXTS.items():
        about = spec["splits"][split]
        journal.input(context, f"{spec['data']}-{split}", about["sha256"], str(data), about)
