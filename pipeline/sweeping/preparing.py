"""Everything about a sweep that can be wrong is looked at before its first trial."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import optuna
from hydra._internal.hydra import Hydra
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler

from pipeline.config.checking import Problem, flatten, names, report
from pipeline.config.combinations import task_of
from pipeline.config.composition import compose, options
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import ConfigError
from pipeline.store import processed
from pipeline.sweeping import settings as sweeps
from pipeline.sweeping import spacefile
from pipeline.sweeping.settings import SweepSettings
from pipeline.sweeping.space import GRAMMAR, Dimension, Point, grid, overrides, split
from pipeline.sweeping.study import DEFAULT_TRIALS, Search

if TYPE_CHECKING:
    from pipeline.tasks.task import Task

EXTRA = ("latency_ms", "parameters")  # objectives beside what validation gives
SEARCHED = ("seed", "model", "loss", "optimizer", "schedule", "training")  # what a training can be told anew
SAMPLES = 8  # of a space file, to see that it gives settings


@dataclass(frozen=True)
class Sweep:
    settings: SweepSettings
    base: Config
    dimensions: list[Dimension]
    points: list[Point] | None  # of a grid
    fixed: list[str]
    search: Search
    trials: int
    about: dict[str, Any]  # what makes its trials comparable
    hydra: Hydra
    config: DictConfig  # Hydra's, with the launcher

    @property
    def study(self) -> str:
        return self.settings.study or self.base.scenario


def prepared(arguments: Sequence[str]) -> Sweep:
    """The whole sweep, or a ConfigError or DataError before anything has begun."""
    chosen, about, trainings = sweeps.told_apart(arguments)
    dimensions, fixed = split(trainings, {})
    base = compose(fixed)
    settings, config, hydra = sweeps.composed(chosen or file_for(base, dimensions, about), about)
    if settings.space_file is not None:  # as the user sees it, and workers too
        settings = settings.model_copy(update={"space_file": str(paths.typed(settings.space_file))})
    dimensions, fixed = split(trainings, settings.space)
    require_searchable(settings, dimensions, base)
    objectives = tuple(settings.objectives or [base.training.monitor])
    require_objectives(objectives, settings, base)
    sampler, points = sampled(settings, dimensions, len(objectives))
    trials = settings.n_trials or (len(points) if points else DEFAULT_TRIALS)
    trials = min(trials, len(points)) if points else trials
    epochs = longest(dimensions, fixed, settings)
    spec = processed.load_spec(paths.PROCESSED)
    search = Search(sampler, settings.pruner, objectives, settings.seed, epochs or base.training.max_epochs, trials)
    comparable = {
        "scenario": base.scenario,
        "base": dict(shared(base, dimensions)),
        "space": {one.key: one.text for one in dimensions}
        or {"space_file": spacefile.fingerprint(cast("str", settings.space_file))},  # one of them is given,
        "sampler": sampler,
        "pruner": settings.pruner,
        "objectives": list(objectives),
        "seed": settings.seed,
        "data.fingerprint": spec["fingerprint"],
        "overrides": fixed,
    }
    return Sweep(settings, base, dimensions, points, fixed, search, trials, comparable, hydra, config)


def file_for(base: Config, dimensions: list[Dimension], about: Sequence[str]) -> str:
    """The ready space of the scenario, unless a space is given."""
    if dimensions or any(one.startswith("space_file=") for one in about):
        return "default"
    if base.scenario in options("sweep"):
        return base.scenario
    raise ConfigError(
        f"there is nothing to search: no space is given, and there is no {paths.CONF}/sweep/{base.scenario}.yaml.\n"
        f"Type a setting and its space, such as: ratchet sweep 'optimizer.lr=tag(log,interval(1e-4,1e-2))' ({GRAMMAR})"
    )


def require_searchable(settings: SweepSettings, dimensions: list[Dimension], base: Config) -> None:
    if bool(dimensions) == (settings.space_file is not None):
        given = "both a space and a space_file" if dimensions else "no space"
        raise ConfigError(f"sweep: given {given}; give one of them: key={GRAMMAR}, or sweep.space_file=FILE.py")
    problems: list[Problem] = [
        (one.key, one.text, f"not searched, as a sweep trains on one data/processed: {names(list(SEARCHED))} are", [])
        for one in dimensions
        if one.key.partition(".")[0] not in SEARCHED
    ]
    if base.cv is not None or base.trainer.nodes > 1:
        problems.append(("cv, trainer.nodes", (base.cv, base.trainer.nodes), "null and 1 in a sweep", []))
    if problems:
        raise ConfigError(report(problems))


def require_objectives(objectives: tuple[str, ...], settings: SweepSettings, base: Config) -> None:
    task = cast("Task", task_of(base.model_dump()))  # of settings that are composed
    known = [*task.monitors, *EXTRA]
    problems: list[Problem] = [
        ("sweep.objectives", one, f"one of {names(known)}", known) for one in objectives if one not in known
    ]
    if len(objectives) > 1 and settings.pruner != "none":
        problems.append(("sweep.pruner", settings.pruner, "none: with several objectives no trial lags in all", []))
    if len(objectives) > 1 and settings.sampler == "cmaes":
        problems.append(("sweep.sampler", "cmaes", "nsga2, tpe, gp, random or grid with several objectives", []))
    if problems:
        raise ConfigError(report(problems))


def sampled(settings: SweepSettings, dimensions: list[Dimension], objectives: int) -> tuple[str, list[Point] | None]:
    """The sampler, and the points of a grid."""
    wanted = settings.sampler
    countable = bool(dimensions) and all(one.points is not None for one in dimensions)
    if wanted == "grid" and not countable:
        raise ConfigError(
            "sweep.sampler=grid needs choices and ranges alone: an interval has no end of points.\n"
            "Type: sweep.sampler=tpe, or a range(low, high, step) in place of the interval"
        )
    if wanted == "cmaes" and (chosen := [one.key for one in dimensions if is_choice(one)]):
        raise ConfigError(
            f"sweep.sampler=cmaes searches intervals and ranges, and {', '.join(chosen)} is a choice.\n"
            "Type: sweep.sampler=tpe, or sweep.sampler=gp"
        )
    if wanted == "auto":
        wanted = "grid" if countable and settings.n_trials is None else "nsga2" if objectives > 1 else "tpe"
    return wanted, grid(dimensions) if wanted == "grid" else None


def is_choice(one: Dimension) -> bool:
    return isinstance(one.distribution, CategoricalDistribution)


def longest(dimensions: list[Dimension], fixed: list[str], settings: SweepSettings) -> int:
    """Epochs of the longest trial; composes every end of the space, so that each of its limits is checked."""
    if settings.space_file is not None:
        study = optuna.create_study(sampler=RandomSampler(seed=settings.seed))
        points = [spacefile.asked(settings.space_file, study.ask()) for _ in range(SAMPLES)]
        return max(compose([*fixed, *overrides(point)]).training.max_epochs for point in points)
    first = {one.key: one.ends()[0] for one in dimensions}
    corners = [first] + [first | {one.key: value} for one in dimensions for value in one.ends()[1:]]
    return max(compose([*fixed, *overrides(corner)]).training.max_epochs for corner in corners)


def shared(base: Config, dimensions: list[Dimension]) -> Iterator[tuple[str, Any]]:
    """The settings that all trials have in common, of those that the config hash is made of."""
    searched = [one.key for one in dimensions]
    settings = base.model_dump(mode="json", include={*SEARCHED, "data", "pretrained"})
    for key, value in flatten(settings):
        if not key.endswith("source.mirrors") and not any(f"{key}.".startswith(f"{one}.") for one in searched):
            yield key, value


def deadline(settings: SweepSettings) -> float | None:
    return None if settings.timeout is None else time.time() + settings.timeout
