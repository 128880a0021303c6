"""A study's report: one page, a table and pictures, for the sweep's run in MLflow or for reading from disk."""

import csv
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pipeline.project.files import write_atomically, write_text
from pipeline.sweeping import figures
from pipeline.sweeping.analysis import Findings, find
from pipeline.sweeping.page import names, page

KEPT = ("seconds", "threads", "reason", "reused", "run_id", "config.hash")  # of a trial's user attributes


def write(study: Study, folder: Path) -> list[Path]:
    """report.html, trials.csv, and those PNGs that can be drawn: history, importances, slices, parallel, pareto."""
    found = find(study)
    pictures = figures.save(found, folder)
    write_text(folder / "report.html", page(found))
    write_atomically(folder / "trials.csv", lambda file: write_table(found, file))
    return [folder / "report.html", folder / "trials.csv", *pictures]


def write_table(found: Findings, file: Path) -> None:
    settings = names(found)
    with file.open("w", encoding="utf-8", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(["trial", "state", *found.objectives, *settings, "epochs", *KEPT])
        table.writerows(row(found, trial, settings) for trial in found.trials)


def row(found: Findings, trial: FrozenTrial, settings: list[str]) -> list[Any]:
    values = trial.values if trial.state == TrialState.COMPLETE else [""] * len(found.objectives)
    epochs = max(trial.intermediate_values, default="")
    given = [trial.params.get(name, "") for name in settings]
    return [trial.number, trial.state.name, *values, *given, epochs, *(trial.user_attrs.get(key, "") for key in KEPT)]
