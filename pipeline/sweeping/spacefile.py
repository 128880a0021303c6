"""A conditional space: a Python file with `space(trial)`, which asks an Optuna trial and returns settings."""

import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.trial import Trial
from sqlalchemy.exc import SQLAlchemyError

from pipeline.project.errors import ConfigError
from pipeline.project.files import sha256

EXAMPLE = """def space(trial):
    name = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    settings = {"optimizer": name, "optimizer.lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True)}
    if name == "sgd":
        settings["optimizer.momentum"] = trial.suggest_float("momentum", 0.5, 0.99)
    return settings"""


@cache
def load(path: str) -> Callable[[Trial], dict[str, Any]]:
    """The file's function `space`; ConfigError says what the file must hold."""
    if not Path(path).is_file():
        raise ConfigError(f"sweep.space_file={path}: there is no such file. It holds, for example:\n{EXAMPLE}")
    try:
        found = runpy.run_path(path).get("space")
    except Exception as error:  # whatever is wrong in a file that somebody wrote
        raise ConfigError(f"sweep.space_file={path} can't be run: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ConfigError(f"sweep.space_file={path} has no function space(trial). It holds, for example:\n{EXAMPLE}")
    return found


def asked(path: str, trial: Trial) -> dict[str, Any]:
    """The settings that the file gives this trial; ConfigError where it raises, or gives none."""
    try:
        settings = load(path)(trial)
    except (ConfigError, SQLAlchemyError, StorageInternalError):
        raise
    except Exception as error:
        raise ConfigError(f"space(trial) of {path} raised {type(error).__name__}: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"space(trial) of {path} gave {settings!r}; it returns settings. For example:\n{EXAMPLE}")
    return settings


def fingerprint(path: str) -> str:
    return sha256(Path(path))
