"""Drives a sweep: fills the queue, starts workers with Hydra's launcher, and tells its end in MLflow and here."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
import yaml
from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.types import HydraContext

from pipeline.project import paths
from pipeline.project.errors import RatchetError, SweepError
from pipeline.project.processes import every
from pipeline.sweeping import preparing, summary
from pipeline.sweeping import study as studies
from pipeline.sweeping.leases import BEAT, Leases
from pipeline.sweeping.preparing import Sweep
from pipeline.sweeping.process import Server
from pipeline.sweeping.worker import Plan, stoppable, work
from pipeline.tracking import family, revision
from pipeline.tracking.journal import Journal
from pipeline.tracking.lines import Status

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
RESTARTS = 3  # of workers that died and left trials behind
LOCAL = ("basic", "joblib", "submitit_launcher.LocalLauncher")  # launchers whose workers end with this process
PAUSE = 1.0  # seconds between two looks at the study


def drive(arguments: list[str], server: Server) -> int:
    sweep = preparing.prepared(arguments)
    database = studies.storage(sweep.settings.storage)
    study = studies.opened(sweep.study, database, sweep.search, {**sweep.about, "run_id": uuid.uuid4().hex})
    leases, seat = Leases(database.engine), -study._study_id  # a study's driver holds a lease as trials' workers do
    plan = planned(sweep, study)
    if plan.driver is None:  # the workers are on other hosts
        server.close()
    if not leases.claim(seat):
        print(f"another process drives the study {sweep.study!r} ({leases.holder(seat)}): its workers get company")
        launched(sweep, plan, server)
        return 0
    with stoppable(), every(BEAT, lambda: leases.renew(seat)):
        try:
            studies.fill(study, sweep.points, sweep.trials)
            return driven(sweep, plan, study, server)
        finally:
            leases.release(seat)


def planned(sweep: Sweep, study: optuna.Study) -> Plan:
    target = sweep.config.hydra.launcher._target_
    local = any(name in target for name in LOCAL)
    fixed = sweep.fixed
    if local and sweep.base.trainer.threads is None:  # each worker gets its share of the cores
        fixed = [*fixed, f"trainer.threads={max(1, cores() // sweep.settings.workers)}"]
    return Plan(
        root=str(Path.cwd()),
        study=sweep.study,
        storage=sweep.settings.storage,
        search=sweep.search,
        dimensions=tuple(sweep.dimensions),
        space_file=sweep.settings.space_file,
        fixed=tuple(fixed),
        parent=study.user_attrs["run_id"],
        experiment=sweep.base.tracking.experiment,
        parallel=sweep.settings.workers > 1,
        driver=os.getpid() if local else None,
        deadline=preparing.deadline(sweep.settings),
    )


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def driven(sweep: Sweep, plan: Plan, study: optuna.Study, server: Server) -> int:
    print(summary.opening(sweep, study), flush=True)
    with Journal.begin(plan.parent, plan.experiment, f"{sweep.study}-sweep", 1.0) as journal:
        describe(journal, sweep)
        journal.status("RUNNING")
        family.in_background(plan.parent)
        try:
            with told(study):
                until_done(sweep, plan, study, server)
        except BaseException as error:
            value: Status = "FAILED" if isinstance(error, Exception) else "KILLED"
            journal.status(value, f"{type(error).__name__}: {error}; the same command goes on")
            raise
        folder = paths.state("sweeps", sweep.study)
        for file in summary.write(study, folder):
            journal.artifact(file, f"sweep/{file.name}")
        journal.metrics(summary.counted(study), summary.scores(study))
        journal.status("FINISHED", "all trials have ended" if not studies.unfinished(study) else "its time was over")
    print(summary.closing(study, folder), flush=True)
    print(shipped(plan.parent, sweep.base.tracking.wait_seconds))
    if not studies.best(study):
        raise SweepError("no trial was completed; the reasons stand above, and what they printed in\n" + str(folder))
    return 0


def describe(journal: Journal, sweep: Sweep) -> None:
    settings = {key: value for key, value in sweep.about.items() if key not in ("base", "space", "overrides")}
    journal.params({**settings, **{f"space/{key}": text for key, text in sweep.about["space"].items()}})
    dumped = sweep.base.model_dump(mode="json")
    journal.text(yaml.safe_dump(dumped, sort_keys=True, allow_unicode=True), "config.yaml")
    tags = {"scenario": sweep.base.scenario, "sweep.study": sweep.study, "sweep.host": socket.gethostname()}
    code = revision.commit()
    revision.tell_no_commit(code)
    journal.tags({**tags, "data.fingerprint": sweep.about["data.fingerprint"], **code, **revision.packages()})


def until_done(sweep: Sweep, plan: Plan, study: optuna.Study, server: Server) -> None:
    """Workers that die are started again, a few times: what they left is claimed by those."""
    for attempt in range(RESTARTS + 1):
        if not studies.unfinished(study):
            return
        try:
            launched(sweep, plan, server)
        except (RatchetError, KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # of a launcher whose worker was killed
            if attempt == RESTARTS:
                raise SweepError(
                    f"workers died {RESTARTS + 1} times: {type(error).__name__}: {str(error)[:300]}\n"
                    "What was trained is kept. Fewer of them need less memory: sweep.workers=1"
                ) from error
            print(f"a worker died ({type(error).__name__}); starting anew", flush=True)
            continue
        if over(plan) or not studies.unfinished(study):
            return
        time.sleep(PAUSE)  # a trial is on its way at a worker of another host


def over(plan: Plan) -> bool:
    return plan.deadline is not None and time.time() >= plan.deadline


def launched(sweep: Sweep, plan: Plan, server: Server) -> None:
    context = HydraContext(config_loader=sweep.hydra.config_loader, callbacks=Callbacks(sweep.config))
    plan = plan if plan.driver is None else replace(plan, trials_from=server.socket())
    sweeper = Plugins.instance().instantiate_sweeper(
        config=sweep.config, hydra_context=context, task_function=partial(work, plan)
    )
    sweeper.sweep([])


@contextmanager
def told(study: optuna.Study) -> Iterator[None]:
    """Prints each trial as it ends, whichever worker had it."""
    known = {trial.number for trial in summary.ended(study)}

    def tell() -> bool:
        with suppress(optuna.exceptions.StorageInternalError):  # the workers wait for it; so does this
            for trial in summary.ended(study):
                if trial.number not in known:
                    known.add(trial.number)
                    print(summary.line(trial, study), flush=True)
        return True

    try:
        with every(PAUSE, tell):
            yield
    finally:
        tell()


def shipped(parent: str, seconds: float) -> str:
    from pipeline.tracking.mlflow_store import shown_uri

    if late := family.wait(parent, seconds):
        return f"{late} runs are on their way to {shown_uri()}; if it is away, later type: ratchet sync"
    return f"run {parent[:12]} and its trials are complete at {shown_uri()}"
