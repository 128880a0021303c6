"""A project with a champion, made by the verbs in this process; what DVC would keep is in its cache."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import lean
from tests.support import runs

STAGES = ["compose", "download", "feedback", "preprocess", "train", "evaluate"]


def good(project: Path, *arguments: str, **env: str) -> str:
    done = runs.called(project, *arguments, **env)
    assert done.returncode == 0, f"{arguments}: {done.stderr}\n{done.stdout}"
    return done.stdout


def register(project: Path, *overrides: str, **env: str) -> int:
    """Trains with `overrides`, which params.yaml does not hold, scores, keeps, registers; returns the version."""
    good(project, "compose", *overrides)
    good(project, "train", "--locked", **env)
    return scored(project, **env)


def scored(project: Path, **env: str) -> int:
    good(project, "evaluate", "--locked", **env)
    dvc(project, "commit", "--quiet", "--force", *STAGES)
    said = good(project, "register", "--locked", **env)
    version = int(said.partition(" version ")[2].split()[0])
    client = runs.client(env.get("MLFLOW_TRACKING_URI", runs.store(project)))
    client.set_registered_model_alias("mnist", "champion", str(version))
    return version


def dvc(project: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=project, env=lean(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def git(project: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=project, env=lean(), capture_output=True, text=True, check=True).stdout.strip()
