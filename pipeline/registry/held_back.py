"""The gate where labels from use were held back: a challenger may gain on them instead of on the test split.

The two chances share the gate's risk: each gain has to be certain at half of it (Bonferroni). A gain on labels from use
must cost next to nothing on the test split, which no label from use ever reached; and labels that are wrong give
themselves away: a model that learned from their like does not agree with them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.config.schema import Gate
from pipeline.evaluation import paired
from pipeline.evaluation.statistics import bootstrap
from pipeline.registry.comparison import Comparison
from pipeline.registry.gate import Condition, against, gain_of, groups_kept, share_lost, significant
from pipeline.tasks.metrics import sign

TEST, USE = "the test split", "labels from use"


def judged(gate: Gate, pair: Comparison, use: Comparison) -> tuple[list[Condition], dict[str, Any], dict[str, Any]]:
    """Conditions, the gain that they are about, and the gain on the other rows; each gain says under `on` where."""
    half = gate.model_copy(update={"confidence": (1 + gate.confidence) / 2})
    on_test, on_use = gain_of(half, pair) | {"on": TEST}, gain_of(half, use) | {"on": USE}
    if on_use["certain"] > gate.gain >= on_test["certain"]:
        conditions = [*significant(half, use, on_use, USE), *kept(half, pair, use), *groups_kept(gate, pair)]
        return conditions, on_use, on_test
    lost = float(np.quantile(losses(half, use), 1 - half.confidence))
    detail = f"{on_use['observed']:+.4g} on {len(use.test):,} rows"
    same = Condition(f"certain loss on {USE}", lost, "≤", gate.live_loss, detail)
    return [*against(half, pair, on_test), same], on_test, on_use


def kept(gate: Gate, pair: Comparison, use: Comparison) -> Iterator[Condition]:
    """What a gain on labels from use may cost, and whether those labels can be believed."""
    scores = paired.value(pair.values.mean(axis=0), gate.metric)
    lost = float(np.quantile(losses(gate, pair), gate.confidence))
    detail = f"{gate.metric} {scores[0]:.4g} for {scores[1]:.4g} on {len(pair.test):,} rows"
    yield Condition(f"possible loss on {TEST}", lost, "≤", gate.live_loss, detail)
    if gate.live_agreement is not None:
        used = float(paired.value(use.values[:, 0].mean(), gate.metric))
        ratio = (used / scores[0] if sign(gate.metric) > 0 else scores[0] / used) if used else 0.0
        detail = f"the challenger's {gate.metric} is {used:.4g} on them, {scores[0]:.4g} on {TEST}"
        yield Condition(f"agreement of {USE}", float(ratio), "≥", gate.live_agreement, detail)


def losses(gate: Gate, pair: Comparison) -> np.ndarray:
    """(resamples,) the share of the champion's score that is lost; below 0 it is gained."""
    return share_lost(bootstrap(pair.values, gate.resamples, seed=0), gate.metric)
