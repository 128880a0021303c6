"""Scores of a regression in the target's own unit, whatever that unit is; what is made of them."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn

from pipeline.evaluation import regression, reports
from pipeline.evaluation.figures import style
from pipeline.evaluation.regression import Result
from pipeline.project.errors import TrainingError
from tests.support.scoring import settings

HISTORY = [{"epoch": 1, "step": 10, "train/loss": 0.9, "train/mae": 5.0, "val/loss": 0.8, "val/mae": 6.0}]


def scored(targets: list[float], outputs: list[float], mean: float = 0.0, std: float = 1.0) -> Result:
    """`outputs` in standard deviations of train's targets."""
    split = {
        "inputs": torch.tensor(outputs).unsqueeze(1),
        "targets": torch.tensor(targets, dtype=torch.float32),
        "rows": torch.arange(len(targets)) + 1000,
    }
    encoder = {"labels": [], "target": {"mean": mean, "std": std}}
    return regression.evaluate(lambda inputs: inputs, split, encoder, settings(batch_size=2))


def test_a_hand_worked_example():
    result = scored([10.0, 20.0, 30.0, 40.0], [-1.0, 0.0, 0.5, 2.0], mean=20.0, std=10.0)
    assert result.predicted.tolist() == [10, 20, 25, 40]
    assert result.values == {
        "test/count": 4,
        "test/mae": 1.25,
        "test/median_absolute_error": 0,
        "test/r2": pytest.approx(1 - 25 / 500),
        "test/rmse": 2.5,
    }


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (2000.0, 1e-3), (0.0, 1e-9), (-1e20, 1e18)])
def test_scores_agree_with_scikit_learn_in_any_unit(mean: float, std: float):
    generator = np.random.default_rng(0)
    wanted = generator.normal(size=301)
    targets = (mean + std * wanted).astype(np.float32).astype(np.float64)
    outputs = (wanted + generator.normal(size=301) / 2).astype(np.float32)
    result = scored(targets.tolist(), outputs.tolist(), mean, std)
    predicted = result.predicted.numpy()
    expected = {
        "test/mae": sklearn.mean_absolute_error(targets, predicted),
        "test/rmse": sklearn.root_mean_squared_error(targets, predicted),
        "test/median_absolute_error": sklearn.median_absolute_error(targets, predicted),
        "test/r2": sklearn.r2_score(targets, predicted),
    }
    assert {name: result.values[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=0)


@pytest.mark.parametrize("targets", [[7.0], [7.0, 7.0, 7.0], [3e38, 3e38]])
def test_one_row_or_one_value_has_no_r2_and_no_nan(targets: list[float], tmp_path: Path):
    result = scored(targets, [0.5] * len(targets), mean=7.0, std=2.0)
    assert "test/r2" not in result.values
    assert json.loads(json.dumps(result.values, allow_nan=False)) == result.values
    assert len(style.write(tmp_path, lambda: result.figures(HISTORY, 1, torch.zeros(1, 1)))) == 4
    assert result.tables(HISTORY)["errors"]["count"].sum() == len(targets)


def test_outputs_that_are_not_finite_are_refused_by_their_row():
    with pytest.raises(TrainingError, match="row 1002 "):
        scored([1.0, 2.0, 3.0], [0.0, 0.0, float("nan")])


def test_figures_are_the_same_bytes_for_few_rows_and_for_many(tmp_path: Path):
    for rows in (50, 5000):
        noise = torch.randn(2, rows, generator=torch.Generator().manual_seed(0))
        result = scored(noise[0].tolist(), noise.mean(dim=0).tolist())
        drawn = [style.write(tmp_path / name, partial(result.figures, HISTORY, 1, noise)) for name in "ab"]
        first, second = ([path.read_bytes() for path in paths] for paths in drawn)
        assert first == second
        assert [path.stem for path in drawn[0]] == ["predicted", "residuals", "errors", "curves"]


def test_tables_predictions_slices_and_mistakes():
    result = scored([1.0, 2.0, 3.0, 4.0], [1.0, 2.5, 1.0, 4.0])
    assert result.tables(HISTORY)["residuals"].columns == ["actual", "predicted", "residual"]
    frame = result.predictions(torch.arange(4) + 5)
    assert frame.row(2) == (7, 3, 1)
    assert result.mistakes(2).rows() == [(2, 3, 1, -2), (1, 2, 2.5, 0.5)]
    assert result.scores(torch.tensor([1, 2])) == {"mae": 1.25, "rmse": pytest.approx(2.125**0.5), "bias": -0.75}
    long = scored(list(range(9000)), list(range(9000)))
    assert long.tables(HISTORY)["residuals"].height == regression.POINTS
    assert "rmse" in reports.summary(long, {"mean": long.values}, reports.slices(long, None))
