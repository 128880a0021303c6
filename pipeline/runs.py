"""ratchet runs [--study NAME] [--last N] [--all] [--json]: the newest runs, with status, time and best value.

What is read is the journals of this repository, so MLflow need not answer. `ratchet compare RUN RUN` sets runs side by
side; `dvc exp show` lists what DVC ran; `ratchet ui` opens MLflow, which has the curves too.
"""

import argparse
import dataclasses
import sys
import time
from typing import Any

from pipeline.project.errors import DataError
from pipeline.project.secrets import redact
from pipeline.project.tables import duration, number, table
from pipeline.tracking.recorded import Recorded, as_json, looked_at, read, state

NEWEST = 20


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "ratchet runs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", metavar="NAME", help="only the trials of this sweep, and the sweep itself")
    parser.add_argument("--last", metavar="N", type=int, default=NEWEST, help=f"so many; default: {NEWEST}")
    parser.add_argument("--all", action="store_true", help="however many there are")
    parser.add_argument("--json", action="store_true", help="for scripts: a list of runs")
    options = parser.parse_args(arguments)

    every, newer = looked_at()
    known = of_study(options.study, every) if options.study else every
    shown = [read(run) for run in (known if options.all else known[: max(0, options.last)])]
    if options.json:
        print(as_json([described(run) for run in shown]))
    elif known:
        print(table([("run", "name", "status", "began", "took", "best", "part of"), *map(row, shown)]))
        if len(shown) < len(known):
            study = f" --study {options.study}" if options.study else ""
            print(f"{len(shown)} of {len(known)} runs, the newest. For the others, type: ratchet runs{study} --all")
    else:
        print("no run has a journal yet.\nType: dvc repro   (or: ratchet train)")
    for error in newer:
        print(f"ratchet runs: error: {redact(str(error))}", file=sys.stderr)
    return int(bool(newer))


def of_study(name: str, every: list[Recorded]) -> list[Recorded]:
    """Its trials' runs and the one that is their parent; DataError names the studies that there are."""
    told = [read(run) for run in every]
    parents = {run.parent for run in told if run.tags.get("sweep.study") == name}
    runs = [run for run in told if run.run_id in parents or run.tags.get("sweep.study") == name]
    if not runs:
        studies = sorted({run.tags["sweep.study"] for run in told if "sweep.study" in run.tags})
        raise DataError(f"no run here is of the study {name!r}; the studies are {', '.join(studies) or '(none)'}")
    return runs


def row(run: Recorded) -> tuple[str, ...]:
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.start / 1000))
    best = "" if run.best is None else f"{run.monitor} {number(run.best)}"
    return run.short, run.name, state(run), began, duration(run.seconds), best, part_of(run)


def part_of(run: Recorded) -> str:
    if "sweep.trial" in run.tags:
        return f"{run.tags.get('sweep.study', 'a study')}, trial {run.tags['sweep.trial']}"
    return "" if run.parent is None else run.parent[:12]


def described(run: Recorded) -> dict[str, Any]:
    told = {key: value for key, value in dataclasses.asdict(run).items() if key != "epochs"}
    return told | {"status": state(run), "best": run.best, "metrics": run.metrics}
