"""ratchet sync: ship every journal that waits to the MLflow server of MLFLOW_TRACKING_URI."""

import argparse
import os

from pipeline.project.errors import RegistryError
from pipeline.tracking import journal, mlflow_store, sync

PATIENCE = 20.0  # seconds that a background sync goes on trying after its run has ended


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ratchet sync", description=__doc__)
    parser.add_argument("--follow", metavar="RUN_ID", help="ship this run until it ends (what train starts by itself)")
    options = parser.parse_args(arguments)
    if options.follow:
        os.nice(19)  # what training leaves of the cores is enough
        sync.follow(options.follow, PATIENCE)
        return 0
    return ship_all()


def ship_all() -> int:
    runs = sync.run_ids()
    for run_id in runs:
        journal.close_if_dead(run_id)
    late = {run_id: count for run_id in runs if (count := sync.waiting(run_id))}
    if not late:
        print(f"nothing waits: {len(runs)} runs are at {mlflow_store.shown_uri()}")
        return 0
    try:
        client = mlflow_store.client()
        for run_id, count in late.items():
            print(f"run {run_id[:12]}: {count} points and files → MLflow run {sync.ship(client, run_id)}")
    except Exception as error:
        raise RegistryError(
            f"{mlflow_store.shown_uri()} did not take the journals: {type(error).__name__}: {str(error)[:300]}\n"
            "Nothing is lost: they stay in .ratchet/journal. When the server is back, type: ratchet sync"
        ) from error
    return 0
