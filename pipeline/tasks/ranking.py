"""A list of items, the best first, of which none was in the history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.tasks.task import Answer, Columns, Encoder, Task

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torchmetrics import Metric

    from pipeline.models.bundle import Bundle
    from pipeline.tasks.response import Response

TOP = 10  # items of a list
CELLS = 1 << 23  # scores held at once, whatever the number of items


class Ranking(Task):
    name = "ranking"
    history = True
    losses = ("cross_entropy",)
    monitors = ("val/ndcg_10", "val/hr_10", "val/mrr", "val/loss")
    gates = ("ndcg_10", "ndcg_5", "ndcg_20", "hr_10", "hr_5", "hr_20", "recall_10", "mrr")
    metrics = ("count", "coverage_10", "hr_10", "hr_20", "hr_5", "mrr", "ndcg_10", "ndcg_20", "ndcg_5", "recall_10")
    baselines = ("ease", "popularity")
    headline = "ndcg_10"

    def answers(self, outputs: Tensor, inputs: Tensor, encoder: Encoder) -> list[Answer]:
        best = without_seen(outputs, inputs).topk(min(TOP, outputs.shape[1]), dim=1)
        names = encoder["labels"]
        titles = encoder.get("titles") or names
        return [
            {"items": [names[i] for i in row], "titles": [titles[i] for i in row], "scores": scores}
            for row, scores in zip(best.indices.tolist(), best.values.double().tolist(), strict=True)
        ]

    def response(self, encoder: Encoder) -> Response:
        from pipeline.tasks.response import Items

        return Items(encoder)

    def features(self, encoder: Encoder, answers: list[Answer], popularity: np.ndarray) -> Columns:
        index = {label: place for place, label in enumerate(encoder["labels"], 1)}
        first = [index.get(named(one["items"][0]), 0) if one["items"] else 0 for one in answers]
        return {"popularity of the first item": popularity[first]}

    def validation(self, encoder: Encoder) -> Metric:
        from pipeline.training.objective import Ranked

        return Ranked()

    def by_row(self, bundle: Bundle, inputs: Tensor, targets: Any, metric: str) -> Tensor:
        from pipeline.evaluation import ranking  # torchmetrics and matplotlib take two seconds
        from pipeline.evaluation.paired import places_of

        places = places_of(targets, bundle.labels)
        order = ranking.places_of(without_seen(bundle.outputs(inputs), inputs))
        ranks = 1 + (order > order.gather(1, places.clamp(min=0).unsqueeze(1))).sum(dim=1)
        worth = 1 / ranks.double() if metric == "mrr" else ranking.by_rank(ranks, *ranking.METRICS[metric])
        return worth.masked_fill(places < 0, 0)

    def rows_at_once(self, encoder: Encoder, most: int) -> int:
        return max(1, min(most, CELLS // len(encoder["labels"])))

    def intervals(self, predictions: Path) -> dict[str, tuple[float, float]]:
        import numpy as np
        import polars as pl

        from pipeline.evaluation.statistics import interval_of_mean

        ranks = pl.read_parquet(predictions, columns=["rank"])["rank"].to_numpy()
        hit = ranks <= 10
        return {"hr_10": interval_of_mean(hit), "ndcg_10": interval_of_mean(hit / np.log2(1 + ranks))}

    def described(self, spec: dict[str, Any]) -> str:
        return "A ranked list of items"


def named(item: Any) -> str:
    """Of an answer's item, or of one of the feedback store."""
    return item["item"] if isinstance(item, dict) else item


def without_seen(logits: Tensor, inputs: Tensor) -> Tensor:
    """(N, items) float32 scores with −inf where the item stands in the history `inputs` (N, L), index + 1, 0 empty."""
    import torch

    scores = torch.nn.functional.pad(logits.float(), (1, 0))  # column 0 takes the padding
    scores = scores.scatter(1, inputs.long(), float("-inf"))
    return scores[:, 1:]


TASK = Ranking()
