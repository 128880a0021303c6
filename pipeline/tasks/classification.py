"""One of several classes, with the probability of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.tasks.task import Answer, Columns, Encoder, Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor
    from torchmetrics import MetricCollection

    from pipeline.models.bundle import Bundle
    from pipeline.tasks.response import Response

LEAST_PROBABILITY = 1e-12  # of a class that a model does not know, in its loss
NAMED = 20  # classes on a card


class Classification(Task):
    name = "classification"
    classes = True
    losses = ("cross_entropy", "binary")
    monitors = ("val/accuracy", "val/loss")
    gates = ("accuracy", "recall", "loss")
    metrics = (
        "accuracy", "auroc", "average_precision", "calibration_error", "count", "f1", "loss", "precision", "recall",
    )  # fmt: skip
    by_class = ("f1", "precision", "recall")
    baselines = ("boosting", "majority", "tf_idf")
    headline = "accuracy"
    constant = "majority class"

    def answers(self, outputs: Tensor, inputs: Tensor, encoder: Encoder) -> list[Answer]:
        probabilities = outputs.double().softmax(dim=1)  # (N, C)
        best = probabilities.argmax(dim=1).tolist()
        return [
            {"label": encoder["labels"][index], "probabilities": row}
            for index, row in zip(best, probabilities.tolist(), strict=True)
        ]

    def table(self, outputs: Tensor, inputs: Tensor, encoder: Encoder) -> pl.DataFrame:
        import polars as pl

        probabilities = outputs.double().softmax(dim=1)  # (N, C)
        labels = pl.Series(encoder["labels"], dtype=pl.String)[probabilities.argmax(dim=1).numpy()]
        shares = zip(encoder["labels"], probabilities.T, strict=True)
        return pl.DataFrame({"label": labels, **{f"p_{label}": share.numpy() for label, share in shares}})

    def response(self, encoder: Encoder) -> Response:
        from pipeline.tasks.response import Classes

        return Classes(encoder)

    def features(self, encoder: Encoder, answers: list[Answer], popularity: np.ndarray) -> Columns:
        import numpy as np

        given = [one["probabilities"] for one in answers]
        highest = [max(one.values() if isinstance(one, dict) else one) for one in given]
        return {"predicted class": np.array([one["label"] for one in answers]), "its probability": np.array(highest)}

    def validation(self, encoder: Encoder) -> MetricCollection:
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy

        return MetricCollection({"accuracy": MulticlassAccuracy(len(encoder["labels"]), average="micro")})

    def by_row(self, bundle: Bundle, inputs: Tensor, targets: Any, metric: str) -> Tensor:
        from pipeline.evaluation.paired import places_of

        logits, places = bundle.outputs(inputs).double(), places_of(targets, bundle.labels)
        if metric != "loss":
            return logits.argmax(dim=1) == places
        likely = logits.softmax(dim=1).gather(1, places.clamp(min=0).unsqueeze(1)).squeeze(1)
        return -likely.masked_fill(places < 0, 0).clamp(min=LEAST_PROBABILITY).log()

    def by_row_of_constant(self, targets: Any, encoder: Encoder, per_class: list[int], metric: str) -> np.ndarray:
        """Of train's most frequent class, with each as likely as it was."""
        import numpy as np

        from pipeline.evaluation.paired import places_of

        places = places_of(targets, encoder["labels"]).numpy()
        if metric == "loss":
            likely = np.array([*per_class, 0]) / sum(per_class)  # the last: of a label that train lacks
            return -np.log(np.maximum(likely[places], LEAST_PROBABILITY))
        return (places == np.argmax(per_class)).astype(np.float64)

    def intervals(self, predictions: Path) -> dict[str, tuple[float, float]]:
        import polars as pl

        from pipeline.evaluation.statistics import interval_of_mean

        table = pl.read_parquet(predictions, columns=["label", "predicted"])
        return {"accuracy": interval_of_mean((table["label"] == table["predicted"]).to_numpy())}

    def described(self, spec: dict[str, Any]) -> str:
        named, more = spec["classes"][:NAMED], len(spec["classes"]) - NAMED
        rest = f" and {more:,} more" if more > 0 else ""
        return f"One of {len(spec['classes']):,} classes: {', '.join(map(str, named))}{rest}"


TASK = Classification()
