"""From pictures to the network's inputs: uint8 (N, channels, height, width), unscaled.

A record is the rows of a picture's pixels, 0 to 255.
"""

from typing import Any

import numpy as np

Encoder = dict[str, Any]  # encoder.json


def encode(encoder: Encoder, records: list[Any]) -> np.ndarray:
    return np.array(records, np.uint8).reshape(-1, *encoder["shape"])
