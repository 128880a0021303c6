"""The study is the queue: as many WAITING trials as are wanted, in a database that all workers share."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import optuna
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import ConfigError, SweepError
from pipeline.project.secrets import redact
from pipeline.sweeping.space import Point
from pipeline.tasks.metrics import lower_is_better

optuna.logging.set_verbosity(optuna.logging.WARNING)
DATABASE = "sweeps.db"
SHOWN = 20  # of what differs
PATIENCE = 300.0  # seconds that a database may be away in the middle of a sweep
DEFAULT_TRIALS = 20
TRIES = 3  # to open a database
T = TypeVar("T")


@dataclass(frozen=True)
class Search:
    """How the points of a study are found; it does not change while the study lasts."""

    sampler: str
    pruner: str
    objectives: tuple[str, ...]
    seed: int
    epochs: int  # that a trial has at most
    trials: int

    def sample(self, number: int, parallel: bool) -> BaseSampler:
        """Of one trial: seeded with its number, so that two workers never draw the same, and a rerun draws again."""
        seed = random.Random(f"{self.seed}-{number}").getrandbits(31)
        population = max(4, min(50, self.trials // 4))
        ways: dict[str, Callable[[], BaseSampler]] = {
            "grid": lambda: RandomSampler(seed=seed),  # its points are in the queue
            "random": lambda: RandomSampler(seed=seed),
            "tpe": lambda: TPESampler(seed=seed, constant_liar=parallel),
            "gp": lambda: GPSampler(seed=seed),
            "cmaes": lambda: CmaEsSampler(seed=seed),
            "nsga2": lambda: NSGAIISampler(population_size=population, seed=seed),
        }
        return ways[self.sampler]()

    def prune(self) -> BasePruner:
        """Hyperband's last bracket first looks in the last third, where little is left to save: there is none."""
        ways: dict[str, Callable[[], BasePruner]] = {
            "none": NopPruner,
            "median": lambda: MedianPruner(n_startup_trials=4, n_warmup_steps=1),
            "hyperband": lambda: HyperbandPruner(1, max_resource=max(1, self.epochs // 3), reduction_factor=3),
        }
        return ways[self.pruner]()


def direction(objective: str) -> Literal["minimize", "maximize"]:
    return "minimize" if lower_is_better(objective) else "maximize"


def storage(url: str | None) -> RDBStorage:
    """The database at `url`, or .ratchet/sweeps.db; SweepError where it can't be reached.

    `${oc.env:NAME}` in it is read here alone, so that no password travels with what a launcher writes down.
    """
    if url is None:
        paths.state().mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{paths.state(DATABASE)}"
    try:
        url = str(OmegaConf.create({"url": url}).url)
    except OmegaConfBaseException as error:
        raise SweepError(f"sweep.storage={url}: {error}") from None
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for attempt in range(TRIES):  # two processes that make the tables at once trip over each other
        try:
            return RDBStorage(url, engine_kwargs=options)
        except (SQLAlchemyError, ImportError, RuntimeError) as error:
            failure = redact(str(error))[:300]
        time.sleep(0.5 * attempt)
    raise SweepError(
        f"the sweeps' database {redact(url)} can't be used: {failure}\n"
        "Given with sweep.storage: sqlite:///FILE, or postgresql+psycopg2://USER@HOST/DATABASE (a server that runs)"
    )


def opened(name: str, database: RDBStorage, search: Search, about: dict[str, Any]) -> optuna.Study:
    """The study, new or gone on with; ConfigError with the difference if it was begun with other settings.

    `about`: what makes its trials comparable, kept as the study's user attributes.
    """
    directions = [direction(one) for one in search.objectives]
    try:
        study = optuna.load_study(study_name=name, storage=database, pruner=search.prune())
    except KeyError:
        study = optuna.create_study(
            study_name=name, storage=database, directions=directions, load_if_exists=True, pruner=search.prune()
        )
    known = study.user_attrs
    if "base" in known:
        require_same(name, known, about)
        return study
    for key, value in about.items():
        if key != "base":
            study.set_user_attr(key, value)
    study.set_user_attr("base", about["base"])  # the last one: whoever sees it sees all
    return study


def require_same(name: str, known: dict[str, Any], about: dict[str, Any]) -> None:
    lines = []
    for part, now in about.items():
        before = known.get(part)
        if part in ("run_id", "overrides") or before == now:  # overrides: what of them matters is in `base`
            continue
        if isinstance(now, dict) and isinstance(before, dict):
            keys = [key for key in {**before, **now} if before.get(key, "absent") != now.get(key, "absent")]
            lines += [f"  {key}: was {before.get(key, 'absent')}, is {now.get(key, 'absent')}" for key in keys]
        else:
            lines.append(f"  {part}: was {before}, is {now}")
    if lines:
        more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise ConfigError(
            f"the study {name!r} was begun with other settings, and its trials could not be compared:\n"
            + "\n".join(lines[:SHOWN] + more)
            + f"\nTo go on with it, give what it had; to begin another, type: sweep.study={name}-2"
        )


def fill(study: optuna.Study, points: list[Point] | None, count: int) -> None:
    """Tops the queue up to `count` trials; a grid's points are said here, all others when a worker takes them."""
    known = len(study.get_trials(deepcopy=False))
    for number in range(known, count):
        if points is None:
            study.add_trial(create_trial(state=TrialState.WAITING))
        else:
            study.enqueue_trial(points[number])


def unfinished(study: optuna.Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING))
    return sorted(trials, key=lambda trial: trial.number)


def best(study: optuna.Study) -> list[FrozenTrial]:
    """The best trial, or the Pareto front; none before a trial is complete."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return study.best_trials


def twin(study: optuna.Study, config: Config, number: int) -> FrozenTrial | None:
    """A trial of the study that had the same settings, and an end that would come again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        if config.is_of(trial.user_attrs.get("config.hash")) and trial.number != number:
            return trial
    return None


def patiently(call: Callable[[], T]) -> T:
    """Tries again while the database is away: what was trained meanwhile waits."""
    deadline, pause = time.monotonic() + PATIENCE, 0.2
    while True:
        try:
            return call()
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if time.monotonic() > deadline:
                raise SweepError(
                    f"the sweeps' database was away for {PATIENCE:.0f} s: {redact(str(error))[:300]}\n"
                    "Finished trainings are kept. When it is back, type the same command again"
                ) from error
        time.sleep(pause)
        pause = min(5.0, 2 * pause)
