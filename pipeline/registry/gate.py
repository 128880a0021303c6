"""The gate: what a challenger must reach, alone and against the champion on the same rows.

Where two models are compared, what is certain at `gate.confidence` counts, not what was observed: a gain must be
certain, and so must be a loss of a class or slice that refuses.
"""

import operator
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.schema import Gate
from pipeline.evaluation import paired
from pipeline.evaluation.statistics import between, bootstrap, p_value
from pipeline.registry.comparison import Comparison, Measured
from pipeline.tasks.metrics import lower_is_better, sign
from pipeline.tasks.task import by_name

COMPARE = {"≥": operator.ge, ">": operator.gt, "≤": operator.le}
TRIED = 20  # groups, those that lost most, whose loss is bootstrapped


@dataclass(frozen=True)
class Condition:
    name: str
    given: float | None
    sense: str  # ≥, > or ≤
    needed: float | None
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.given is not None and self.needed is not None and COMPARE[self.sense](self.given, self.needed)


def alone(gate: Gate, challenger: Measured) -> Iterator[Condition]:
    """What the challenger must reach by itself: all that a first champion needs."""
    for metric, least in sorted(gate.minimum.items()):
        sense = "≤" if lower_is_better(metric) else "≥"
        detail = least if isinstance(least, str) else "gate.minimum"
        yield Condition(metric, challenger.metric(metric), sense, challenger.metric(least), detail)
    if gate.latency_ms is not None:
        yield Condition(
            "p95 latency in ms", challenger.latency_ms, "≤", gate.latency_ms, f"of {challenger.timed} single records"
        )
    if gate.size_mb is not None:
        yield Condition("size in MB", challenger.size_mb, "≤", gate.size_mb)
    if gate.calibration_error is not None and by_name(challenger.task).classes:
        error = challenger.metric("test/calibration_error")
        yield Condition("calibration error", error, "≤", gate.calibration_error)


def against(gate: Gate, pair: Comparison, gain: dict[str, Any]) -> Iterator[Condition]:
    """What it must be beside the champion; `gain` as gain_of found it."""
    yield from significant(gate, pair, gain)
    yield from groups_kept(gate, pair)


def significant(gate: Gate, pair: Comparison, gain: dict[str, Any], where: str = "") -> Iterator[Condition]:
    on = f" on {where}" if where else ""
    yield Condition(
        f"certain gain in {gate.metric}{on}",
        gain["certain"],
        ">",
        gate.gain,
        f"{gain['observed']:+.4g}: {gain['challenger']:.4g} for {gain['champion']:.4g} on {len(pair.test):,} rows",
    )
    yield Condition(f"{gain['test']}: p", gain["p"], "≤", round(1 - gate.confidence, 9), gain["counts"])


def groups_kept(gate: Gate, pair: Comparison) -> Iterator[Condition]:
    if gate.worst_class is not None and by_name(pair.task).classes:
        yield from losses(gate, pair, "class", pl.DataFrame({"class": pair.test.targets}), gate.worst_class)
    if gate.worst_slice is not None and pair.test.slices.width:
        yield from losses(gate, pair, "slice", pair.test.slices, gate.worst_slice)


def gain_of(gate: Gate, pair: Comparison) -> dict[str, Any]:
    """The metric of both, their difference so that more is better, its intervals, and the test's p."""
    values, way = pair.values, sign(gate.metric)  # (N, 2)
    found = paired.value(values.mean(axis=0), gate.metric)
    means = paired.value(bootstrap(values, gate.resamples, seed=0), gate.metric)
    gains = way * (means[:, 0] - means[:, 1])
    differences = way * (values[:, 0] - values[:, 1])
    if gate.metric == "rmse":  # of squares: a − b = (a² − b²) / (a + b)
        differences = differences / max(found.sum(), np.finfo(float).tiny)
    whole = gate.gain == 0 and np.isin(differences, (-1, 0, 1)).all()
    return {
        "challenger": float(found[0]),
        "champion": float(found[1]),
        "observed": float(way * (found[0] - found[1])),
        "certain": float(np.quantile(gains, 1 - gate.confidence)),
        "interval_95": between(gains, 0.95),
        "challenger_interval_95": between(means[:, 0], 0.95),
        "champion_interval_95": between(means[:, 1], 0.95),
        "test": "McNemar's exact test" if whole else "paired randomisation test",
        "p": p_value(differences, gate.gain, gate.resamples, seed=0),
        "counts": f"{(differences > 0).sum():,} rows won, {(differences < 0).sum():,} lost",
        "rows": len(values),
        "resamples": gate.resamples,
    }


def summary(gate: Gate, gain: dict[str, Any]) -> str:
    """A line for the ledger."""
    low, high = gain["interval_95"]
    return (
        f"{gate.metric} {gain['champion']:.4g} → {gain['challenger']:.4g} on {gain['rows']:,} rows{of(gain)}, "
        f"gain {gain['observed']:+.4g} (95%: {low:+.4g} to {high:+.4g}), p {gain['p']:.2g}"
    )


def of(gain: dict[str, Any]) -> str:
    return f" of {gain['on']}" if "on" in gain else ""


def losses(gate: Gate, pair: Comparison, what: str, columns: pl.DataFrame, most: float) -> Iterator[Condition]:
    """The class or slice that certainly loses most of the champion's score."""
    groups = {
        f"{name}={value}" if what == "slice" else str(value): np.array(rows)
        for name in columns.columns
        for value, rows in columns.with_row_index(" i").group_by(name, maintain_order=True).agg(" i").rows()
        if len(rows) >= gate.least_rows
    }
    if not groups:
        return
    lost = {name: float(share_lost(pair.values[rows].mean(axis=0), gate.metric)) for name, rows in groups.items()}
    certain = {}
    for name in sorted(lost, key=lambda name: -lost[name])[:TRIED]:
        means = bootstrap(pair.values[groups[name]], gate.resamples, seed=0)
        certain[name] = float(np.quantile(share_lost(means, gate.metric), 1 - gate.confidence))
    name = max(certain, key=lambda each: (certain[each], lost[each]))
    detail = f"{name}: {-lost[name]:+.2%} of the champion's {gate.metric}; {len(groups):,} compared"
    yield Condition(f"certain loss of a {what}", certain[name], "≤", most, detail)


def share_lost(means: np.ndarray, metric: str) -> np.ndarray:
    """(…, 2) means of challenger and champion → (…,) the share of the champion's score that is lost, if above 0."""
    challenger, champion = np.moveaxis(paired.value(means, metric), -1, 0)
    lost = sign(metric) * (champion - challenger)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lost == 0, 0.0, lost / np.abs(champion))


def table(found: list[Condition]) -> str:
    width = max(len(each.name) for each in found)
    lines = [f"{'condition':<{width}} {'given':>10}   {'needed':<9}"]
    for each in found:
        verdict = "passed" if each.passed else "FAILED"
        needed = f"{each.sense} {shown(each.needed)}"
        lines.append(f"{each.name:<{width}} {shown(each.given):>10}   {needed:<9} {verdict}  {each.detail}".rstrip())
    return "\n".join(lines)


def shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4g}"


def as_report(found: list[Condition]) -> list[dict[str, Any]]:
    return [asdict(each) | {"passed": each.passed} for each in found]
