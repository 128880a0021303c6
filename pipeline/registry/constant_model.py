"""The gate where nobody knows yet what is good: a model must certainly beat what says the same of every row."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from pipeline.config.schema import Gate
from pipeline.evaluation import paired
from pipeline.evaluation.statistics import bootstrap
from pipeline.registry.comparison import Measured, asked
from pipeline.registry.gate import Condition
from pipeline.store import processed
from pipeline.store.held_out import HeldOut
from pipeline.tasks.metrics import sign
from pipeline.tasks.task import by_name

NAME = "certain gain in {} over the {}"


def certain_gain(gate: Gate, client: Any, challenger: Measured, test: HeldOut) -> Iterator[Condition]:
    """Over train's most frequent class, or its mean: the lower bound of the paired bootstrap at gate.confidence.

    Numbers are compared by their squared errors, whatever gate.metric is: of those no constant beats the mean.
    """
    if not gate.over_baseline:
        return
    task = by_name(challenger.task)
    metric, name = "rmse" if task.numeric else gate.metric, task.constant
    own = challenger if metric == gate.metric else asked(client, challenger, test, metric)
    spec, encoder = processed.load_spec(), processed.load_encoder()
    other = paired.trivial(test, encoder, spec["splits"]["train"].get("per_class", []), metric)
    scored = cast("np.ndarray", own.values)  # by the metric
    values, way = np.stack([scored, other], axis=1), sign(metric)
    found = paired.value(values.mean(axis=0), metric)
    means = paired.value(bootstrap(values, gate.resamples, seed=0), metric)
    certain = float(np.quantile(way * (means[:, 0] - means[:, 1]), 1 - gate.confidence))
    observed = way * (found[0] - found[1])
    detail = f"{observed:+.4g}: {found[0]:.4g} for {found[1]:.4g} on {len(test):,} rows{hint(gate, spec)}"
    yield Condition(NAME.format(metric, name), certain, ">", 0.0, detail)


def hint(gate: Gate, spec: dict[str, Any]) -> str:
    """Of classes of which one is nearly all, accuracy says little."""
    counts = spec["splits"]["train"].get("per_class", [])
    rare = gate.metric == "accuracy" and counts and max(counts) > 0.8 * sum(counts)
    return "; where one class is nearly all, compare the mean of the classes: gate.metric=recall" if rare else ""
