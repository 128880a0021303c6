"""A run: begun, found again or already finished; its folder, its journal, its true status."""

import json
import threading
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from filelock import FileLock, Timeout

import pipeline
from pipeline.config.checking import flatten
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.files import digest, read_json, sha256, write_json
from pipeline.tracking import journal as journals
from pipeline.tracking import lineage
from pipeline.tracking.journal import Journal
from pipeline.training.checkpoint import Interrupted, verified

FINISHED = "finished.json"
CONTEXTS = {"train": "training", "val": "validation", "test": "testing"}


def folder(config: Config, spec: dict[str, Any], suffix: str = "") -> Path:
    """Checkpoints lie outside DVC's outputs, which DVC deletes; the same settings on the same data share a folder."""
    return paths.state("checkpoints", f"{config.hash[:16]}-{spec['fingerprint'][:16]}{suffix}")


def made_by(config: Config) -> dict[str, str]:
    """The code and packages that decide the bytes, and the grain of a checkpoint; what others made is not resumed."""
    root = Path(pipeline.__file__).parent
    sources = sorted(file for name in ("models", "training") for file in (root / name).glob("*.py"))
    code = digest({f"{file.parent.name}/{file.name}": sha256(file) for file in sources})
    return {
        "code": code,
        "torch": torch.__version__,
        "lightning": pl.__version__,
        "block": str(config.trainer.steps_per_block),
    }


@contextmanager
def claimed(place: Path) -> Iterator[None]:
    """One process at a time trains the same settings on the same data."""
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process trains these very settings; waiting for its result", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def begin(place: Path, config: Config, fresh: bool) -> str:
    """The id of the run that `place` belongs to; a new run if none fits or a fresh start is asked for."""
    file = place / "run.json"
    run = read_json(file, "train") if file.is_file() else None
    if run and not fresh and run["made_by"] == made_by(config) and journals.folder(run["run_id"]).is_dir():
        return run["run_id"]
    if run and not fresh:
        print("what was trained here was made by other code or packages; starting anew", flush=True)
    for old in place.iterdir():
        old.unlink()
    run = {"run_id": uuid.uuid4().hex, "made_by": made_by(config)}
    write_json(file, run)
    return run["run_id"]


def finished(place: Path) -> dict[str, Any] | None:
    """The result of a training that came to its end here, if its weights are still whole."""
    file = place / FINISHED
    if not file.is_file():
        return None
    result = read_json(file, "train")
    weights = place / result["best"]["file"]
    return result if weights.is_file() and verified(weights) else None


def finish(place: Path, result: dict[str, Any]) -> None:
    """Keeps the result and its weights; what only a resume would need goes."""
    write_json(place / FINISHED, result)
    for file in place.iterdir():
        if file.name not in (FINISHED, "run.json", result["best"]["file"]):
            file.unlink()


@contextmanager
def journalled(journal: Journal, config: Config) -> Iterator[None]:
    """RUNNING inside, then FINISHED, KILLED or FAILED with the reason; system metrics meanwhile."""
    journal.status("RUNNING")
    stop = threading.Event()
    every = config.tracking.system_metrics_seconds
    sampler = threading.Thread(target=journals.sample_system, args=(journal, every, stop), daemon=True)
    sampler.start()
    try:
        yield
    except Interrupted as signal:
        journal.status("KILLED", f"{signal}; the same command goes on from its checkpoint")
        raise
    except BaseException as error:
        journal.text(traceback.format_exc(), "failure.txt")
        journal.status("FAILED", f"{type(error).__name__}: {error}")
        raise
    else:
        journal.status("FINISHED", "trained to its end")
    finally:
        stop.set()
        sampler.join()


def describe(journal: Journal, config: Config, spec: dict[str, Any], data: Path) -> None:
    """Settings, lineage and data: what answers 'which data and settings made this?'."""
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
            "threads": str(torch.get_num_threads()),
            **lineage.commit(),
            **lineage.dvc_sums(),
            **lineage.packages(),
        }
    )
    for split, context in CONTEXTS.items():
        about = spec["splits"][split]
        journal.input(context, f"{spec['data']}-{split}", about["sha256"], str(data), about)
