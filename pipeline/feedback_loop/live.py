"""How versions do in use: what their labelled answers are worth, by version and by day."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.evaluation import statistics
from pipeline.feedback_loop.store import DAY, Labelled
from pipeline.tasks.metrics import lower_is_better

METRICS = {"label": "accuracy", "items": "hit rate", "value": "mae"}  # by what an answer holds


@dataclass(frozen=True)
class Score:
    version: int
    day: str | None  # of the predictions, in UTC; None: all of them
    predictions: int
    labels: int
    value: float | None  # of the metric, with its 95% interval; None without labels
    low: float | None
    high: float | None


def metric(answer: str) -> str:
    """accuracy, hit rate (the item stands in the list that was shown) or mae; of an answer as the store keeps it."""
    given = json.loads(answer)
    return next(METRICS[key] for key in METRICS if key in given)


def worth(one: Labelled) -> float:
    """Right or not, 1 or 0, or the absolute error; their mean is the metric."""
    answer: dict[str, Any] = json.loads(one.prediction.answer)
    if "label" in answer:
        return float(answer["label"] == one.label)
    if "items" in answer:
        return float(any(item["item"] == one.label for item in answer["items"]))
    return abs(answer["value"] - float(one.label))


def scores(labelled: Iterable[Labelled], made: Mapping[tuple[int, int], int]) -> list[Score]:
    """For each version all its days, then each of them; `made`: (version, day since 1970) → predictions."""
    found: dict[tuple[int, int], list[float]] = {}
    name = ""
    for one in labelled:
        name = name or metric(one.prediction.answer)
        found.setdefault((one.prediction.version, one.prediction.time // DAY), []).append(worth(one))
    lines = []
    for version in sorted({version for version, _ in made}):
        days = sorted(day for other, day in made if other == version)
        total = sum(made[version, day] for day in days)
        lines.append(score(name, version, None, total, [x for day in days for x in found.get((version, day), [])]))
        lines += [score(name, version, day, made[version, day], found.get((version, day), [])) for day in days]
    return lines


def score(name: str, version: int, day: int | None, predictions: int, worths: list[float]) -> Score:
    value = float(np.mean(worths)) if worths else None
    date = None if day is None else datetime.fromtimestamp(day * DAY / 1000, UTC).date().isoformat()
    return Score(version, date, predictions, len(worths), value, *interval(name, worths))


def interval(name: str, worths: list[float]) -> tuple[float | None, float | None]:
    """95%, of the mean: Wilson's (1927) of shares, the bootstrap's of errors; None of fewer than two errors."""
    if not lower_is_better(name):
        if not worths:
            return None, None
        low, high = statistics.wilson(sum(worths), len(worths))
        return float(low), float(high)
    return statistics.interval(np.array(worths)) if len(worths) > 1 else (None, None)
