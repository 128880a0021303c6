"""Scores of a recommender: where the one relevant item stands among all that the user had not seen before."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_normalized_dcg, retrieval_recall

from pipeline.config.schema import Evaluation
from pipeline.evaluation import scoring
from pipeline.evaluation.figures import ranking as figures
from pipeline.evaluation.scoring import History, plain
from pipeline.tasks.ranking import CELLS, TOP, without_seen

CUTS = (5, 10, 20)
LISTED = 100  # ranks in hit_rate.csv


@dataclass(frozen=True)
class Result:
    """Of N rows; each has one relevant item."""

    headline: ClassVar = ("hr_10", "ndcg_10", "hr_5", "hr_20", "mrr", "coverage_10")

    labels: list[str]  # of the items
    names: list[str]  # of the items, as people read them
    targets: Tensor  # (N,) int64
    ranks: Tensor  # (N,) int64, from 1
    top: Tensor  # (N, ≤ TOP) int64, the best first; -1 where all the rest was seen before
    popularity: Tensor  # (items,) int64: histories of these rows that hold the item
    values: dict[str, float]

    def predictions(self, rows: Tensor) -> pl.DataFrame:
        """row, target, rank of the target, and the ids of the recommended items, the best first."""
        return pl.DataFrame(
            {
                "row": rows.numpy(),
                "target": [self.labels[index] for index in self.targets.tolist()],
                "rank": self.ranks.numpy(),
                f"top_{TOP}": [[self.labels[index] for index in line if index >= 0] for line in self.top.tolist()],
            },
            schema_overrides={f"top_{TOP}": pl.List(pl.String)},
        )

    def hit_rates(self, most: int) -> Tensor:
        """(most,) the share of rows whose item is among the first 1, 2, …, `most`."""
        counts = torch.bincount(self.ranks.clamp(max=most + 1), minlength=most + 2)
        return counts[1:-1].cumsum(0) / len(self.ranks)

    def tables(self, history: History) -> dict[str, pl.DataFrame]:
        most = min(LISTED, len(self.labels))
        return {
            "curves": scoring.curves(history, "ndcg_10"),
            "hit_rate": pl.DataFrame({"k": range(1, most + 1), "hit_rate": self.hit_rates(most).tolist()}),
        }

    def figures(self, history: History, best_epoch: int, inputs: Tensor) -> dict[str, Figure]:
        return figures.draw(self, history, best_epoch)

    def mistakes(self, number: int) -> pl.DataFrame:
        worst = self.ranks.argsort(descending=True, stable=True)[:number]
        first = self.top[worst, 0].tolist()
        return pl.DataFrame(
            {
                "index": worst.numpy(),
                "actual": [self.names[index] for index in self.targets[worst].tolist()],
                "predicted": [self.names[index] if index >= 0 else "" for index in first],
                "rank": self.ranks[worst].numpy(),
            }
        )

    def scores(self, rows: Tensor) -> dict[str, float]:
        return {name: plain(by_rank(self.ranks[rows], *METRICS[name]).mean()) for name in ("hr_10", "ndcg_10")}

    def weakest(self) -> str:
        return f"half of the items stand at rank {int(self.ranks.median()):,} or better, of {len(self.labels):,}"


def evaluate(
    outputs_of: scoring.OutputsOf, split: dict[str, Tensor], encoder: dict[str, Any], settings: Evaluation
) -> Result:
    """Scores a split of the store; `outputs_of` gives logits (B, items), and items in a row's inputs are left out.

    Raises TrainingError for logits of a wrong shape or not finite.
    """
    items, ranks, top = len(encoder["labels"]), [], []
    size = max(1, min(settings.batch_size, CELLS // items))
    for logits, inputs, targets in scoring.outputs(outputs_of, split, items, size):
        scores = without_seen(logits, inputs)  # (B, items)
        places = places_of(scores)
        ranks.append(1 + (places > places.gather(1, targets.unsqueeze(1))).sum(dim=1))
        best = places.topk(min(TOP, items), dim=1).indices
        top.append(best.masked_fill(scores.gather(1, best).isinf(), -1))
    found = {"targets": split["targets"], "ranks": torch.cat(ranks), "top": torch.cat(top)}
    return Result(
        labels=encoder["labels"],
        names=encoder.get("titles") or encoder["labels"],
        popularity=popularity(split["inputs"], items),
        values=values(found["ranks"], found["top"], items),
        **found,
    )


def places_of(scores: Tensor) -> Tensor:
    """(B, items) int64 in the order of the float32 `scores`, none alike in a row: of equal ones the first item wins."""
    bits = (scores + 0.0).view(torch.int32).long()  # + 0.0, as −0.0 is no less than 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # floats compare as such integers do (IEEE 754)
    return (ordered << 32) - torch.arange(scores.shape[1])


def popularity(histories: Tensor, items: int) -> Tensor:
    """(items,) int64: how many of the `histories` (N, L), index + 1, hold the item."""
    seen = torch.zeros(items + 1, dtype=torch.int64)
    for part in torch.split(histories.long(), max(1, CELLS // histories.shape[1])):
        ordered = part.sort(dim=1).values
        first = torch.ones_like(ordered, dtype=torch.bool)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]  # an item counts once for each history
        seen += torch.bincount(ordered[first], minlength=items + 1)
    return seen[1:]


Score = Callable[..., Tensor]  # torchmetrics': preds (n,), target (n,), top_k → a number
METRICS: dict[str, tuple[Score, int]] = {
    **{f"hr_{cut}": (retrieval_hit_rate, cut) for cut in CUTS},
    **{f"ndcg_{cut}": (retrieval_normalized_dcg, cut) for cut in CUTS},
    "recall_10": (retrieval_recall, 10),  # with one relevant item it is the hit rate
}


def by_rank(ranks: Tensor, score: Score, cut: int) -> Tensor:
    """(N,) float64: torchmetrics' score of each row.

    With one relevant item it depends on the rank alone, so torchmetrics is asked once for each rank, not for each row:
    its own loop takes a tenth of a millisecond for a row.
    """
    preds = torch.arange(cut, 0, -1).float()  # descending, and above 0: below, torchmetrics' recall counts nothing
    worth = [score(preds, torch.arange(cut) == place, top_k=cut) for place in range(cut)]
    table = torch.tensor([*worth, 0.0], dtype=torch.float64)
    return table[ranks.clamp(max=cut + 1) - 1]


def values(ranks: Tensor, top: Tensor, items: int) -> dict[str, float]:
    """Sorted test/NAME."""
    found: dict[str, Tensor | float] = {name: by_rank(ranks, *metric).mean() for name, metric in METRICS.items()}
    found["mrr"] = (1 / ranks.double()).mean()
    recommended = top.unique()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    found[f"coverage_{TOP}"] = (recommended >= 0).sum() / items  # share of all items that are recommended to someone
    found["count"] = len(ranks)
    return {f"test/{name}": plain(value) for name, value in sorted(found.items())}
