"""ratchet compare RUN RUN …: the settings in which runs differ, and their metrics side by side, the best marked *.

RUN: an id of `ratchet runs`, the beginning of one, or a run's name. Validation is that of each run's best epoch.
MLflow's page shows the same with the curves: `ratchet ui`, tick the runs, Compare. Between commits and experiments of
DVC: `dvc metrics diff`, `dvc params diff`, `dvc exp show`.
"""

import argparse
from typing import Any

from pipeline.config.checking import flatten
from pipeline.project.tables import number, table
from pipeline.tasks.metrics import lower_is_better
from pipeline.tracking.recorded import Recorded, as_json, begun, found, read, state

ABSENT = "-"
NO_SCORES = ("test/count",)  # and deviations: neither more nor less of them is better


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "ratchet compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--json", action="store_true", help="for scripts: {runs, settings, metrics, best}")
    options = parser.parse_args(arguments)
    if len(options.runs) < 2:
        parser.error("two runs at least are compared; `ratchet runs` lists them")
    known = begun()
    runs = [read(found(given, known)) for given in options.runs]
    settings, metrics = differences(runs), measured(runs)
    if options.json:
        best = {name: winners(name, values) for name, values in metrics.items()}
        about = [{"run_id": run.run_id, "name": run.name, "status": state(run)} for run in runs]
        print(as_json({"runs": about, "settings": settings, "metrics": metrics, "best": best}))
    else:
        print(shown(runs, settings, metrics))


def differences(runs: list[Recorded]) -> dict[str, list[Any]]:
    """Dotted key → each run's value, of the keys whose values are not all the same; not the list of source files."""
    leaves = [dict(flatten(run.settings() or {})) for run in runs]
    keys = sorted({key for one in leaves for key in one if not key.startswith(("data.source.", "pretrained.source."))})
    rows = {key: [one.get(key, ABSENT) for one in leaves] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}


def measured(runs: list[Recorded]) -> dict[str, list[float | None]]:
    """Metric → each run's value: validation, then test, then others."""
    names = {name for run in runs for name in run.metrics}
    order = sorted(names, key=lambda name: (not name.startswith("val/"), not name.startswith("test/"), name))
    values = {name: [run.metrics.get(name) for run in runs] for name in order}
    return values | {"seconds": [round(run.seconds, 3) for run in runs]}


def winners(name: str, values: list[float | None]) -> list[int]:
    """Positions of the best values; none where all are the same, or where more is not better nor worse."""
    given = [value for value in values if value is not None and value == value]
    if len(set(given)) < 2 or name in NO_SCORES or name.endswith("/std"):
        return []
    best = min(given) if lower_is_better(name) else max(given)
    return [position for position, value in enumerate(values) if value == best]


def shown(runs: list[Recorded], settings: dict[str, list[Any]], metrics: dict[str, list[float | None]]) -> str:
    rows = [["", *(run.short for run in runs)], ["name", *(run.name for run in runs)]]
    if any(state(run) != "FINISHED" for run in runs):
        rows.append(["status", *(state(run) for run in runs)])
    blank = [""] * len(rows[0])
    rows += [blank, *([key, *values] for key, values in settings.items()), blank] if settings else [blank]
    rows.append(["best epoch", *(str(run.best_epoch or ABSENT) for run in runs)])
    for name, values in metrics.items():
        best = winners(name, values)
        rows.append([name, *(number(value) + "*" * (position in best) for position, value in enumerate(values))])
    return "\n".join([table(rows), *notes(runs, settings)])


def notes(runs: list[Recorded], settings: dict[str, list[Any]]) -> list[str]:
    told = [] if settings else ["their settings are the same"]
    if unknown := [run.short for run in runs if run.settings() is None]:
        told.append(f"without settings, since config.yaml is not in the journal: {', '.join(unknown)}")
    data = [run.tags.get("data.fingerprint") for run in runs]
    if len(set(data) - {None}) > 1:
        fingerprints = ", ".join(ABSENT if one is None else one[:12] for one in data)
        told.append(f"they were trained on different data, so their metrics are of different rows: {fingerprints}")
    return told
