"""From histories to the network's inputs: int32 (N, length), items' places among the labels, 1 and up, at the right.

A record is a list of item ids, or {"items": such a list}; zeros come before a short one.
"""

from typing import Any

import numpy as np

Encoder = dict[str, Any]  # encoder.json


def encode(encoder: Encoder, records: list[Any]) -> np.ndarray:
    places = {label: place for place, label in enumerate(encoder["labels"], start=1)}
    histories = [record["items"] if isinstance(record, dict) else record for record in records]
    inputs = np.zeros((len(histories), max(encoder["shape"][0], *map(len, histories))), np.int32)
    for row, history in enumerate(histories):
        inputs[row, inputs.shape[1] - len(history) :] = [places[item] for item in history]
    return inputs
