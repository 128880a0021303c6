"""The gate's statistics: published examples, SciPy's own functions, and what they promise over many promotions."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pipeline.config.schema import Gate
from pipeline.evaluation.statistics import bootstrap, interval, p_value, wilson
from pipeline.registry import gate, held_back
from pipeline.registry.comparison import Comparison, Measured
from pipeline.store.held_out import HeldOut

SETTINGS = Gate(
    name="classification",
    metric="accuracy",
    gain=0.0,
    confidence=0.95,
    resamples=10_000,
    worst_class=None,
    worst_slice=None,
    least_rows=50,
    latency_ms=None,
    size_mb=None,
    calibration_error=None,
    live_loss=0.01,
    live_agreement=0.9,
    over_baseline=False,
    minimum={},
)
# Heights of crossed less self-fertilised maize, in eighths of an inch: Darwin, 1876; Fisher, 1935, sections 17 and 21
MAIZE = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], float)


def passes(values: np.ndarray, targets: list[str] | None = None, slices: pl.DataFrame | None = None, **more: Any):
    """The conditions by name; `values` (N, 2) of challenger and champion."""
    settings = SETTINGS.model_copy(update=more)
    test = HeldOut(None, targets or ["a"] * len(values), pl.DataFrame() if slices is None else slices, "")
    task = "regression" if settings.metric in ("mae", "rmse") else "classification"
    pair = Comparison(test, *(Measured(None, task, column, 1.0, 1, 1.0) for column in values.T))
    return {each.name: each for each in gate.against(settings, pair, gate.gain_of(settings, pair))}


def promoted(values: np.ndarray, **more: Any) -> bool:
    return all(each.passed for each in passes(values, **more).values())


def right(rows: int, seed: int, gain: float, discordant: float) -> np.ndarray:
    """(rows, 2) of 0 and 1: the two differ on a share of the rows, and one is right on `gain` more of them."""
    where = np.random.default_rng(seed).random(rows)
    won, lost = where < (discordant + gain) / 2, (where >= (discordant + gain) / 2) & (where < discordant)
    both = where < 0.9
    return np.stack([(both & ~lost) | won, (both & ~won) | lost], axis=1).astype(float)


def test_mcnemars_exact_test_gives_the_published_p_value():
    # 21 children, 7 changed one way and 1 the other: two-sided 0.0703. Fagerland, Lydersen and Laake, 2013
    differences = np.repeat([1.0, -1.0, 0.0], [7, 1, 13])
    assert 2 * p_value(differences, 0, 1000, 0) == pytest.approx(0.0703, abs=5e-5)
    assert p_value(np.zeros(5), 0, 1000, 0) == 1.0


def test_the_randomisation_test_gives_fishers_p_value():
    # 863 of the 32,768 ways to sign the differences give as large a sum, or larger: two-sided 0.0527
    assert p_value(MAIZE, 0, 200_000, 0) == pytest.approx(863 / 32_768, abs=1e-3)


def test_the_bootstrap_finds_the_standard_error_and_scipys_interval():
    means = bootstrap(MAIZE[:, None], 100_000, 0)[:, 0]
    assert means.std() == pytest.approx(MAIZE.std() / np.sqrt(15), rel=0.01)
    scipys = stats.bootstrap((MAIZE,), np.mean, n_resamples=100_000, method="percentile", rng=1).confidence_interval
    assert interval(MAIZE, resamples=100_000) == pytest.approx((scipys.low, scipys.high), abs=0.4)
    many = np.random.default_rng(0).normal(size=(1000, 2))  # too many different rows to draw their counts
    both = bootstrap(many, 2000, 0)
    assert np.corrcoef(both.T)[0, 1] == pytest.approx(np.corrcoef(many.T)[0, 1], abs=0.08)  # rows stay together
    assert both.std(axis=0) == pytest.approx(many.std(axis=0) / np.sqrt(1000), rel=0.08)
    np.testing.assert_array_equal(both, bootstrap(many, 2000, 0))


def test_models_that_are_equal_are_promoted_no_more_often_than_stated():
    wrongly = sum(promoted(right(300, seed, 0.0, 0.2), resamples=2000) for seed in range(2000))
    assert 0.02 < wrongly / 2000 <= 0.05


def test_a_real_gain_of_a_point_is_promoted_four_times_in_five():
    rightly = sum(promoted(right(10_000, seed, 0.01, 0.14)) for seed in range(100))
    assert rightly >= 80


def test_as_much_worse_as_the_margin_is_not_promoted_more_often_than_stated():
    """Non-inferiority: the gain that is asked for is below 0."""
    wrongly = sum(promoted(right(500, seed, -0.02, 0.1), gain=-0.02) for seed in range(300))
    assert wrongly / 300 < 0.08
    assert promoted(right(10_000, 0, 0.0, 0.02), gain=-0.01)
    same = np.ones((500, 2))
    assert promoted(same, gain=-0.01)
    assert not promoted(same)
    assert not promoted(same[:50], gain=-0.01)  # of so few rows nothing is known to a point


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_of_errors_the_smaller_are_better(metric):
    chance = np.random.default_rng(0)
    errors = np.abs(chance.normal(size=(400, 2))) * [0.8, 1.0]
    rows = errors**2 if metric == "rmse" else errors
    assert promoted(rows, metric=metric)
    assert not promoted(rows[:, ::-1], metric=metric)
    found = passes(rows, metric=metric)[f"certain gain in {metric}"]
    shown = np.sqrt((errors**2).mean(axis=0)) if metric == "rmse" else errors.mean(axis=0)
    assert f"{shown[1] - shown[0]:+.4g}: {shown[0]:.4g} for {shown[1]:.4g}" in found.detail


def test_a_class_or_slice_that_certainly_loses_refuses_a_gain():
    values = right(4000, 0, 0.06, 0.08)
    targets = ["rare" if row < 100 else "usual" for row in range(4000)]
    slices = pl.DataFrame({"town": ["Oslo" if row % 2 else "Bergen" for row in range(4000)]})
    more = {"targets": targets, "slices": slices, "worst_class": 0.05, "worst_slice": 0.05}
    assert all(each.passed for each in passes(values, **more).values())
    values[:100] = [0.0, 1.0]
    found = passes(values, **more)
    failed = [name for name, each in found.items() if not each.passed]
    assert failed == ["certain loss of a class"]
    assert "rare: -100.00%" in found[failed[0]].detail
    assert "2 compared" in found["certain loss of a slice"].detail
    few = passes(values, **more | {"least_rows": 101})  # of too few rows
    assert all(each.passed for each in few.values())


def on_use(test: np.ndarray, used: np.ndarray, **more: Any) -> dict[str, bool]:
    """Which conditions pass; values (N, 2) of challenger and champion on the test split and on labels from use."""

    def pair(values: np.ndarray) -> Comparison:
        held = HeldOut(None, ["a"] * len(values), pl.DataFrame(), "")
        return Comparison(held, *(Measured(None, "classification", column, 1.0, 1, 1.0) for column in values.T))

    conditions, _, _ = held_back.judged(SETTINGS.model_copy(update=more), pair(test), pair(used))
    return {each.name: each.passed for each in conditions}


def test_two_chances_of_models_that_are_equal_are_no_more_than_one():
    rounds = [
        on_use(right(2000, seed, 0.0, 0.01), right(300, 9999 - seed, 0.0, 0.2), resamples=2000) for seed in range(300)
    ]
    assert 0.003 < sum(all(found.values()) for found in rounds) / 300 <= 0.05


def test_a_gain_on_labels_from_use_must_cost_nothing_on_the_test_split():
    gain = right(400, 0, 0.1, 0.2)
    assert all(on_use(right(10_000, 0, 0.0, 0.02), gain).values())
    found = on_use(right(10_000, 0, -0.03, 0.05), gain)
    assert [name for name, passed in found.items() if not passed] == ["possible loss on the test split"]
    assert not all(on_use(right(100, 0, 0.0, 0.05), gain).values()), "of so few rows it is not known"


def test_labels_that_are_wrong_agree_with_no_model():
    """Of 30% wrong labels even the best model is right on 70%."""
    gain, wrong = right(400, 0, 0.1, 0.2), np.random.default_rng(0).random(400) < 0.3
    gain[wrong] = np.random.default_rng(1).random((400, 2))[wrong] < 0.1
    gain[~wrong, 0] = 1.0
    found = on_use(right(10_000, 0, 0.0, 0.02), gain)
    assert [name for name, passed in found.items() if not passed] == ["agreement of labels from use"]
    assert all(on_use(right(10_000, 0, 0.0, 0.02), gain, live_agreement=None).values())


def test_a_gain_on_the_test_split_may_not_be_a_loss_in_use():
    gain = right(2000, 0, 0.05, 0.1)
    assert all(on_use(gain, right(400, 0, 0.0, 0.1)).values())
    found = on_use(gain, right(400, 0, -0.1, 0.2))
    assert [name for name, passed in found.items() if not passed] == ["certain loss on labels from use"]


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (3, 7), (9, 10), (50, 1000), (999, 1000)])
def test_wilsons_interval_is_scipys(right: int, count: int) -> None:
    found = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((found.low, found.high), abs=1e-6)
