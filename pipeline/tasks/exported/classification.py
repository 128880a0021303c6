"""From the network's outputs, logits (N, classes), to labels: their softmax is the probabilities."""

from typing import Any

import numpy as np

Encoder = dict[str, Any]  # encoder.json


def answers(encoder: Encoder, inputs: np.ndarray, outputs: np.ndarray) -> list[dict[str, Any]]:
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    return [{"label": encoder["labels"][row.argmax()], "probabilities": row.tolist()} for row in shares]
