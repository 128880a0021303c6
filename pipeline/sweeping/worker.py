"""A worker: asks the study for a trial, has it trained, tells how it ended, until no trial is left.

It imports no torch and computes nothing itself.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.config.checking import flatten
from pipeline.config.composition import compose
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.project.files import digest
from pipeline.project.processes import end_with, every
from pipeline.sweeping import spacefile
from pipeline.sweeping import study as studies
from pipeline.sweeping.leases import BEAT, Leases
from pipeline.sweeping.process import Membership, Outcome, Task, Trials
from pipeline.sweeping.recording import record
from pipeline.sweeping.space import Dimension, Point, overrides
from pipeline.tracking import family

STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAIL}
LONGEST = 2000  # characters of a reason


@dataclass(frozen=True)
class Plan:
    """What every worker is told; it travels to other hosts."""

    root: str
    study: str
    storage: str | None
    search: studies.Search
    dimensions: tuple[Dimension, ...]
    space_file: str | None
    fixed: tuple[str, ...]  # overrides that all trials share
    parent: str  # run id
    experiment: str
    parallel: bool
    driver: int | None  # process with which the workers end, where they are on its machine
    deadline: float | None  # seconds since 1970
    trials_from: str | None = None  # socket of the server that the machine's workers share


def work(plan: Plan, config: Any = None) -> int:
    """A worker's life; returns how many trials it has ended. `config`: Hydra's, which says nothing more."""
    os.chdir(plan.root)
    if plan.driver not in (None, os.getpid()):
        end_with(plan.driver)
    with stoppable():
        return Worker(plan).run()


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends a worker as SIGINT does: its trial saves a checkpoint first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Worker:
    def __init__(self, plan: Plan):
        self.plan = plan
        self.database = studies.storage(plan.storage)
        self.leases = Leases(self.database.engine)
        self.trials = Trials(plan.trials_from)
        self.study = optuna.load_study(study_name=plan.study, storage=self.database, pruner=plan.search.prune())

    def run(self) -> int:
        try:
            return self.all()
        finally:
            self.trials.close()

    def all(self) -> int:
        ended = 0
        while self.plan.deadline is None or time.time() < self.plan.deadline:
            frozen = studies.patiently(self.claimed)
            if frozen is None:
                break
            family.in_background(self.plan.parent)
            ended += self.tried(frozen)
        return ended

    def claimed(self) -> FrozenTrial | None:
        """A trial that is this worker's now: one that waits, or one whose worker has died."""
        for trial in studies.unfinished(self.study):
            if not self.leases.claim(trial._trial_id):
                continue
            now = self.database.get_trial(trial._trial_id)
            if now.state.is_finished():  # another worker ended it between two looks
                self.leases.release(trial._trial_id)
                continue
            if now.state == TrialState.WAITING:
                self.database.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
            return now
        return None

    def tried(self, frozen: FrozenTrial) -> bool:
        """Whether the trial came to an end here; if not, whoever claims it next goes on with it."""
        began, trial_id, gone = time.monotonic(), frozen._trial_id, threading.Event()
        self.study.sampler = self.plan.search.sample(frozen.number, self.plan.parallel)
        trial = studies.patiently(lambda: Trial(self.study, trial_id))

        def renew() -> bool:
            if not self.leases.renew(trial_id):
                gone.set()
                self.trials.kill()
            return not gone.is_set()

        try:
            with every(BEAT, renew):
                outcome = self.outcome(trial)
            if not gone.is_set() and outcome["state"] in STATES:
                outcome["seconds"] = time.monotonic() - began
                studies.patiently(lambda: self.tell(trial, checked(outcome, self.plan.search.objectives)))
                return True
            return False
        finally:
            if not gone.is_set():
                studies.patiently(lambda: self.leases.release(trial_id))

    def outcome(self, trial: Trial) -> Outcome:
        run_id = digest([self.plan.parent, trial.number])[:32]
        try:
            point = studies.patiently(lambda: self.suggested(trial))
            given = [*self.plan.fixed, *overrides(point)]
            studies.patiently(lambda: trial.set_user_attr("overrides", given))
            config = compose(given)
        except RatchetError as error:  # settings that are impossible beside one another
            outcome = {"state": "FAIL", "reason": str(error), "run_id": run_id}
            record(outcome, f"{self.plan.study}-{trial.number}", self.membership(trial), trial.params)
            return outcome
        studies.patiently(lambda: trial.set_user_attr("config.hash", config.hash))
        outcome = self.known(trial, config) or self.trials.run(
            self.task(trial, config, run_id), lambda epoch, value: studies.patiently(lambda: lags(trial, epoch, value))
        )
        outcome.setdefault("run_id", run_id)
        if outcome["state"] in STATES:
            settings = dict(flatten(config.model_dump(mode="json")))
            record(outcome, named(trial.number, config), self.membership(trial, config), settings)
        return outcome

    def suggested(self, trial: Trial) -> Point:
        if self.plan.space_file is None:
            return {one.key: one.suggest(trial) for one in self.plan.dimensions}
        return spacefile.asked(self.plan.space_file, trial)

    def known(self, trial: Trial, config: Config) -> Outcome | None:
        """How a trial with the same settings ended, in this study."""
        twin = studies.twin(self.study, config, trial.number)
        if twin is None:
            return None
        reused = {"reused": twin.user_attrs.get("run_id", ""), "history": dict(twin.intermediate_values)}
        if twin.state == TrialState.PRUNED:
            return {"state": "PRUNED", "reason": f"trial {twin.number} had the same settings: {reason(twin)}", **reused}
        found = dict(zip(self.plan.search.objectives, twin.values, strict=True))
        return {"state": "COMPLETE", "found": found, "threads": twin.user_attrs.get("threads"), **reused}

    def task(self, trial: Trial, config: Config, run_id: str) -> Task:
        log = paths.state("sweeps", self.plan.study, f"trial-{trial.number:05d}.log").absolute()
        log.parent.mkdir(parents=True, exist_ok=True)
        return Task(
            root=str(Path.cwd()),
            settings=config.model_dump(mode="json"),
            run_id=run_id,
            membership=self.membership(trial, config),
            name=named(trial.number, config),
            objectives=self.plan.search.objectives,
            log=str(log),
        )

    def membership(self, trial: Trial, config: Config | None = None) -> Membership:
        tags = {"sweep.study": self.plan.study, "sweep.trial": str(trial.number)}
        if config is not None:
            fingerprint = self.study.user_attrs["data.fingerprint"]
            tags |= {"scenario": config.scenario, "config.hash": config.hash, "data.fingerprint": fingerprint}
        return Membership(self.plan.parent, self.plan.experiment, tags)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """All that is known first, and the state last: what is finished is complete."""
        if self.database.get_trial(trial._trial_id).state.is_finished():  # told before the database went away
            return
        for epoch, value in outcome.get("history", {}).items():
            report(trial, int(epoch), value)
        for key in ("run_id", "reason", "reused", "threads", "seconds"):
            if outcome.get(key) is not None:
                trial.set_user_attr(key, outcome[key])
        self.study.tell(trial.number, outcome.get("values"), STATES[outcome["state"]])


def named(number: int, config: Config) -> str:
    """The number first: MLflow's list shows no more of a long name."""
    return f"{config.scenario}-{number}-{config.hash[:7]}"


def reason(trial: FrozenTrial) -> str:
    return trial.user_attrs.get("reason", "")


def report(trial: Trial, epoch: int, value: float) -> None:
    """A resumed trial repeats epochs that the study knows."""
    if len(trial.study.directions) == 1 and epoch not in trial.storage.get_trial(trial._trial_id).intermediate_values:
        trial.report(value, epoch)


def lags(trial: Trial, epoch: int, value: float) -> bool:
    if len(trial.study.directions) > 1:
        return False
    report(trial, epoch, value)
    return trial.should_prune()


def checked(outcome: Outcome, objectives: tuple[str, ...]) -> Outcome:
    """With the values of a complete trial; a value that is missing or no number makes it fail."""
    outcome = outcome | {"reason": outcome["reason"][:LONGEST]} if outcome.get("reason") else outcome
    if outcome["state"] != "COMPLETE":
        return outcome
    found = [outcome["found"].get(one, math.nan) for one in objectives]
    if not all(map(math.isfinite, found)):
        return outcome | {"state": "FAIL", "reason": f"gave {dict(zip(objectives, found, strict=True))}"}
    return outcome | {"values": found}
