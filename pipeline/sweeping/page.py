"""The report as one page that needs no other file and no other host."""

from collections.abc import Sequence
from html import escape
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from plotly.offline import get_plotlyjs

from pipeline.project.html import document, facts, section
from pipeline.project.tables import duration
from pipeline.sweeping import charts
from pipeline.sweeping.analysis import FITTED, LINES, Findings

ROWS = 1000  # trials in the page's table
TITLES = {
    "pareto": "The Pareto front",
    "history": "History",
    "importances": "Importances",
    "slices": "Slices",
    "parallel": "Parallel coordinates",
}
SAID = {
    "pareto": "No other trial is better in one objective without being worse in another.",
    "history": "Every complete trial, in the order in which they began.",
    "importances": "How much of an objective's variance each setting explains by itself or with others (fANOVA). "
    "Few trials make this rough, and a sampler that dwells in one region makes it speak of that region.",
    "slices": "Every complete trial, by one setting at a time.",
    "parallel": "Every line is a trial.",
}


def page(found: Findings) -> str:
    parts = [summary(found), best(found), *figures(found), failed(found), reused(found), every(found)]
    return document(f"Sweep {found.study.study_name}", parts, get_plotlyjs())


def summary(found: Findings) -> str:
    about = found.about
    counts = ", ".join(f"{number:,} {state}" for state, number in found.counts.items())
    aims = ", ".join(
        f"{name} ({'lower' if found.lower(number) else 'higher'} is better)"
        for number, name in enumerate(found.objectives)
    )
    rows = [
        ("trials", f"{len(found.trials):,}: {counts}" if found.trials else "none yet"),
        ("objectives" if len(found.objectives) > 1 else "objective", aims),
        ("training took", f"{duration(found.seconds)}, all trials together"),
        ("scenario", about.get("scenario", "")),
        ("sampler, pruner", f"{about.get('sampler', '')}, {about.get('pruner', '')}"),
        ("space", "\n".join(f"{key} = {value}" for key, value in about.get("space", {}).items())),
        ("the same for all", "\n".join(about.get("overrides", []))),
        ("data fingerprint", about.get("data.fingerprint", "")[:12]),
    ]
    return section("", facts(rows))


def best(found: Findings) -> str:
    if not found.best:
        return section("The best trial", quiet("No trial is complete yet."))
    if len(found.objectives) > 1:
        return ""  # the Pareto front says it
    first, *ties = found.best
    name = f"<p>Trial {first.number}: {escape(found.objectives[0])} <b>{number(first.value)}</b></p>"
    settings = "".join(
        f'<tr><th>{escape(key)}</th><td class="number">{escape(shown(value))}</td></tr>'
        for key, value in first.params.items()
    )
    tie = quiet(f"As good: trial {', '.join(str(one.number) for one in ties)}.") if ties else ""
    return section("The best trial", f"{name}<table>{settings}</table>{tie}")


def figures(found: Findings) -> list[str]:
    drawn, sections = charts.drawn(found), []
    for name, title in TITLES.items():
        if name == "pareto" and len(found.objectives) == 1:
            continue
        front = table(found, found.best) if name == "pareto" and found.best else ""
        if name in drawn:
            content = "".join(wide(name, chart, found) for chart in drawn[name])
            sections.append(section(title, quiet(SAID[name] + capped(name, found)) + front + content))
        else:
            sections.append(section(title, front + quiet(f"Not drawn: {found.refusals[name]}.")))
    return sections


def wide(name: str, chart: str, found: Findings) -> str:
    axes = {"slices": len(found.parameters), "parallel": len(found.parameters) + len(found.objectives)}.get(name, 1)
    return f'<div class="wide"><div style="min-width: {min(axes * charts.PANEL, 4000)}px">{chart}</div></div>'


def capped(name: str, found: Findings) -> str:
    """What the limits left out."""
    most = {"importances": FITTED, "parallel": LINES}.get(name, len(found.complete))
    if len(found.complete) <= most:
        return ""
    return f" From {len(found.sample(most)):,} of the {len(found.complete):,} complete trials, evenly over time."


def failed(found: Findings) -> str:
    trials = [trial for trial in found.trials if trial.state == TrialState.FAIL]
    if not trials:
        return ""
    rows = [(trial.number, trial.user_attrs.get("reason", "no reason was written")) for trial in trials[:ROWS]]
    cells = [f'<tr><td class="number">{at}</td><td class="reason">{escape(why)}</td></tr>' for at, why in rows]
    return section("Failed trials", f"<table><tr><th>trial</th><th>reason</th></tr>{''.join(cells)}</table>")


def reused(found: Findings) -> str:
    trials = [trial for trial in found.trials if "reused" in trial.user_attrs]
    if not trials:
        return ""
    said = ", ".join(f"trial {one.number} (run {one.user_attrs['reused'][:12]})" for one in trials[:ROWS])
    return section("Reused results", f"<p>Trained before with the same settings and data: {escape(said)}.</p>")


def every(found: Findings) -> str:
    if not found.trials:
        return ""
    more = quiet(f"The first {ROWS:,}; trials.csv has all.") if len(found.trials) > ROWS else ""
    return section("All trials", more + table(found, found.trials[:ROWS], states=True))


def table(found: Findings, trials: Sequence[FrozenTrial], states: bool = False) -> str:
    settings = [name for name in names(found) if any(name in trial.params for trial in trials)]
    heads = ["trial", *(["state"] if states else []), *found.objectives, *settings, "seconds"]
    chosen, rows = {trial.number for trial in found.best}, []
    for one in trials:
        values = one.values if one.state == TrialState.COMPLETE else [None] * len(found.objectives)
        cells = [str(one.number), *([one.state.name] if states else []), *map(number, values)]
        cells += [shown(one.params[name]) if name in one.params else "–" for name in settings]
        cells.append(f"{one.user_attrs['seconds']:.1f}" if "seconds" in one.user_attrs else "–")
        marked = [f"<b>{escape(cell)}</b>" if states and one.number in chosen else escape(cell) for cell in cells]
        rows.append("".join(f'<td class="number">{cell}</td>' for cell in marked))
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(f"<tr>{row}</tr>" for row in rows)}</table></div>'


def names(found: Findings) -> list[str]:
    """Settings of all trials, in the order of the space."""
    return list(dict.fromkeys(name for trial in found.trials for name in trial.params))


def quiet(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"
