"""Scores of a classifier that agree with scikit-learn and with pencil and paper; what is made of them."""

from pathlib import Path

import polars as pl
import pytest
import torch
from sklearn import metrics as sklearn
from torch import Tensor

from pipeline.evaluation import classification, curves
from pipeline.evaluation.classification import Result
from pipeline.evaluation.figures import classification as figures
from pipeline.evaluation.figures import style
from pipeline.project.errors import DataError, TrainingError
from tests.support.scoring import HISTORY, guesses, scored, sure

PNG = b"\x89PNG\r\n\x1a\n"
CHINESE = ["非常非常非常非常长的类别名称没有尽头", "正面", "负面"]


@pytest.fixture(scope="module")
def random() -> Result:
    return guesses(300, 4)


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
        "test/average_precision": sklearn.average_precision_score(targets, probabilities, average="macro"),
        "test/loss": sklearn.log_loss(targets, probabilities),
    }
    assert {name: random.values[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert random.confusion.tolist() == sklearn.confusion_matrix(targets, predicted).tolist()
    by_class = sklearn.recall_score(targets, predicted, average=None)
    assert [random.values[f"test/recall/c{i}"] for i in range(4)] == pytest.approx(by_class, rel=1e-6)


def test_curves_keep_their_area_and_the_bins_give_the_calibration_error(random: Result):
    roc = [random.roc(index) for index in range(4)]
    areas = [torch.trapezoid(tpr, fpr).item() for fpr, tpr in roc]
    assert areas == pytest.approx(random.by_class["auroc"].tolist(), abs=1e-6)
    for index in range(4):
        recall, precision = random.pr(index)
        area = (-recall.diff() * precision[:-1]).sum().item()
        assert area == pytest.approx(random.by_class["average_precision"][index].item(), abs=1e-6)
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
    with pytest.raises(TrainingError, match=r"shape \(4, 2\) for 4 rows; \(4, 3\) is allowed"):
        scored(torch.zeros(4, 2), [0, 1, 2, 0], labels=["a", "b", "c"])


def test_a_split_without_some_class_is_refused():
    with pytest.raises(DataError, match="none of class c1, c3;"):
        scored(torch.zeros(3, 4), [0, 2, 2])


def drawn(folder: Path, result: Result, inputs: Tensor) -> dict[str, bytes]:
    paths = style.write(folder, lambda: result.figures(HISTORY, 2, inputs))
    return {path.stem: path.read_bytes() for path in paths}


def test_figures_are_the_same_bytes_when_drawn_again(random: Result, tmp_path: Path):
    inputs = torch.arange(300 * 64).reshape(300, 1, 8, 8).remainder(256).to(torch.uint8)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/residuals.png").write_bytes(b"of another task")
    first, second = (drawn(tmp_path / name, random, inputs) for name in "ab")
    assert sorted(first) == ["calibration", "confusion", "curves", "pictures", "pr", "roc"]
    assert all(content.startswith(PNG) and len(content) > 5000 for content in first.values())
    assert first == second
    assert sorted(path.stem for path in (tmp_path / "b").iterdir()) == sorted(first)


def test_figures_of_a_table_and_of_a_faultless_model(tmp_path: Path):
    faultless = scored(sure([[0.9, 0.1], [0.2, 0.8]]), [0, 1])
    assert "pictures" not in drawn(tmp_path, faultless, torch.zeros(2, 5))
    assert "pictures" in drawn(tmp_path, faultless, torch.zeros(2, 3, 4, 6, dtype=torch.uint8))


def test_figures_show_odd_labels_without_a_warning(tmp_path: Path):
    labels = [*CHINESE, "_hidden", "$x^2", "$\\frac$", "two\nlines", "", "🦆"]
    result = guesses(90, len(labels), labels)
    inputs = torch.zeros(90, 1, 4, 4, dtype=torch.uint8)
    assert all(content.startswith(PNG) for content in drawn(tmp_path, result, inputs).values())


def test_what_no_font_has_is_shown_by_its_number():
    assert style.shown(["ok", "\U000f0000", "a$b", "x" * 30], longest=9) == ["ok", "#1", r"a\$b", "xxxxx…xxx"]


def test_many_classes_have_curves_and_rows_where_they_are_weakest(tmp_path: Path):
    result = guesses(600, 100)
    tables = result.tables(HISTORY)
    for name in ("roc", "pr"):
        assert tables[name]["class"].n_unique() == classification.WEAKEST
    assert tables["classes"].height == 100
    assert tables["confusion"]["count"].sum() == 600
    assert style.write(tmp_path, lambda: {"roc": figures.roc(result), "confusion": figures.confusion(result)})
    worst = result.by_class["auroc"].argsort(stable=True)[0].item()
    assert tables["roc"]["class"][0] == f"c{worst}"
    assert len(result.weakest()) < 100


def test_predictions_are_the_same_bytes_and_name_the_published_rows(random: Result, tmp_path: Path):
    rows = torch.arange(300) + 1000
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for path in (first, second):
        random.predictions(rows).write_parquet(path)
    assert first.read_bytes() == second.read_bytes()
    frame = pl.read_parquet(first)
    assert frame.columns == ["row", "label", "predicted", "p_c0", "p_c1", "p_c2", "p_c3"]
    assert frame.schema["row"] == pl.Int64
    assert frame.schema["p_c0"] == pl.Float32
    assert frame["row"].to_list() == rows.tolist()
    assert (frame["label"] == frame["predicted"]).mean() == pytest.approx(random.values["test/accuracy"], rel=1e-6)


def test_tables_for_dvc_plots(random: Result):
    tables = random.tables(HISTORY)
    columns = ["epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_score"]
    assert tables["curves"].columns == columns
    assert tables["curves"]["epoch"].to_list() == [1, 2]
    confusion = tables["confusion"]
    assert confusion.columns == ["actual", "predicted", "count"]
    right = confusion.filter(pl.col("actual") == pl.col("predicted"))["count"].sum()
    assert right / confusion["count"].sum() == pytest.approx(random.values["test/accuracy"], rel=1e-6)
    assert tables["calibration"]["count"].sum() == 300
    for _, curve in tables["roc"].group_by("class"):
        assert curve.select("fpr", "tpr").row(0) == (0, 0)
        assert curve.select("fpr", "tpr").row(-1) == (1, 1)
    for _, curve in tables["pr"].group_by("class"):
        assert curve.select("recall", "precision").row(-1) == (0, 1)


def test_a_long_curve_is_thinned_between_its_ends():
    x, y = curves.thinned(torch.linspace(0, 1, 5001), torch.linspace(0, 1, 5001) ** 0.5, most=200)
    assert len(x) == len(y) == 200
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert len(x.unique()) == 200
