"""Scores of a recommender that agree with torchmetrics row by row; ties, seen items and bounded memory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from pipeline.evaluation import ranking
from pipeline.evaluation.figures import style
from pipeline.evaluation.ranking import Result
from pipeline.project.errors import TrainingError
from pipeline.tasks.ranking import without_seen
from tests.support.scoring import settings

HISTORY = [{"epoch": 1, "step": 5, "train/loss": 3.0, "train/accuracy": 0.1, "val/loss": 3.1, "val/ndcg_10": 0.2}]


def scored(logits: Tensor, histories: Tensor, targets: Tensor, batch_size: int = 1000) -> Result:
    """The logits are given a batch at a time, in the sizes in which they are asked for."""
    split = {"inputs": histories, "targets": targets, "rows": torch.arange(len(targets)) + 100}
    given = iter(logits.split(min(batch_size, max(1, ranking.CELLS // logits.shape[1]))))
    encoder = {"labels": [f"i{item}" for item in range(logits.shape[1])]}
    return ranking.evaluate(lambda inputs: next(given), split, encoder, settings(batch_size))


def example(rows: int = 200, items: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(rows, items, generator=generator).argsort(dim=1)
    histories = (order[:, :8] + 1).int()
    histories[::3, :4] = 0  # padding on the left
    targets = order[:, 20]
    logits = torch.randn(rows, items, generator=generator) + 2 * torch.nn.functional.one_hot(targets, items)
    return logits, histories, targets


def test_a_hand_worked_example():
    logits = torch.tensor([[9.0, 8.0, 7.0, 6.0], [0.0, -1.0, -2.0, -3.0], [1.0, 1.0, 1.0, 1.0]])
    histories = torch.tensor([[0, 1], [4, 1], [0, 0]], dtype=torch.int32)  # seen: item 0; items 3 and 0; none
    result = scored(logits, histories, torch.tensor([2, 1, 3]))
    assert result.ranks.tolist() == [2, 1, 4]  # of equal scores the first item stands first
    assert result.top.tolist() == [[1, 2, 3, -1], [1, 2, -1, -1], [0, 1, 2, 3]]
    assert result.popularity.tolist() == [2, 0, 0, 1]
    assert result.values["test/mrr"] == pytest.approx((1 / 2 + 1 + 1 / 4) / 3)
    assert result.values["test/ndcg_5"] == pytest.approx((1 / torch.tensor([3.0, 2.0, 5.0]).log2()).mean().item())
    assert result.values["test/hr_5"] == result.values["test/coverage_10"] == 1
    assert result.predictions(torch.arange(3))["top_10"].to_list()[1] == ["i1", "i2"]


def test_scores_agree_with_torchmetrics_row_by_row():
    logits, histories, targets = example()
    values = scored(logits, histories, targets).values
    scores = without_seen(logits, histories).softmax(dim=1)  # all above 0, as torchmetrics' recall needs
    relevant = torch.nn.functional.one_hot(targets, logits.shape[1]).bool()
    indexes = torch.arange(len(logits)).unsqueeze(1).expand_as(logits)
    peers = {"mrr": RetrievalMRR(), "recall_10": RetrievalRecall(top_k=10)}
    peers |= {f"hr_{cut}": RetrievalHitRate(top_k=cut) for cut in (5, 10, 20)}
    peers |= {f"ndcg_{cut}": RetrievalNormalizedDCG(top_k=cut) for cut in (5, 10, 20)}
    for name, metric in peers.items():
        assert values[f"test/{name}"] == pytest.approx(metric(scores, relevant, indexes).item(), rel=1e-5), name
    assert set(values) == {f"test/{name}" for name in [*peers, "count", "coverage_10"]}


def test_batches_and_bounded_memory_change_nothing(monkeypatch: pytest.MonkeyPatch):
    logits, histories, targets = example()
    whole = scored(logits, histories, targets)
    assert scored(logits, histories, targets, batch_size=7).values == whole.values
    monkeypatch.setattr(ranking, "CELLS", 300)  # five rows at once
    bounded = scored(logits, histories, targets)
    assert bounded.values == whole.values
    assert bounded.top.equal(whole.top)
    assert bounded.popularity.equal(whole.popularity)


def test_items_keep_the_order_of_their_scores():
    scores = torch.tensor([[0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, float("-inf"), 1.0, 1.0]])
    order = ranking.places_of(scores).argsort(dim=1, descending=True)
    assert order.tolist() == [[4, 7, 8, 2, 0, 1, 3, 5, 6]]


def test_logits_that_are_not_finite_are_refused_by_their_row():
    logits, histories, targets = example()
    logits[42, 7] = float("-inf")
    with pytest.raises(TrainingError, match="row 142 "):
        scored(logits, histories, targets)


def test_figures_tables_slices_and_mistakes(tmp_path: Path):
    result = scored(*example())
    drawn = [style.write(tmp_path / name, lambda: result.figures(HISTORY, 1, torch.zeros(1))) for name in "ab"]
    assert [path.stem for path in drawn[0]] == ["hit_rate", "ranks", "popularity", "curves"]
    assert [path.read_bytes() for path in drawn[0]] == [path.read_bytes() for path in drawn[1]]
    rates = result.tables(HISTORY)["hit_rate"]
    assert rates["k"].to_list() == list(range(1, 61))
    assert rates["hit_rate"][9] == pytest.approx(result.values["test/hr_10"])
    assert rates["hit_rate"][-1] == 1
    worst = result.mistakes(3)
    assert worst["rank"][0] == result.ranks.max()
    assert worst.columns == ["index", "actual", "predicted", "rank"]
    assert result.scores(torch.arange(200)) == {name: result.values[f"test/{name}"] for name in ("hr_10", "ndcg_10")}
