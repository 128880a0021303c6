"""What a sweep says on the terminal, and what it leaves behind: the report, and the numbers of the parent run."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, cast

import optuna
from optuna.trial import FrozenTrial

from pipeline.sweeping import report
from pipeline.sweeping import study as studies

if TYPE_CHECKING:
    from pipeline.sweeping.preparing import Sweep

FIRST = 5  # of the best trials


def ended(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def counted(study: optuna.Study) -> int:
    return len(ended(study))


def opening(sweep: "Sweep", study: optuna.Study) -> str:
    launcher = sweep.config.hydra.launcher._target_.rpartition(".")[2].removesuffix("Launcher").lower()
    done = counted(study)
    lines = [
        f"sweep {sweep.study}: {sweep.trials} trials by {sweep.search.sampler}, pruner {sweep.search.pruner}, "
        f"{sweep.settings.workers} worker{'s' if sweep.settings.workers > 1 else ''} ({launcher})",
        *(f"  {key}: {text}" for key, text in sweep.about["space"].items()),
    ]
    return "\n".join(lines + ([f"  {done} trials have ended before: they are kept"] if done else []))


def line(trial: FrozenTrial, study: optuna.Study) -> str:
    objectives = study.user_attrs["objectives"]
    if trial.values is not None and trial.state.name == "COMPLETE":
        found = "  ".join(f"{name} {value:.4f}" for name, value in zip(objectives, trial.values, strict=True))
    else:
        found = f"{trial.state.name}: {trial.user_attrs.get('reason', '')}".partition("\n")[0]
    reused = f"  (reused: run {trial.user_attrs['reused'][:12]})" if trial.user_attrs.get("reused") else ""
    seconds = f"  {trial.user_attrs['seconds']:.1f} s" if "seconds" in trial.user_attrs else ""
    return f"trial {trial.number}  {found}  {written(trial)}{seconds}{reused}"


def written(trial: FrozenTrial) -> str:
    return " ".join(f"{key}={shown(value)}" for key, value in trial.params.items())


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def closing(study: optuna.Study, folder: Path) -> str:
    counts = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
    lines = ["  ".join(f"{name} {count}" for name, count in sorted(counts.items()))]
    if studies.best(study):
        several = len(study.directions) > 1
        first = sorted(studies.best(study), key=lambda trial: trial.number) if several else ranked(study)
        lines += ["the Pareto front:" if several else "the best:", *(f"  {line(trial, study)}" for trial in first)]
        which = " --trial N" if several else ""
        lines.append(f"To take the settings of the best, type: ratchet adopt {study.study_name}{which}")
    return "\n".join([*lines, f"report: {folder / 'report.html'}"])


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    complete = [trial for trial in ended(study) if trial.state.name == "COMPLETE"]
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    # A complete trial has a value
    return sorted(complete, key=lambda trial: (sign * cast("float", trial.value), trial.number))[:FIRST]


def write(study: optuna.Study, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return report.write(study, folder)


def scores(study: optuna.Study) -> dict[str, float]:
    """Of the parent run: how the trials ended, and the best of each objective."""
    counts = Counter(trial.state.name for trial in ended(study))
    found = {f"trials/{name}": float(count) for name, count in counts.items()}
    complete = [trial for trial in ended(study) if trial.state.name == "COMPLETE"]
    for index, name in enumerate(study.user_attrs["objectives"]):
        pick = min if study.directions[index] == optuna.study.StudyDirection.MINIMIZE else max
        if complete:
            found[f"best/{name}"] = pick(trial.values[index] for trial in complete)
    return found
