"""A project with tiny real data for each attempt, made once and copied."""

import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.conftest import REPOSITORY, clone, lean


@cache
def made() -> tuple[tempfile.TemporaryDirectory, Path]:
    """The folder that goes with this process, and the project in it."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    project = bare(Path(folder.name))
    for verb in ("download", "preprocess"):
        subprocess.run(
            [sys.executable, "-m", "pipeline", verb], cwd=project, env=lean(), check=True, capture_output=True
        )
    make = f"import mlflow; mlflow.MlflowClient('sqlite:///{project}/mlflow.db').search_experiments()"
    subprocess.run([sys.executable, "-c", make], env=lean(), check=True, capture_output=True)
    return folder, project


def bare(folder: Path) -> Path:
    """One in `folder` without data, as a clone is."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, env=lean(), capture_output=True, text=True, check=True).stdout
    return clone(folder / "project", sorted({name for name in listed.split("\0") if name}))


def run(arguments: list[str], project: Path) -> None:
    subprocess.run([sys.executable, *arguments], cwd=project, env=lean(), check=True, capture_output=True)


def prepared(folder: Path, name: str = "project") -> Path:
    """A copy in `folder`, with data/processed and an empty MLflow database."""
    return shutil.copytree(made()[1], folder / name)
