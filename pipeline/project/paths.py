"""Where things lie: the project's root, its home, and the folders beneath them."""

import os
from pathlib import Path

from pipeline.project.errors import RatchetError

PARAMS = Path("params.yaml")
LOCK = Path("params.lock.yaml")
CONF = Path("conf")
RAW = Path("data/raw")
RAW_AGAIN = f"mv {RAW} {RAW}.altered && dvc repro download"  # DVC would remove what was altered, and all beside it
FEEDBACK = Path("data/feedback")
PROCESSED = Path("data/processed")
BUNDLE = Path("models/bundle")
RUN = Path("models/run.json")
REPORTS = Path("reports")
REGISTERED = REPORTS / "version.json"

start = Path.cwd()  # where the command was typed; verbs run in the project's root


def scratch() -> Path:
    """A folder for what is on its way, this process's own."""
    folder = state("scratch", str(os.getpid()))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def typed(path: str | Path) -> Path:
    """A path as the user typed it, seen from the folder where the command was typed."""
    return (start / Path(path).expanduser()).resolve()


def root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: here) that holds dvc.yaml and conf/."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file() and (folder / CONF).is_dir():
            return folder
    raise RatchetError(
        f"no Ratchet project at {start} or above it (a project holds dvc.yaml and conf/).\n"
        "Go into your clone first: cd PATH/TO/CLONE"
    )


def home(project: Path) -> Path:
    """The repository that owns `project`'s state.

    `dvc exp run --temp` and `--queue` work in throw-away copies under .dvc/tmp/exps; journals, checkpoints and
    the default MLflow store must outlive them.
    """
    for folder in project.parents:
        if folder.name == "exps" and folder.parent.parts[-2:] == (".dvc", "tmp"):
            return folder.parent.parent.parent
    return project


def state(*parts: str) -> Path:
    """A path under the home's .ratchet/ folder; verbs run in the project's root."""
    return home(Path.cwd()).joinpath(".ratchet", *parts)
