"""What needs no net, on data whose answer is known."""

import io
import json

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from pipeline.evaluation import baselines as simple
from pipeline.evaluation import classification, paired, ranking, regression
from pipeline.evaluation.baselines import MOST_CLASSES, baselines
from pipeline.evaluation.beaten import beaten
from pipeline.kinds.text import encoder as text
from pipeline.project.terminal import loud
from pipeline.store.held_out import HeldOut
from tests.support.scoring import settings

TASKS = {"classification": classification, "regression": regression, "ranking": ranking}
Split = dict[str, torch.Tensor]


def split(inputs: np.ndarray, targets: np.ndarray) -> Split:
    tensors = {"inputs": inputs, "targets": targets, "rows": np.arange(len(targets))}
    return {name: torch.from_numpy(array) for name, array in tensors.items()}


def scores(encoder: dict, train: Split, test: Split, rows: int = 10_000) -> dict[str, dict[str, float]]:
    found = baselines(encoder, lambda: train, test, rows)
    task = TASKS[encoder["task"]]
    return {name: task.evaluate(outputs_of, test, encoder, settings()).values for name, outputs_of in found.items()}


def table(task: str, classes: int = 3, rows: int = 300) -> tuple[dict, Split]:
    """One number, and a category that decides all but a little."""
    generator = np.random.default_rng(0)
    category = np.concatenate([np.arange(classes), generator.integers(0, classes, rows - classes)])
    inputs = np.stack([generator.normal(size=rows), category], axis=1).astype(np.float32)
    columns = [{"name": "age", "type": "number"}, {"name": "city", "type": "category", "values": ["a"] * classes}]
    encoder = {"kind": "table", "task": task, "shape": [2], "columns": columns, "labels": [], "target": {}}
    if task == "classification":
        return encoder | {"labels": [f"c{i}" for i in range(classes)]}, split(inputs, category)
    targets = (50 + 10 * category + inputs[:, 0]).astype(np.float32)
    encoder["target"] = {"mean": float(targets.mean()), "std": float(targets.std())}
    return encoder, split(inputs, targets)


def test_the_majority_class_and_boosting_of_a_table():
    encoder, data = table("classification")
    found = scores(encoder, data, data)
    most = data["targets"].bincount().max().item() / 300
    assert found["majority"]["test/accuracy"] == pytest.approx(most)
    assert found["majority"]["test/auroc"] == 0.5
    assert found["boosting"]["test/accuracy"] == 1


def test_the_mean_and_boosting_of_a_regression():
    encoder, data = table("regression")
    found = scores(encoder, data, data)
    assert found["mean"]["test/r2"] == pytest.approx(0, abs=1e-6)
    assert found["mean"]["test/rmse"] == pytest.approx(data["targets"].std(correction=0).item(), rel=1e-5)
    assert found["boosting"]["test/r2"] > 0.97


def test_a_baseline_sees_some_rows_and_never_predicts_a_class_that_they_lack():
    encoder, data = table("classification", classes=40)
    few = scores(encoder, data, data, rows=60)
    assert few == scores(encoder, data, data, rows=60)
    assert few["majority"]["test/accuracy"] < few["boosting"]["test/accuracy"] < 0.9
    assert set(scores(encoder, data, data, rows=1)) == {"majority"}  # one row is of one class
    encoder, data = table("classification", classes=MOST_CLASSES + 1)
    assert set(scores(encoder, data, data)) == {"majority"}


def words(task: str) -> tuple[dict, Split]:
    known = ["[PAD]", "[UNK]", "good", "bad", "film", "a", "好", "坏"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(known)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    encoder = {"kind": "text", "task": task, "shape": [3], "padding": 0, "column": "text", "labels": []}
    encoder["tokenizer"] = json.dumps(json.loads(tokenizer.to_str()))
    texts = ["good film", "a bad film", "好", "坏"] * 10
    return encoder, split(text.encode(encoder, texts), np.array([1, 0] * 20))


def test_words_tell_texts_apart_in_chinese_too():
    encoder, data = words("classification")
    found = scores(encoder | {"labels": ["bad", "good"]}, data, data)
    assert found["majority"]["test/accuracy"] == 0.5
    assert found["tf_idf"]["test/accuracy"] == 1
    encoder, data = words("regression")
    data["targets"] = data["targets"].float() * 2 + 4
    found = scores(encoder | {"target": {"mean": 5.0, "std": 1.0}}, data, data)
    assert found["tf_idf"]["test/r2"] > 0.8
    silent = data | {"inputs": torch.zeros_like(data["inputs"])}
    assert set(scores(encoder | {"target": {"mean": 5.0, "std": 1.0}}, silent, silent)) == {"mean"}


def test_tf_idf_reads_the_raw_texts_by_characters_where_words_have_no_spaces():
    """Of these the net's tokens say nothing: all are unknown."""
    encoder, _ = words("classification")
    said = [*["这酒店很不错", "服务非常不好", "ห้องสะอาดมาก", "ห้องสกปรกมาก"] * 10]
    others = [*["酒店不错", "服务不好", "สะอาด", "สกปรก"] * 10]  # none of them stands alone in train
    data = split(text.encode(encoder, said), np.array([1, 0] * 20))
    encoder |= {"labels": ["bad", "good"]}
    assert scores(encoder, data, data)["tf_idf"]["test/accuracy"] == 0.5
    order = torch.arange(39, -1, -1)  # rows are found by their numbers, whatever their order
    train = {name: tensor[order] for name, tensor in data.items()}
    found = baselines(encoder, lambda: train, data, 1000, (dict(enumerate(said)), others))
    places = data | {"inputs": torch.arange(40)}
    values = classification.evaluate(found["tf_idf"], places, encoder, settings(batch_size=7)).values
    assert values["test/accuracy"] == 1
    few = {row: one for row, one in enumerate(said) if row > 3}  # labels from use have no raw text
    assert "tf_idf" in baselines(encoder, lambda: train, data, 1000, (few, others))


@pytest.mark.parametrize(("task", "metrics"), [("classification", "accuracy loss recall"), ("regression", "mae rmse")])
def test_what_says_the_same_of_every_row_is_scored_alike_by_evaluate_and_by_the_gate(task: str, metrics: str):
    encoder, data = table(task)
    name = "majority" if task == "classification" else "mean"
    values = scores(encoder, data, data)[name]
    labels = [encoder["labels"][target] for target in data["targets"]] if encoder["labels"] else None
    test = HeldOut(None, labels or data["targets"].double().numpy(), pl.DataFrame(), "")
    counts = data["targets"].bincount().tolist() if labels else []
    for metric in metrics.split():
        by_row = paired.trivial(test, encoder, counts, metric)
        assert paired.value(by_row.mean(), metric) == pytest.approx(values[f"test/{metric}"], rel=1e-5)


@pytest.mark.parametrize(
    ("task", "metrics", "said"),
    [
        ("classification", {"test/accuracy": 0.64, "baseline/tf_idf/accuracy": 0.817}, "accuracy 0.64: tf_idf 0.817."),
        ("classification", {"test/accuracy": 0.82, "baseline/tf_idf/accuracy": 0.817}, ""),
        ("classification", {"test/accuracy": 0.8, "baseline/majority/accuracy": 0.8}, ""),
        (
            "regression",
            {"test/rmse": 3.0, "baseline/mean/rmse": 2.0, "baseline/boosting/rmse": 1.0},
            "boosting 1, mean 2",
        ),
        ("regression", {"test/rmse": 1.0, "test/mae": 9.0, "baseline/mean/rmse": 2.0, "baseline/mean/mae": 1.0}, ""),
        ("ranking", {"test/ndcg_10": 0.1, "baseline/popularity/ndcg_10": 0.2}, "popularity 0.2"),
        ("ranking", {"test/count": 3.0}, ""),
    ],
)
def test_a_baseline_that_beats_the_net_is_named(task: str, metrics: dict[str, float], said: str):
    found = beaten(metrics, task)
    assert said in found
    assert bool(found) == bool(said)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_loud_is_red_where_there_are_colours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert loud("beaten", Terminal()) == "\033[1;31mbeaten\033[0m"
    assert loud("beaten", io.StringIO()) == "beaten"
    monkeypatch.setenv("TERM", "dumb")
    assert loud("beaten", Terminal()) == "beaten"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert loud("beaten", Terminal()) == "beaten"


def test_pictures_have_the_majority_class_alone():
    encoder = {"kind": "image", "task": "classification", "labels": ["a", "b"]}
    data = split(np.zeros((5, 1, 2, 2), np.uint8), np.array([0, 1, 1, 1, 0]))
    assert set(scores(encoder, data, data)) == {"majority"}


def behaviour() -> tuple[dict, Split]:
    """Items go in pairs, 0 with 1, 2 with 3, …; each user has seen one of a pair that comes next, and item 8."""
    pairs = np.arange(8).reshape(4, 2)
    histories, targets = [], []
    for user in range(40):
        target_pair, other = pairs[user % 4], pairs[(user + 1) % 4]
        histories.append([target_pair[user // 4 % 2], *other, 8])
        targets.append(target_pair[1 - user // 4 % 2])
    encoder = {"kind": "behaviour", "task": "ranking", "labels": [f"i{item}" for item in range(9)]}
    return encoder, split(np.array(histories, np.int32) + 1, np.array(targets))


def test_popularity_and_ease_rank_what_was_not_seen():
    encoder, data = behaviour()
    found = baselines(encoder, None, data, 0)
    assert found["popularity"](data["inputs"][:1]).tolist() == [[15.0] * 8 + [40.0]]
    result = {name: ranking.evaluate(each, data, encoder, settings()) for name, each in found.items()}
    assert result["ease"].values["test/mrr"] == 1
    assert result["popularity"].values["test/mrr"] < 0.5
    assert not (result["popularity"].top == 8).any()  # all have seen it


def test_ease_solves_its_own_equation(monkeypatch: pytest.MonkeyPatch):
    _, data = behaviour()
    seen = simple.presence(data["inputs"], 9).double()
    weights = simple.ease(data["inputs"], 9)(torch.eye(9).mul(torch.arange(9) + 1).int()).double()  # a row each
    # At the least of |X − XB|² + λ|B|², the gradient is zero but on the diagonal, which is held at zero: Steck, eq. 4
    gradient = seen.T @ (seen @ weights - seen) + simple.PENALTY * weights
    gradient.fill_diagonal_(0)
    assert weights.diagonal().abs().max() == 0
    assert gradient.abs().max() < 1e-4
    monkeypatch.setattr(simple, "MOST_ITEMS", 8)
    encoder, data = behaviour()
    assert set(baselines(encoder, None, data, 0)) == {"popularity"}
