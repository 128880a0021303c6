"""Scores that agree with scikit-learn and with pencil and paper, each sample counted once; what is made of them."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor

from pipeline.evaluation import figures, metrics, predictions
from pipeline.evaluation.metrics import Result
from pipeline.project.errors import DataError, TrainingError

HISTORY = [
    {"epoch": 1, "step": 10, "train/loss": 0.9, "train/accuracy": 0.5, "val/loss": 0.8, "val/accuracy": 0.6},
    {"epoch": 2, "step": 20, "train/loss": 0.4, "train/accuracy": 0.8, "val/loss": 0.5, "val/accuracy": 0.7},
]
PNG = b"\x89PNG\r\n\x1a\n"


def scored(logits: Tensor, targets: Sequence[int], batch_size: int = 1000, bins: int = 10) -> Result:
    """The logits are given as the inputs, so that each batch sees its own."""
    split = {"inputs": logits, "targets": torch.tensor(targets), "rows": torch.arange(len(targets)) + 1000}
    return metrics.evaluate(lambda inputs: inputs, split, [f"c{i}" for i in range(logits.shape[1])], batch_size, bins)


def sure(rows: list[list[float]]) -> Tensor:
    """Logits whose softmax is `rows`."""
    return torch.tensor(rows, dtype=torch.float64).log()


@pytest.fixture(scope="module")
def random() -> Result:
    """300 samples of 4 classes, about 6 in 10 right."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(4, (300,), generator=generator)
    logits = torch.randn(300, 4, generator=generator) + 1.5 * torch.nn.functional.one_hot(targets, 4)
    return scored(logits, targets.tolist(), batch_size=64)


def test_a_hand_worked_example():
    rows = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]]
    result = scored(sure(rows), [0, 1, 1, 2], bins=10)
    assert result.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    values = result.values
    assert values["test/count"] == 4
    assert values["test/accuracy"] == 0.75
    assert [values[f"test/precision/c{i}"] for i in range(3)] == [0.5, 1, 1]
    assert [values[f"test/recall/c{i}"] for i in range(3)] == [1, 0.5, 1]
    assert values["test/f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # class 1 is told from the rest in 4 of 4 pairs, and so are the others
    assert values["test/auroc"] == 1
    assert values["test/loss"] == pytest.approx(-sum(torch.tensor([0.7, 0.3, 0.8, 0.7]).log().tolist()) / 4)
    assert list(values) == sorted(values)


def test_calibration_error_by_hand():
    # bins of a fifth: {0.55 wrong, 0.55 right} and {0.9 right, 1.0 right, 1.0 wrong}
    rows = [[0.55, 0.45], [0.55, 0.45], [0.1, 0.9], [1.0, 0.0], [1.0, 0.0]]
    result = scored(sure(rows).clamp(min=-100), [0, 1, 1, 0, 1], bins=5)
    expected = 2 / 5 * abs(0.5 - 0.55) + 3 / 5 * abs(2 / 3 - 2.9 / 3)
    assert result.values["test/calibration_error"] == pytest.approx(expected, abs=1e-6)
    assert result.calibration.flatten().tolist() == pytest.approx([0.55, 0.5, 2, 2.9 / 3, 2 / 3, 3], abs=1e-6)


def test_scores_agree_with_scikit_learn(random: Result):
    targets, probabilities, predicted = random.targets.numpy(), random.probabilities.numpy(), random.predicted.numpy()
    precision, recall, f1, _ = sklearn.precision_recall_fscore_support(targets, predicted, average="macro")
    expected = {
        "test/accuracy": sklearn.accuracy_score(targets, predicted),
        "test/precision": precision,
        "test/recall": recall,
        "test/f1": f1,
        "test/auroc": sklearn.roc_auc_score(targets, probabilities, multi_class="ovr", average="macro"),
        "test/loss": sklearn.log_loss(targets, probabilities),
    }
    assert {name: random.values[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert random.confusion.tolist() == sklearn.confusion_matrix(targets, predicted).tolist()
    by_class = sklearn.recall_score(targets, predicted, average=None)
    assert [random.values[f"test/recall/c{i}"] for i in range(4)] == pytest.approx(by_class, rel=1e-6)


def test_curves_keep_their_area_and_the_bins_give_the_calibration_error(random: Result):
    areas = [torch.trapezoid(tpr, fpr).item() for fpr, tpr in random.roc]
    assert areas == pytest.approx(random.auroc.tolist(), abs=1e-6)
    confidence, accuracy, count = random.calibration.T
    assert count.sum() == 300
    error = ((accuracy - confidence).abs() * count).sum().item() / 300
    assert error == pytest.approx(random.values["test/calibration_error"], abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 20, 21])
def test_every_sample_counts_once_in_any_batches(batch_size: int):
    logits = torch.randn(21, 3, generator=torch.Generator().manual_seed(1))
    targets = [i % 3 for i in range(21)]
    result, whole = scored(logits, targets, batch_size), scored(logits, targets)
    assert result.values["test/count"] == 21
    assert result.values == pytest.approx(whole.values, rel=1e-7)
    assert result.confusion.equal(whole.confusion)


def test_a_class_that_is_never_predicted_scores_zero():
    result = scored(sure([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.1, 0.4]]), [0, 1, 2])
    assert [result.values[f"test/{name}/c2"] for name in ("precision", "recall", "f1")] == [0, 0, 0]
    assert result.values["test/recall"] == pytest.approx(2 / 3)
    assert result.values["test/auroc"] == 1


def test_very_sure_probabilities_keep_their_order():
    # In float32 the first column would be 1.0 in every row, and its AUROC a half
    logits = torch.tensor([[30.0, 0.0], [29.0, 0.0], [28.0, 0.0], [27.0, 0.0]])
    assert scored(logits, [0, 0, 1, 1]).values["test/auroc"] == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused_by_their_row(bad: float):
    logits = torch.zeros(9, 3)
    logits[5, 1] = logits[7, 0] = bad
    with pytest.raises(TrainingError, match="row 1005 "):
        scored(logits, [0, 1, 2] * 3, batch_size=2)


def test_logits_of_a_wrong_shape_are_refused():
    split = {"inputs": torch.zeros(4, 2), "targets": torch.tensor([0, 1, 2, 0]), "rows": torch.arange(4)}
    with pytest.raises(TrainingError, match=r"shape \(4, 2\) for 4 rows; \(4, 3\) is allowed"):
        metrics.evaluate(lambda inputs: inputs, split, ["a", "b", "c"], 10, 10)


def test_a_split_without_some_class_is_refused():
    with pytest.raises(DataError, match="none of class c1, c3;"):
        scored(torch.zeros(3, 4), [0, 2, 2])


def drawn(folder: Path, result: Result, inputs: Tensor) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in figures.write(folder, result, HISTORY, 2, inputs)}


def test_figures_are_the_same_bytes_when_drawn_again(random: Result, tmp_path: Path):
    inputs = torch.arange(300 * 64).reshape(300, 1, 8, 8).remainder(256).to(torch.uint8)
    first, second = (drawn(tmp_path / name, random, inputs) for name in "ab")
    assert sorted(first) == ["calibration", "confusion", "curves", "pictures", "roc"]
    assert all(content.startswith(PNG) and len(content) > 5000 for content in first.values())
    assert first == second
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_figures_of_a_table_and_of_a_faultless_model(tmp_path: Path):
    faultless = scored(sure([[0.9, 0.1], [0.2, 0.8]]), [0, 1])
    assert "pictures" not in drawn(tmp_path, faultless, torch.zeros(2, 5))
    assert "pictures" in drawn(tmp_path, faultless, torch.zeros(2, 3, 4, 6, dtype=torch.uint8))


def test_predictions_are_the_same_bytes_and_name_the_published_rows(random: Result, tmp_path: Path):
    rows = torch.arange(300) + 1000
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for path in (first, second):
        predictions.write_parquet(path, random, rows)
    assert first.read_bytes() == second.read_bytes()
    frame = pl.read_parquet(first)
    assert frame.columns == ["row", "label", "predicted", "p_c0", "p_c1", "p_c2", "p_c3"]
    assert frame.schema["row"] == pl.Int64
    assert frame.schema["p_c0"] == pl.Float32
    assert frame["row"].to_list() == rows.tolist()
    assert (frame["label"] == frame["predicted"]).mean() == pytest.approx(random.values["test/accuracy"], rel=1e-6)


def test_tables_for_dvc_plots(random: Result, tmp_path: Path):
    predictions.write_plots(tmp_path, random, HISTORY)
    tables = {path.stem: pl.read_csv(path) for path in tmp_path.iterdir()}
    assert tables["curves"].columns == ["epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert tables["curves"]["epoch"].to_list() == [1, 2]
    assert tables["confusion"].columns == ["actual", "predicted"]
    assert tables["confusion"].height == 300
    assert tables["calibration"]["count"].sum() == 300
    for _, curve in tables["roc"].group_by("class"):
        assert curve.select("fpr", "tpr").row(0) == (0, 0)
        assert curve.select("fpr", "tpr").row(-1) == (1, 1)


def test_a_long_roc_curve_is_thinned_between_its_ends():
    table = predictions.roc("c0", torch.linspace(0, 1, 5001), torch.linspace(0, 1, 5001) ** 0.5)
    assert table.height == predictions.ROC_POINTS
    assert table.select("fpr", "tpr").row(0) == (0, 0)
    assert table.select("fpr", "tpr").row(-1) == (1, 1)
