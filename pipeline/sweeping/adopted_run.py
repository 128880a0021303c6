"""Whose settings are adopted: those of a study's best trial, of one that is named, or of any run."""

import re
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from pipeline.config.checking import checked
from pipeline.config.composition import compose
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import ConfigError, DataError, SweepError
from pipeline.project.secrets import redact
from pipeline.project.tables import number, table
from pipeline.sweeping import study as studies
from pipeline.tracking import mlflow_store, revision
from pipeline.tracking.recorded import FEWEST, SHORT, Recorded, begun, found, read, state

Told = tuple[dict[str, Any], dict[str, str]]  # the whole settings of a run, and its tags


@dataclass(frozen=True)
class Adopted:
    title: str
    config: Config
    tags: dict[str, str]
    counted: int | None  # CPU threads of torch, as the sweep's worker counted them

    @property
    def threads(self) -> int | None:
        """CPU threads that its bytes depend on; None if it was trained on a GPU, or nobody knows."""
        if self.tags.get("device", "cpu") != "cpu":
            return None
        return self.counted or self.config.trainer.threads or int(self.tags.get("threads", 0)) or None


def find_adopted(given: str | None, trial: int | None, url: str | None) -> Adopted:
    """`given`: a study; a run's id, the beginning of one, or its name; None: the study whose trial finished last."""
    names = [] if url is None and not paths.state(studies.DATABASE).is_file() else known(url)
    if given is None:
        given = latest(names, url)
    if given in names:
        return of_study(optuna.load_study(study_name=given, storage=studies.storage(url)), trial)
    run = told_here(given)
    for study in (optuna.load_study(study_name=name, storage=studies.storage(url)) for name in names):
        if isinstance(run, Recorded) and study.user_attrs.get("run_id") == run.run_id:  # the sweep's own run
            return of_study(study, trial)
    if trial is not None:
        raise ConfigError(f"--trial {trial} is of a study, and {given!r} is none; the studies are {listed(names)}")
    return of_run(given, run, names)


def told_here(given: str) -> Recorded | DataError:
    """The run whose journal is here, or what is to be said if no other place has it."""
    try:
        return read(found(given, begun()))
    except DataError as error:
        return error


def known(url: str | None) -> list[str]:
    return optuna.get_all_study_names(studies.storage(url))


def listed(names: list[str]) -> str:
    return ", ".join(names) or "(none)"


def latest(names: list[str], url: str | None) -> str:
    ends: dict[datetime, str] = {}
    for name in names:
        study = optuna.load_study(study_name=name, storage=studies.storage(url))
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ends |= {cast("datetime", trial.datetime_complete): name for trial in done}  # ended
    if ends:
        return ends[max(ends)]
    where = redact(url) if url else f".ratchet/{studies.DATABASE}"
    raise SweepError(
        f"no trial is complete in {where}; its studies are {listed(names)}.\n"
        "Type: ratchet sweep …   (or adopt a run's settings: ratchet adopt RUN; `ratchet runs` lists them)"
    )


def of_study(study: optuna.Study, wanted: int | None) -> Adopted:
    trial = best(study) if wanted is None else chosen(study, wanted)
    pairs = zip(objectives(study), trial.values, strict=True)
    scores = ", ".join(f"{name} {number(value)}" for name, value in pairs)
    title = f"study {study.study_name}, trial {trial.number}: {scores}"
    told_by = trial.user_attrs
    run_id = told_by.get("reused") or told_by.get("run_id")  # the run that trained these weights
    told = from_journal(run_id) or from_overrides(trial) or from_mlflow(run_id)
    if told is None:
        raise missing(title, run_id)
    about = {"config.hash": told_by.get("config.hash"), "data.fingerprint": study.user_attrs.get("data.fingerprint")}
    tags = {key: value for key, value in about.items() if value} | told[1]
    threads = None if "reused" in told_by else told_by.get("threads")
    return Adopted(title, usable(told[0], title, tags), tags, threads)


def best(study: optuna.Study) -> FrozenTrial:
    front = studies.best(study)
    if not front:
        raise SweepError(f"no trial of the study {study.study_name} is complete; there is nothing to adopt yet")
    if len(study.directions) == 1 or len(front) == 1:
        return front[0]
    raise ConfigError(
        f"study {study.study_name}: of these {len(front)} trials none is better than another in every objective.\n"
        f"{pareto(study, front)}\n"
        f"Choose one, such as: ratchet adopt {study.study_name} --trial {front[0].number}"
    )


def pareto(study: optuna.Study, front: list[FrozenTrial]) -> str:
    keys = list(dict.fromkeys(key for trial in front for key in trial.params))
    rows = [
        [trial.number, *map(number, trial.values), *(trial.params.get(key, "-") for key in keys)]
        for trial in sorted(front, key=lambda trial: trial.values)
    ]
    return table([["trial", *objectives(study), *keys], *rows])


def objectives(study: optuna.Study) -> list[str]:
    return study.user_attrs.get("objectives") or [f"objective {index + 1}" for index in range(len(study.directions))]


def chosen(study: optuna.Study, wanted: int) -> FrozenTrial:
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    complete = [str(one.number) for one in trials.values() if one.state == TrialState.COMPLETE]
    if str(wanted) in complete:
        return trials[wanted]
    there = f"is {trials[wanted].state.name}" if wanted in trials else "is none"
    raise ConfigError(
        f"trial {wanted} of the study {study.study_name} {there}; those that are complete: {', '.join(complete)}"
    )


def of_run(given: str, run: Recorded | DataError, names: list[str]) -> Adopted:
    if isinstance(run, DataError):
        is_id = len(given) >= FEWEST and re.fullmatch(r"[0-9a-f]+", given)
        told = from_mlflow(given) if is_id else None
        if told is None:
            raise DataError(f"{run}\nThe studies are {listed(names)}")
        title = f"run {told[1][mlflow_store.RUN_TAG][:SHORT]} of {mlflow_store.shown_uri()}"
        return Adopted(title, usable(told[0], title, told[1]), told[1], None)
    title = described(run)
    settings = run.settings()
    told = (settings, run.tags) if settings else from_mlflow(run.run_id)
    if told is None:
        raise missing(title, run.run_id)
    return Adopted(title, usable(told[0], title, told[1]), told[1], None)


def described(run: Recorded) -> str:
    score = "" if run.best is None else f": {run.monitor} {number(run.best)}"
    return f"run {run.short}, {run.name}, {state(run)}{score}"


def from_journal(run_id: str | None) -> Told | None:
    run = next((run for run in begun() if run.run_id == run_id), None)
    if run is None or (settings := run.settings()) is None:
        return None
    return settings, read(run).tags


def from_overrides(trial: FrozenTrial) -> Told | None:
    """What its overrides compose to here, if that has its config hash: the trial of a worker on another host."""
    try:
        config = compose(trial.user_attrs.get("overrides", []))
    except ConfigError:  # params.yaml or conf/ are others by now
        return None
    return (config.model_dump(mode="json"), {}) if config.is_of(trial.user_attrs.get("config.hash")) else None


def from_mlflow(run_id: str | None) -> Told | None:
    """Of a run that MLflow has, though its journal is not here: of its id, or of the beginning of it."""
    database = mlflow_store.local_database()
    if run_id is None or (database and not database.is_file()):
        return None
    try:
        client = mlflow_store.client()
        everywhere = [one.experiment_id for one in client.search_experiments()]
        runs = client.search_runs(everywhere, f"tags.`{mlflow_store.RUN_TAG}` LIKE '{run_id}%'", max_results=2)
        if len(runs) != 1:
            return None
        with tempfile.TemporaryDirectory() as folder:
            file = Path(client.download_artifacts(runs[0].info.run_id, "config.yaml", folder))
            return yaml.safe_load(file.read_text(encoding="utf-8")), runs[0].data.tags
    except mlflow_store.unreachable() as error:
        print(f"{mlflow_store.shown_uri()} could not be asked: {redact(str(error))[:200]}")
        return None


def missing(title: str, run_id: str | None) -> DataError:
    if run_id is None:
        return DataError(f"{title}\nThis trial has no run, and its overrides give other settings by now")
    return DataError(
        f"{title}\nThe settings of its run {run_id[:SHORT]} are not here: config.yaml is neither in "
        f".ratchet/journal/{run_id} nor at {mlflow_store.shown_uri()}.\n"
        "Where the run was trained, type: ratchet sync   (here: MLFLOW_TRACKING_URI=… of the same server)"
    )


def usable(settings: dict[str, Any], title: str, tags: dict[str, str]) -> Config:
    """The typed settings; ConfigError if this version of the project does not understand them as it did then."""
    try:
        config = checked(settings, settings)
    except ConfigError as error:
        raise ConfigError(f"{title}\nIts settings are not of this version of Ratchet: {error}") from None
    if not config.is_of(then := tags.get("config.hash", config.hash)):
        raise ConfigError(
            f"{title}\nIts settings had the config hash {then[:12]}, and have {config.hash[:12]} by this version of "
            f"Ratchet: they were made by another.\nType: {revision.checkout(tags)}"
        )
    return config
