"""Runs as their journals tell of them: found, listed and read back, without MLflow."""

import difflib
import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from pipeline.project.errors import DataError
from pipeline.tasks.metrics import sign
from pipeline.tracking.journal import close_if_dead
from pipeline.tracking.lines import MetricsLine, StatusLine, beginning, folder, lines, refusal, run_ids

SHORT = 12  # characters of a run's id that are shown
FEWEST = 4  # of them that name it
# Points of single steps, of the machine, and of others: they say nothing of a run as a whole
APART = ("train/", "time/", "baseline/", "system/")


@dataclass
class Recorded:
    run_id: str
    name: str
    experiment: str
    parent: str | None
    start: int  # milliseconds since 1970
    status: str = "RUNNING"
    reason: str = ""
    seconds: float = 0.0  # while it was running, all its resumptions together
    tags: dict[str, str] = field(default_factory=dict)
    monitor: str | None = None
    epochs: dict[str, dict[int, float]] = field(default_factory=dict)  # metric → step → value

    @property
    def short(self) -> str:
        return self.run_id[:SHORT]

    @property
    def best_step(self) -> int | None:
        """Of the first epoch that no other is better than."""
        way = sign(self.monitor or "")
        scores = self.epochs.get(self.monitor or "", {}).items()
        found = [(way * value, -step) for step, value in scores if not math.isnan(value)]
        return -max(found)[1] if found else None

    @property
    def best_epoch(self) -> int | None:
        """Counted from 1 on."""
        return None if self.best_step is None else sorted(self.epochs[self.monitor or ""]).index(self.best_step) + 1

    @property
    def best(self) -> float | None:
        return None if self.best_step is None else self.epochs[self.monitor or ""][self.best_step]

    @property
    def metrics(self) -> dict[str, float]:
        """Validation at the best epoch, and the last of all others; none of single classes, steps and the machine."""
        found = {}
        for name, values in self.epochs.items():
            step = self.best_step if name.startswith("val/") else max(values)
            if step in values:
                found[name] = values[step]
        return found

    def settings(self) -> dict[str, Any] | None:
        """Its whole resolved config, or None where the journal does not hold it."""
        file = folder(self.run_id) / "artifacts" / "config.yaml"
        if not file.is_file():
            return None
        try:
            settings: dict[str, Any] | None = yaml.load(
                file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            )
            return settings
        except yaml.YAMLError as error:
            raise DataError(f"{file} is damaged: {error}.\nType: ratchet train --fresh   (of its settings)") from None


def begun() -> list[Recorded]:
    """Every run that has a journal, the newest first: what its first line says."""
    return looked_at()[0]


def looked_at() -> tuple[list[Recorded], list[DataError]]:
    """The same, and what is to be said of each journal that only another version of Ratchet can read."""
    found, newer = [], []
    for run_id in run_ids():
        try:
            line = beginning(run_id)
        except DataError as error:
            newer.append(error)
            continue
        if line is not None:  # else it was killed before its first line: `ratchet doctor` says so
            found.append(Recorded(run_id, line["name"], line["experiment"], line.get("parent"), line["time"]))
    return sorted(found, key=lambda run: run.start, reverse=True), sorted(newer, key=str)


def read(run: Recorded) -> Recorded:
    """The same run with all that its journal tells; one whose process is gone is closed first."""
    told = follow(run)
    if told.status == "RUNNING":
        close_if_dead(run.run_id)
        told = follow(run)
    return told


def follow(run: Recorded) -> Recorded:
    told = Recorded(run.run_id, run.name, run.experiment, run.parent, run.start)
    running: int | None = None  # since when
    points: MetricsLine | None = None  # the latest of them
    for line, _ in lines(run.run_id):
        if line["kind"] == "status":
            running = clocked(told, line, running, points)
        elif line["kind"] == "metrics":
            points = line
            for name, value in line["values"].items():
                if of_the_whole(name):
                    told.epochs.setdefault(name, {})[line["step"]] = value
        elif line["kind"] == "tags":
            told.tags |= line["values"]
        elif line["kind"] == "params":
            told.monitor = line["values"].get("training.monitor", told.monitor)
    if running is not None:
        told.seconds += time.time() - running / 1000
    return told


def clocked(told: Recorded, line: StatusLine, running: int | None, points: MetricsLine | None) -> int | None:
    """Notes a status and the time until it; returns since when the run is running."""
    told.status, told.reason = line["value"], line["reason"]
    if line["value"] == "RUNNING":
        return running or line["time"]
    if running is not None:
        end = line["time"]
        if line["value"] == "KILLED" and points:  # it may have been noticed long after
            end = max(running, points["time"])
        told.seconds += max(0, end - running) / 1000
    return None


@cache
def of_the_whole(name: str) -> bool:
    """Whether a metric says something of a run as a whole; most points are of single steps."""
    return not name.startswith(APART) and (name.count("/") < 2 or name[:3] == "cv/")


def state(run: Recorded) -> str:
    """Its status, but PRUNED for a trial that its sweep stopped."""
    return "PRUNED" if run.tags.get("sweep.state") == "PRUNED" else run.status


def found(given: str, runs: Iterable[Recorded]) -> Recorded:
    """The run of an id, of the beginning of one, or of a name; DataError that lists what there is."""
    runs = list(runs)
    same = [run for run in runs if run.name == given]
    if len(given) >= FEWEST:
        same += [run for run in runs if run.run_id.startswith(given)]
    if len(same) == 1:
        return same[0]
    if not same and len(given) >= FEWEST:
        for run_id in run_ids():
            if run_id.startswith(given) and (newer := refusal(run_id)) is not None:
                raise newer
    if same:
        several = "\n".join(f"  {run.short}  {run.name}" for run in same[:20])
        raise DataError(f"{given!r} names {len(same)} runs; give the id of one:\n{several}")
    known = [word for run in runs for word in (run.name, run.short)]
    near = difflib.get_close_matches(given, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    newest = ", ".join(f"{run.short} ({run.name})" for run in runs[:3]) or "none"
    raise DataError(
        f"no run {given!r} has a journal here; {len(runs)} have, the newest are {newest}.{hint}\n"
        f"A run is named by its id, {FEWEST} or more characters of it, or its name. Type: ratchet runs --all"
    )


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
