"""Why to retrain: enough new labels, a score that certainly fell, drift; as `feedback` in the settings says."""

from dataclasses import dataclass

from pipeline.config.schema import Config
from pipeline.retraining.exporting import chosen
from pipeline.serving.store import Store


@dataclass(frozen=True)
class News:
    """Labels that came after the last retraining, and what they are a reason for."""

    labels: int
    until: int  # number of the last
    reasons: list[str]


def news(config: Config, store: Store, after: int) -> News:
    """`after`: the number of the last label that a retraining had."""
    settings, labels, until = config.feedback, 0, after
    for one in chosen(config, store, after):
        labels, until = labels + 1, one.sequence
    if labels < settings.least:
        return News(labels, until, [])
    found = []
    if settings.labels is not None and labels >= settings.labels:
        found.append(f"{labels:,} new labels")
    return News(labels, until, found)
