"""What a network's outputs mean: classes with probabilities, a number, or a ranked list."""

from typing import Any

import torch
from torch import Tensor

TOP = 10  # items of a ranked list


def answers(outputs: Tensor, inputs: Tensor, encoder: dict[str, Any]) -> list[dict[str, Any]]:
    """`outputs` (N, …) of a network for `inputs` (N, …), as a user reads them."""
    return {"classification": classes, "regression": numbers, "ranking": ranked}[encoder["task"]](
        outputs, inputs, encoder
    )


def classes(logits: Tensor, inputs: Tensor, encoder: dict[str, Any]) -> list[dict[str, Any]]:
    probabilities = logits.double().softmax(dim=1)  # (N, C)
    best = probabilities.argmax(dim=1).tolist()
    return [
        {"label": encoder["labels"][index], "probabilities": row}
        for index, row in zip(best, probabilities.tolist(), strict=True)
    ]


def numbers(outputs: Tensor, inputs: Tensor, encoder: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"value": value} for value in unscaled(outputs, encoder).tolist()]


def unscaled(outputs: Tensor, encoder: dict[str, Any]) -> Tensor:
    """(N, 1) in standard deviations of train's targets → (N,) float64 in the target's own unit."""
    return outputs.double().squeeze(1) * encoder["target"]["std"] + encoder["target"]["mean"]


def ranked(logits: Tensor, inputs: Tensor, encoder: dict[str, Any]) -> list[dict[str, Any]]:
    best = without_seen(logits, inputs).topk(min(TOP, logits.shape[1]), dim=1)
    names = encoder["labels"]
    titles = encoder.get("titles") or names
    return [
        {"items": [names[i] for i in row], "titles": [titles[i] for i in row], "scores": scores}
        for row, scores in zip(best.indices.tolist(), best.values.double().tolist(), strict=True)
    ]


def without_seen(logits: Tensor, inputs: Tensor) -> Tensor:
    """(N, items) float32 scores with −inf where the item stands in the history `inputs` (N, L), index + 1, 0 empty."""
    scores = torch.nn.functional.pad(logits.float(), (1, 0))  # column 0 takes the padding
    scores = scores.scatter(1, inputs.long(), float("-inf"))
    return scores[:, 1:]
