"""The report's pictures, for places that run no scripts: a card, a README, MLflow's list of artifacts.

Optuna's own for matplotlib cut off long names and print choices over each other.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from optuna.trial import FrozenTrial, TrialState

from pipeline.evaluation.figures.style import BAD, GOOD, GREY, shown, write
from pipeline.sweeping.analysis import LINES, Findings, Parameter

COLUMNS = 3  # panels side by side
PANELS = 24  # of one figure
AXES = 12  # of parallel coordinates
DOTS: dict[str, Any] = {"s": 22, "color": GOOD, "alpha": 0.75, "linewidths": 0}
RING: dict[str, Any] = {"s": 90, "facecolors": "none", "edgecolors": BAD, "linewidths": 1.6, "zorder": 4}


def save(found: Findings, folder: Path) -> list[Path]:
    draw = {"history": history, "importances": importances, "slices": slices, "parallel": parallel, "pareto": pareto}
    wanted = [name for name in draw if name not in found.refusals]
    return write(folder, lambda: {name: draw[name](found) for name in wanted})


def panels(number: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """`number` axes in rows of at most COLUMNS; sizes in inches, of one."""
    columns = min(number, COLUMNS)
    rows = math.ceil(number / columns)
    figure = Figure((max(width * columns, 6.4), height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[number:]:
        unused.remove()
    return figure, list(axes[:number])


def history(found: Findings) -> Figure:
    figure = Figure((8, 3.6 * len(found.objectives)), layout="constrained")
    for number, axes in enumerate(figure.subplots(len(found.objectives), 1, squeeze=False).ravel()):
        at = [trial.number for trial in found.complete]
        values = [trial.values[number] for trial in found.complete]
        axes.scatter(at, values, label="complete", **DOTS)
        if len(found.objectives) == 1:
            so_far = (np.minimum if found.lower(number) else np.maximum).accumulate(values)
            axes.step(at, so_far, where="post", color=BAD, label="best so far")
            lagging(axes, found)
        else:
            front = [trial.values[number] for trial in found.best]
            axes.scatter([trial.number for trial in found.best], front, label="on the Pareto front", **RING)
        axes.set_title(f"{found.objectives[number]}: {extreme(found, number)}", loc="left")
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    return figure


def lagging(axes: Axes, found: Findings) -> None:
    stopped = [one for one in found.trials if one.state == TrialState.PRUNED and one.intermediate_values]
    if stopped:
        last = [one.intermediate_values[max(one.intermediate_values)] for one in stopped]
        axes.scatter([one.number for one in stopped], last, s=26, color=GREY, marker="x", label="when pruned")


def extreme(found: Findings, number: int) -> str:
    pick = min if found.lower(number) else max
    one = pick(found.complete, key=lambda trial: trial.values[number])
    return f"best {one.values[number]:.4g}, trial {one.number}"


def importances(found: Findings) -> Figure:
    longest = max(len(shares) for shares in found.importances.values())
    size = (8, len(found.importances) * (1.0 + 0.32 * longest))
    figure = Figure(size, layout="constrained")
    every = figure.subplots(len(found.importances), 1, squeeze=False).ravel()
    for axes, (objective, shares) in zip(every, found.importances.items(), strict=True):
        names, values = list(shares)[::-1], list(shares.values())[::-1]
        bars = axes.barh(shown(names, 40), values, color=GOOD)
        axes.bar_label(bars, [f"{value:.0%}" for value in values], padding=4)
        axes.set(title=f"{objective}: {names[-1]} explains {values[-1]:.0%} of its variance", xlim=(0, 1.05))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="y", visible=False)
    return figure


def slices(found: Findings) -> Figure:
    pairs = [(number, one) for number in range(len(found.objectives)) for one in found.parameters][:PANELS]
    figure, every = panels(len(pairs), 3.4, 3.0)
    for axes, (number, parameter) in zip(every, pairs, strict=True):
        dots(axes, found.complete, parameter, number, DOTS)
        dots(axes, found.best, parameter, number, RING)
        axes.set(xlabel=parameter.name, ylabel=found.objectives[number])
        if parameter.labels:
            names = shown(parameter.labels, 16)
            slope: dict[str, Any] = {"rotation": 25, "ha": "right"} if sum(map(len, names)) > 24 else {}
            axes.set_xticks(range(len(names)), names, **slope)
            axes.set_xlim(-0.5, len(names) - 0.5)
        elif parameter.log:
            axes.set_xscale("log")
    return figure


def dots(axes: Axes, trials: Sequence[FrozenTrial], parameter: Parameter, number: int, look: dict[str, Any]) -> None:
    having = [trial for trial in trials if parameter.name in trial.params]
    places = [parameter.place(trial.params[parameter.name]) for trial in having]
    axes.scatter(places, [trial.values[number] for trial in having], **look)


def parallel(found: Findings) -> Figure:
    """A line for each trial over settings and objectives; the darker the better, the best in red."""
    parameters = found.parameters[: AXES - len(found.objectives)]
    figure = Figure((max(8.0, 1.7 * (len(parameters) + len(found.objectives))), 4.6), layout="constrained")
    axes, trials = figure.subplots(), found.sample(LINES)
    scales = [Scale.of(one, trials) for one in parameters]
    scales += [Scale(name, [trial.values[at] for trial in trials]) for at, name in enumerate(found.objectives)]
    best, ranks = {trial.number for trial in found.best}, ranked(found, trials)
    for at, trial in enumerate(trials):
        own = trial.number in best
        look = {"color": BAD, "lw": 2, "zorder": 3} if own else {"color": colormaps["Blues"](0.25 + 0.7 * ranks[at])}
        axes.plot([scale.heights[at] for scale in scales], **{"lw": 1.1, "alpha": 0.8, **look})
    for place, scale in enumerate(scales):
        axes.axvline(place, color=GREY, lw=1, zorder=1)
        for height, label in scale.ticks:
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
            axes.annotate(label, (place, height), (4, 0), textcoords="offset points", va="center", bbox=box, fontsize=8)
    axes.set_xticks(range(len(scales)), [broken(scale.name) for scale in scales])
    axes.set(yticks=[], xlim=(-0.35, len(scales) - 0.5), title=f"{amount(found, trials)}; the best in red")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    return figure


def amount(found: Findings, trials: Sequence[FrozenTrial]) -> str:
    few = len(trials) < len(found.complete)
    return f"{len(trials):,} of {len(found.complete):,} complete trials" if few else f"{len(trials)} complete trials"


def broken(name: str) -> str:
    """A long name over several lines."""
    return name if len(name) <= 14 else name.replace(".", ".\n")


def ranked(found: Findings, trials: Sequence[FrozenTrial]) -> np.ndarray:
    """0 for the worst to 1 for the best by the first objective."""
    values = np.array([trial.values[0] for trial in trials]) * (-1 if found.lower(0) else 1)
    return values.argsort().argsort() / max(1, len(values) - 1)


class Scale:
    """An upright axis: `heights` from 0 to 1 for each trial, NaN where it has no such setting, and labelled ticks."""

    def __init__(self, name: str, values: Sequence[float], labels: Sequence[str] = (), log: bool = False):
        self.name = name
        known = np.log10(values) if log else np.array(values, dtype=float)
        low, high = (0, len(labels) - 1) if labels else (np.nanmin(known), np.nanmax(known))
        self.heights = (known - low) / (high - low) if high > low else known * 0 + 0.5
        if labels:
            self.ticks = [(place / max(1, high), label) for place, label in enumerate(labels)]
        else:
            marks = np.linspace(low, high, 5) if high > low else [low]
            self.ticks = [
                ((mark - low) / (high - low) if high > low else 0.5, f"{10**mark if log else mark:.3g}")
                for mark in marks
            ]

    @classmethod
    def of(cls, parameter: Parameter, trials: Sequence[FrozenTrial]) -> "Scale":
        name = parameter.name
        places = [parameter.place(one.params[name]) if name in one.params else math.nan for one in trials]
        return cls(name, places, shown(parameter.labels, 18), parameter.log)


def pareto(found: Findings) -> Figure:
    """Every pair of objectives; the front in red."""
    pairs = list(combinations(range(len(found.objectives)), 2))[: 2 * COLUMNS]
    figure, every = panels(len(pairs), 5.0, 4.2)
    for axes, (across, upright) in zip(every, pairs, strict=True):
        for trials, look in ((found.complete, DOTS), (found.best, {**DOTS, "color": BAD, "s": 40, "alpha": 1})):
            axes.scatter([one.values[across] for one in trials], [one.values[upright] for one in trials], **look)
        for one in found.best:
            point = (one.values[across], one.values[upright])
            axes.annotate(str(one.number), point, (5, 4), textcoords="offset points", fontsize=8, color=BAD)
        lower = [found.lower(number) for number in (across, upright)]
        names = [
            f"{found.objectives[number]} ({'lower' if low else 'higher'} is better)"
            for number, low in zip((across, upright), lower, strict=True)
        ]
        axes.set(xlabel=names[0], ylabel=names[1], title=f"{len(found.best)} of {len(found.complete)} on the front")
    return figure
