"""From the network's outputs, scores (N, items), to the best items: without those that are in the history."""

from typing import Any

import numpy as np

TOP = 10

Encoder = dict[str, Any]  # encoder.json


def answers(encoder: Encoder, inputs: np.ndarray, outputs: np.ndarray) -> list[dict[str, Any]]:
    labels = encoder["labels"]
    titles = encoder.get("titles") or labels
    found = []
    for history, scores in zip(inputs, outputs, strict=True):
        scores[history[history > 0] - 1] = -np.inf
        best = (-scores).argsort(kind="stable")[: min(TOP, np.isfinite(scores).sum())]
        found.append({name: [of[place] for place in best] for name, of in (("items", labels), ("titles", titles))})
        found[-1]["scores"] = scores[best].tolist()
    return found
