"""What `ratchet feedback` tells: scores in use and drift, for a terminal and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.config.schema import Config
from pipeline.feedback_loop import live
from pipeline.feedback_loop.comparing import Compared
from pipeline.feedback_loop.drift import Drift, drift
from pipeline.feedback_loop.live import Score
from pipeline.feedback_loop.store import Store
from pipeline.project.tables import number, table

DAYS = 14  # of a version, the latest, in the terminal
BIASED = "Labels are no random sample: people correct what is wrong sooner than they confirm what is right."


@dataclass(frozen=True)
class Report:
    model: str
    metric: str
    time: str
    scores: list[Score]
    drift: Drift

    @property
    def as_json(self) -> dict[str, Any]:
        told = asdict(self)
        told["drift"]["drifted"] = [one.name for one in self.drift.drifted]
        return told

    @property
    def text(self) -> str:
        return "\n".join([*scored(self), "", *drifted(self.drift)])


def report(config: Config, store: Store) -> Report:
    model = config.registry.model
    labelled = (one for one in store.labelled() if one.prediction.model == model)
    newest = store.newest(model, 1)
    return Report(
        model=model,
        metric=live.metric(newest[0].answer) if newest else "",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        scores=live.scores(labelled, store.made(model)),
        drift=drift(config, store),
    )


def scored(report: Report) -> Iterator[str]:
    if not report.scores:
        yield f"{report.model}: nothing was predicted yet. Type: ratchet serve"
        return
    rows: list[tuple[str, ...]] = [("version", "day", "predictions", "labels", report.metric, "95% interval")]
    days: dict[int, int] = {}
    for one in reversed(report.scores):
        days[one.version] = days.get(one.version, 0) + (one.day is not None)
        if one.day is None or days[one.version] <= DAYS:
            rows.insert(1, line(one))
    yield table(rows)
    yield BIASED


def line(one: Score) -> tuple[str, ...]:
    reach = f"{number(one.low)} to {number(one.high)}" if one.low is not None else "-"
    counts = f"{one.predictions:,}", f"{one.labels:,}"
    return str(one.version), one.day or "all", *counts, number(one.value), reach


def drifted(found: Drift) -> Iterator[str]:
    yield from found.notes
    if not found.inputs:
        return
    bad = {one.name for one in found.drifted}
    rows: list[tuple[str, ...]] = [("feature", "PSI", "test", "statistic", "p", "")]
    ordered = sorted([*found.inputs, *found.answers], key=lambda one: (one.name not in bad, -one.psi))
    rows += [drift_line(one, one.name in bad) for one in ordered]
    yield f"{found.live:,} predictions of version {found.version} against the data that it was made of"
    yield table(rows)
    if found.unusable:
        yield f"{found.unusable:,} records can't be read by this data's encoder"
    yield f"drifted: {', '.join(one.name for one in found.drifted) or 'nothing'}"


def drift_line(one: Compared, bad: bool) -> tuple[str, ...]:
    return one.name, f"{one.psi:.3f}", one.test, f"{one.statistic:.3g}", f"{one.p:.2g}", "DRIFTED" if bad else ""
