"""Rows 43 and 44: what was deleted in MLflow, a server that has nothing, and projects that lie elsewhere than before.

Row 43: even seeds stand on SQLite, odd ones on PostgreSQL, behind a server.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.faults.outages import database
from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from pipeline.registry import champion, ledger
from tests.conftest import lean
from tests.support import runs
from tests.support.registered import good
from tests.support.trackers import free_port, server

NAME = "mnist"
LITTLE = ["model.widths=[16]", "tracking.wait_seconds=30"]
OUTAGE = "server is back"


@cache
def made() -> tuple[tempfile.TemporaryDirectory, Path]:
    """A project with a champion in its own store; the folder goes with this process."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    project = prepared(Path(folder.name))
    for verb in (["compose", *LITTLE], ["train", "--locked"], ["evaluate", "--locked"], ["register", "--locked"]):
        good(project, *verb)
    good(project, "promote")
    return folder, project


def picture(project: Path) -> str:
    from PIL import Image

    Image.new("L", (28, 28)).save(project / "digit.png")
    return "digit.png"


def another(project: Path, seed: int, **env: str) -> None:
    """Another version, the challenger."""
    for verb in (["compose", f"seed={seed}", *LITTLE], ["train", "--locked"], ["evaluate", "--locked"]):
        good(project, *verb, **env)
    good(project, "register", "--locked", **env)


def delete_version(client: Any) -> None:
    client.delete_model_version(NAME, "2")


def delete_run(client: Any) -> None:
    client.delete_run(client.get_model_version(NAME, "2").run_id)


def delete_experiment(client: Any) -> None:
    client.delete_experiment(client.get_experiment_by_name(NAME).experiment_id)


def delete_model(client: Any) -> None:
    client.delete_registered_model(NAME)


def delete_alias(client: Any) -> None:
    client.delete_registered_model_alias(NAME, "champion")


def delete_challenger(client: Any) -> None:
    client.delete_model_version(NAME, "3")


# What is deleted → the last entry's action, and the champion by the ledger
DELETIONS: list[tuple[Callable[[Any], None], str, int | None]] = [
    (delete_version, "lost", 1),
    (delete_run, "note", 2),
    (delete_experiment, "note", 2),
    (delete_model, "lost", None),
    (delete_alias, "note", 2),
    (delete_challenger, "promote", 2),
]


def deleted(folder: Path, seed: int) -> None:
    """Two champions and a challenger at a server that had nothing; then MLflow's own client deletes."""
    delete, action, expected = DELETIONS[seed // 2 % len(DELETIONS)]
    project = shutil.copytree(made()[1], folder / "project")
    port = free_port()
    with database(seed) as store, server(folder / "server", port, store=store):
        there = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
        assert "so it was registered" in good(project, "promote", **there)
        client = runs.client(there["MLFLOW_TRACKING_URI"])
        another(project, 1, **there)
        champion.record(client, NAME, champion.state(client, NAME), "promote", 2, "", {})
        another(project, 2, **there)
        delete(client)
        seen = runs.called(project, "history", "--json", **there)
        told = json.loads(seen.stdout)
        assert (told["entries"][-1]["action"], told["champion"], told["broken"]) == (action, expected, None), seen
        assert action == "promote" or "warning" in seen.stderr, seen.stderr
        predicted = runs.called(project, "predict", picture(project), **there)
        assert (predicted.returncode == 0) == (expected is not None), predicted
        lineage = runs.called(project, "lineage", **there)
        assert (lineage.returncode == 0) == (expected is not None), lineage
        promoted = runs.called(project, "promote", **there)
        assert promoted.returncode in (0, 1), promoted  # decided, and not: could not
        for done in (seen, predicted, lineage, promoted):
            assert OUTAGE not in done.stderr, done.stderr
        chain = ledger.checked(client, NAME)
        assert chain.broken is None, chain.broken
        if delete is delete_alias and promoted.returncode == 1:  # refused: the alias is for people to put back
            good(project, "rollback", "--to", "2", **there)
            chain = ledger.checked(client, NAME)
        alias = client.get_registered_model(NAME).aliases.get("champion")
        assert (alias and int(alias)) == chain.champion, (alias, chain.champion)


def ratchet(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as MLflow's client keeps what it once read."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=project, env=lean(), capture_output=True, text=True, timeout=600)


PLACES = ["elsewhere", "mein Projekt é", "数据 (1)"]


def lies_elsewhere(folder: Path, seed: int) -> None:
    """Moved (even seeds) or copied (odd ones): it goes on in the new place, and the old one is left alone."""
    copied, name = seed % 2 == 1, PLACES[seed // 2 % len(PLACES)]
    old = shutil.copytree(made()[1], folder / "old")
    assert ratchet(old, "sync").returncode == 0
    before = files(old)
    new = shutil.copytree(old, folder / name) if copied else old.rename(folder / name)
    told = ratchet(new, "doctor")
    assert f"runs name {old}" in told.stdout, told.stdout
    for verb in (["predict", picture(new)], ["promote"], ["reproduce"], ["train", "seed=5", *LITTLE], ["evaluate"]):
        done = ratchet(new, *verb)
        assert done.returncode == 0, f"{verb}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    done = ratchet(new, "register", "seed=5", *LITTLE)
    assert done.returncode == 0, done.stderr
    done = ratchet(new, "promote")
    assert done.returncode in (0, 1), done.stderr
    assert "runs name" not in ratchet(new, "doctor").stdout
    assert files(old) == (before if copied else {})


def files(project: Path) -> dict[str, int]:
    found = (file for file in project.rglob("*") if file.is_file() and file.suffix not in (".lock", ".pyc"))
    return {str(file): file.stat().st_mtime_ns for file in found}


ROWS = [
    Row(
        43,
        "the champion's version, run, experiment, model or alias is deleted; the server is another",
        "said, recorded, goes on",
        2 * len(DELETIONS),
        deleted,
    ),
    Row(
        44,
        "the project is moved or copied, also to a path with spaces and other letters",
        "goes on there; the old place is left alone",
        2 * len(PLACES),
        lies_elsewhere,
    ),
]
