"""Names of metrics, the worst mistakes, slices, and the table in the terminal."""

from pathlib import Path

import polars as pl
import pytest
import torch
from mlflow.utils.validation import _validate_metric_name

from pipeline.evaluation import reports
from pipeline.evaluation.metric_names import metric_names, of_class
from pipeline.project.errors import DataError
from pipeline.tasks.metrics import lower_is_better
from tests.support.scoring import guesses, scored, sure


def test_any_label_gives_a_metric_name_of_its_own_that_mlflow_takes():
    labels = ["<=50K", ">50K", "=50K=", "", "..", ".", "a/b", "a:b", "a\nb", "a_b-2", " a ", "好", "9.5 kg", "x" * 300]
    labels += ["x" * 299, "../../etc", "NaN\0", "a_b", "e\u0301"]
    names = metric_names(labels)
    for name in names:
        _validate_metric_name(f"test/average_precision/{name}")
        assert len(name) < 200
        assert "/" not in name
    assert len(set(names)) == len(labels)
    assert names[:2] == ["__50K", "_50K"]
    assert names[11:13] == ["好", "9.5 kg"]
    values = guesses(60, 3, ["<=50K", ">50K", "a/b"]).values
    assert {name for name in values if name.startswith("test/recall/")} == {
        "test/recall/__50K",
        "test/recall/_50K",
        "test/recall/a_b",
    }


def test_a_class_is_named_by_its_label_and_may_be_called_loss():
    labels = ["<=50K", ">50K", "a/b", "loss"]
    assert of_class("test/recall/<=50K", labels) == "test/recall/__50K"
    assert of_class("test/recall/a/b", labels) == "test/recall/a_b"
    assert of_class("test/recall", labels) == "test/recall"
    assert not lower_is_better("test/recall/loss")
    assert lower_is_better("test/loss")
    assert lower_is_better("baseline/majority/loss")


def test_the_most_confident_mistakes_come_first():
    rows = [[0.7, 0.3], [0.6, 0.4], [0.1, 0.9], [0.45, 0.55]]
    logits = sure(rows)
    result = scored(logits, [1, 1, 0, 1])
    split = {"inputs": torch.zeros(4, 1, 2, 2, dtype=torch.uint8), "rows": torch.arange(4) + 70}
    frame = reports.mistakes(result, split, {"kind": "image"}, 2)
    assert frame.to_dicts() == [
        {"row": 72, "actual": "c0", "predicted": "c1", "confidence": pytest.approx(0.9)},
        {"row": 70, "actual": "c1", "predicted": "c0", "confidence": pytest.approx(0.7)},
    ]  # no record, for these are pictures
    assert reports.mistakes(result, split, {"kind": "image"}, 0).height == 0


def test_slices_are_listed_the_worst_first_and_few_rows_last(tmp_path: Path):
    logits = sure([[0.9, 0.1]] * 60)
    result = scored(logits, [0] * 30 + [1] * 20 + [0] * 5 + [1] * 5)
    path = tmp_path / "slices.parquet"
    values = ["good"] * 30 + ["bad"] * 20 + [None] * 5 + ["tiny"] * 5
    pl.DataFrame({"city": values, "all": ["x"] * 60}).write_parquet(path)
    table = reports.slices(result, path)
    assert table.columns == ["column", "value", "rows", "few", "accuracy", "confidence"]
    assert table.select("value", "rows", "few", "accuracy").rows() == [
        ("bad", 20, False, 0.0),
        ("x", 60, False, pytest.approx(35 / 60)),
        ("good", 30, False, 1.0),
        ("tiny", 5, True, 0.0),
        (reports.MISSING, 5, True, 1.0),
    ]
    assert "accuracy 0.0000 where city is bad (20 rows)" in reports.summary(result, {}, table)


def test_slices_of_other_rows_are_refused_and_none_is_an_empty_table(tmp_path: Path):
    random, path = guesses(300, 4), tmp_path / "slices.parquet"
    pl.DataFrame({"city": ["x"] * 299}).write_parquet(path)
    with pytest.raises(DataError, match="299 rows for the 300"):
        reports.slices(random, path)
    pl.DataFrame().write_parquet(path)
    for nothing in (path, None):
        table = reports.slices(random, nothing)
        assert table.height == 0
        assert table.columns == ["column", "value", "rows", "few"]
        assert " where " not in reports.summary(random, {}, table)


def test_the_summary_shows_the_model_beside_its_baselines():
    random = guesses(300, 4)
    lines = reports.summary(random, {"majority": {"test/accuracy": 0.25}}, reports.slices(random, None)).splitlines()
    assert lines[0].split() == ["test", "the", "model", "majority"]
    assert lines[1].split() == ["accuracy", f"{random.values['test/accuracy']:.4f}", "0.2500"]
    assert lines[-1].startswith("lowest recall: c")
