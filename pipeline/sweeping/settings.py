"""How a sweep searches: conf/sweep/NAME.yaml as Hydra composes it, and `sweep.KEY=value` from the command line."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, ValidationError

from pipeline.config.checking import explained, names, report
from pipeline.config.composition import options, resolve, set_aside
from pipeline.config.section import Count, Name, Positive, Rate, Section
from pipeline.project import paths
from pipeline.project.errors import ConfigError

EXTRAS = {"joblib": "sweep", "ray": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}


class SweepSettings(Section):
    study: Name | None
    storage: str | None
    space: dict[str, Any]
    space_file: str | None
    sampler: Literal["auto", "grid", "random", "tpe", "gp", "cmaes", "nsga2"]
    pruner: Literal["none", "median", "hyperband"]
    objectives: Annotated[list[str], Field(min_length=1)] | None
    n_trials: Positive | None
    timeout: Rate | None
    seed: Count
    workers: Positive


def told_apart(arguments: Sequence[str]) -> tuple[str | None, list[str], list[str]]:
    """(the file of conf/sweep/, what Hydra is told about the sweep, settings of the trainings)."""
    chosen, about, trainings = None, [], []
    for argument in arguments:
        if argument.startswith("sweep="):
            chosen = argument.removeprefix("sweep=")
        elif argument.startswith("sweep."):
            about.append(argument.removeprefix("sweep."))
        elif argument.startswith(("hydra.", "hydra/", "+hydra", "++hydra", "~hydra")):
            about.append(argument)
        else:
            trainings.append(argument)
    return chosen, about, trainings


def composed(name: str, about: Sequence[str]) -> tuple[SweepSettings, DictConfig, Hydra]:
    """The settings, Hydra's own config with its launcher, and the Hydra that made it."""
    known = options("sweep")
    if name not in known:
        raise ConfigError(report([("sweep", name, f"one of {names(known)}", known)]))
    own, keys = list(SweepSettings.model_fields), [one.partition("=")[0] for one in about if "hydra" not in one]
    if unknown := [key for key in keys if key not in own]:
        allowed = f"no such setting; the settings here are {names(own)}"
        raise ConfigError(report([(f"sweep.{key}", key, allowed, own) for key in unknown]))
    folder = str((paths.CONF / "sweep").resolve())
    try:
        with set_aside():
            hydra = Hydra.create_main_hydra2("sweep", create_config_search_path(folder))
            first = hydra.compose_config(name, [*about], RunMode.MULTIRUN, with_log_configuration=False)
            settings = checked(first)
            whole = [*defaults(settings, about), *about]
            return settings, hydra.compose_config(name, whole, RunMode.MULTIRUN, with_log_configuration=False), hydra
    except (HydraException, OmegaConfBaseException) as error:
        launcher = next((name for name in EXTRAS if f"Could not find 'hydra/launcher/{name}'" in str(error)), None)
        if launcher is not None:
            raise ConfigError(
                f"hydra/launcher={launcher}: its package is not installed.\n"
                f"Type: pip install 'ratchet-ml[{EXTRAS[launcher]}]'"
            ) from None
        raise ConfigError(f"the sweep can't be composed: {error}") from None


def checked(config: DictConfig) -> SweepSettings:
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    settings = resolve(own)
    try:
        return SweepSettings.model_validate(settings)
    except ValidationError as error:
        mistakes = explained(error.errors(), settings, settings, SweepSettings)
        raise ConfigError(report([(f"sweep.{key}", *rest) for key, *rest in mistakes])) from None


def quoted(path: Path) -> str:
    return QuotedString(str(path.absolute()), Quote.single).with_quotes()


def defaults(settings: SweepSettings, about: Sequence[str]) -> list[str]:
    """Our own sweeper, quiet, with its files under .ratchet/; joblib where several workers are asked for."""
    chosen = next((one.partition("=")[2] for one in about if one.startswith("hydra/launcher=")), None)
    launcher = chosen or ("joblib" if settings.workers > 1 else "basic")
    launch = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    told = [f"hydra.launcher.n_jobs={settings.workers}"] if launcher == "joblib" else []
    return [
        "hydra/sweeper=ratchet",
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
        "hydra.output_subdir=null",
        f"hydra.sweep.dir={quoted(paths.state('sweeps', 'launches', launch))}",
        f"hydra/launcher={launcher}",
        *told,
    ]
