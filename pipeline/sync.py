"""ratchet sync: ship every journal that waits to the MLflow server of MLFLOW_TRACKING_URI."""

import argparse
import os
import sys
from typing import Any

from pipeline.project.errors import RegistryError
from pipeline.project.secrets import redact
from pipeline.tracking import family, journal, lines, mlflow_store, sync
from pipeline.tracking.lines import Line

SHOWN = 10  # of what a server refuses, for each run
PATIENCE = 20.0  # seconds that a background sync goes on trying after its run has ended


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ratchet sync", description=__doc__)
    parser.add_argument("--follow", metavar="RUN_ID", help="ship this run until it ends (what train starts by itself)")
    parser.add_argument("--family", metavar="RUN_ID", help="the same for a sweep and its trials")
    parser.add_argument("--starter", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.family:
        os.nice(19)
        family.follow(options.family, options.starter, PATIENCE)
        return 0
    if options.follow:
        os.nice(19)  # what training leaves of the cores is enough: at 10 an epoch of a CNN took a fifth longer
        sync.follow(options.follow, PATIENCE)
        return 0
    return ship_all()


def ship_all() -> int:
    runs = sync.run_ids()
    newer = {run_id: error for run_id in runs if (error := lines.refusal(run_id)) is not None}
    for run_id, error in newer.items():
        print(f"run {run_id[:12]}: {redact(str(error))}", file=sys.stderr)
    return max(int(bool(newer)), ship_runs([run_id for run_id in runs if run_id not in newer]))


def ship_runs(runs: list[str]) -> int:
    for run_id in runs:
        journal.close_if_dead(run_id)
    try:
        client = mlflow_store.client() if runs else None
        return int(not all([complete(client, run_id, count) for run_id, count in late(client, runs).items()]))
    except RegistryError:
        raise
    except Exception as error:
        if not any(map(sync.waiting, runs)):
            print(f"nothing waits: {len(runs)} runs were shipped; {mlflow_store.shown_uri()} can't be used now")
            return 0
        raise RegistryError(
            f"{mlflow_store.shown_uri()} did not take the journals: {type(error).__name__}: {str(error)[:300]}\n"
            f"Nothing is lost: they stay in .ratchet/journal.\n{mlflow_store.way_on(error, 'ratchet sync')}"
        ) from error


def late(client: Any, runs: list[str]) -> dict[str, int]:
    """What has to be shipped, and how much of it is told."""
    if gone := sync.emptied(client) if runs else []:
        print(f"{mlflow_store.shown_uri()} has nothing of {len(gone)} runs that were shipped to it: they are sent anew")
    for run_id in gone:
        sync.forget(run_id)
    counts = {run_id: sync.waiting(run_id) for run_id in runs}
    if not any(counts.values()):
        print(f"nothing waits: {len(runs)} runs are at {mlflow_store.shown_uri()}")
    return {run_id: count for run_id, count in counts.items() if count or sync.shipped(run_id)["creates"] > 1}


def complete(client: Any, run_id: str, count: int) -> bool:
    """Whether the whole run is at the server now; what is wrong with this one alone is said, and the others go on."""
    known = len(sync.unreadable(run_id))
    try:
        mlflow_id = sync.ship(client, run_id, again=True)
    except RegistryError as error:
        print(f"run {run_id[:12]}: {redact(str(error))}", file=sys.stderr)
        return False
    refused, lost, file = (
        sync.refused(run_id),
        len(sync.unreadable(run_id)) - known,
        sync.beside(run_id, "refused.jsonl"),
    )
    if count:
        print(f"run {run_id[:12]}: {count - len(refused) - lost} points and files → MLflow run {mlflow_id}")
    if lost:
        print(f"  lines of its journal that are damaged: {lost}; they are kept in {file}", file=sys.stderr)
    for line in refused[:SHOWN]:
        print(f"  refused: {line['kind']} {named(line)!r}: {line.get('refused')}", file=sys.stderr)
    if refused:
        print(f"  {len(refused)} refused, and kept in {file}\n  To try them again, type: ratchet sync", file=sys.stderr)
    return not refused


def named(line: Line) -> str | None:
    """The metric, setting, tag or file that a line of one value is about."""
    if line["kind"] == "metrics" or line["kind"] == "params" or line["kind"] == "tags":
        return next(iter(line["values"]), None)
    return line["name"] if line["kind"] == "artifact" or line["kind"] == "input" else None
