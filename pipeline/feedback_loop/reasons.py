"""Why to retrain: enough new labels, a score that certainly fell, drift; as `feedback` in the settings says."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.config.schema import Config
from pipeline.feedback_loop import live
from pipeline.feedback_loop.drift import drift
from pipeline.feedback_loop.exporting import chosen
from pipeline.feedback_loop.store import Labelled, Store
from pipeline.tasks.metrics import lower_is_better

FEWEST = 30  # labels of which a score is taken
TESTED = {"accuracy": "test/accuracy", "hit rate": "test/hr_10", "mae": "test/mae"}  # the tags of a version


@dataclass(frozen=True)
class News:
    """Labels that came after the last retraining, and what they are a reason for."""

    labels: int
    until: int  # number of the last
    reasons: list[str]


def news(config: Config, store: Store, after: int) -> News:
    """`after`: the number of the last label that a retraining had."""
    labels, until, newest = 0, after, None
    for one in chosen(config, store, after):
        labels, until = labels + 1, one.sequence
        if newest is None or one.prediction.time >= newest.prediction.time:
            newest = one
    if newest is None or labels < config.feedback.least:
        return News(labels, until, [])
    return News(labels, until, list(reasons(config, store, after, labels, newest)))


def reasons(config: Config, store: Store, after: int, labels: int, newest: Labelled) -> Iterator[str]:
    settings = config.feedback
    if settings.labels is not None and labels >= settings.labels:
        yield f"{labels:,} new labels"
    if settings.score:
        yield from fallen(config, store, after, newest)
    if settings.drift and (found := drift(config, store).new):
        yield f"drift of {', '.join(one.name for one in found)}"


def fallen(config: Config, store: Store, after: int, newest: Labelled) -> Iterator[str]:
    """Whether new labels on the newest version's answers are certainly worse than what it did before."""
    version, metric = newest.prediction.version, live.metric(newest.prediction.answer)
    old: list[float] = []
    new: list[float] = []
    for one in chosen(config, store):
        if one.prediction.version == version:
            (new if one.sequence > after else old).append(live.worth(one))
    if len(new) < FEWEST:
        return
    before = float(np.mean(old)) if len(old) >= FEWEST else tested(config.registry.model, version, metric)
    if before is None:  # there is nothing to compare with
        return
    low, high = live.interval(metric, new)
    if low is None or high is None:
        return
    worse = low > before if lower_is_better(metric) else high < before
    if worse:
        yield f"{metric} of version {version} is {np.mean(new):.4g} ({low:.4g} to {high:.4g}), and was {before:.4g}"


def tested(model: str, version: int, metric: str) -> float | None:
    """Its score on the test split, when it was registered; None if the version is not in MLflow any more."""
    from pipeline.registry.aliases import by_number
    from pipeline.tracking import mlflow_store

    with mlflow_store.answering("ratchet feedback --retrain"):
        found = by_number(mlflow_store.client(), model, version)
        return found and float(found.tags[TESTED[metric]])
