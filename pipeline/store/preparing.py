"""From data/raw to data/processed, or to the folder of one fold of a cross-validation."""

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

import psutil

from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.store import labels, processed
from pipeline.store.splits import Fold, accounted, faults
from pipeline.tasks import task as tasks


def prepare(config: Config, fold: Fold | None = None, folder: Path = paths.PROCESSED) -> dict[str, Any]:
    """Writes what pipeline/datasets/KIND.py makes of the raw data; returns its spec."""
    kind = importlib.import_module(f"pipeline.datasets.{config.data.kind}")
    try:
        prepared = kind.prepare(paths.RAW, config, fold)
        if config.labels:
            prepared = labels.joined(prepared, config.labels, paths.scratch())
        about = {
            "data": config.data.name,
            "kind": prepared.encoder["kind"],
            "task": prepared.encoder["task"],
            "inputs": {"shape": prepared.encoder["shape"], "dtype": prepared.encoder["dtype"]},
            "classes": prepared.encoder["labels"] if tasks.of(prepared.encoder).classes else [],
            "counts": accounted(prepared),
            "statistics": prepared.statistics,
            "examples": prepared.examples,
        }
        if found := faults(prepared.splits):
            about["faults"] = found
        if prepared.feedback:
            about["feedback"] = prepared.feedback
        return processed.write(prepared, about, folder)
    finally:
        clear_scratch()


def clear_scratch() -> None:
    """Removes this process's scratch folder, and those of processes that were killed."""
    for folder in paths.state("scratch").glob("*"):
        if folder.name == str(os.getpid()) or not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
