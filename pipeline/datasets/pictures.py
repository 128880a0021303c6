"""What all pictures share: checks between splits, statistics of the pixels, the encoder."""

import math
from typing import Any

import numpy as np

from pipeline.store.splits import Prepared, Split, check

CHUNK = 1 << 20  # pixels at a time where a type eight times as wide is needed
EXAMPLES = 2


def prepared(
    splits: dict[str, Split], labels: list[str], shape: tuple[int, int, int], scaling: str, max_quarantined: float
) -> Prepared:
    """Splits of uint8 pictures (N, C, H, W), checked, with their encoder."""
    check(splits, labels, max_quarantined)
    statistics = of_pixels(splits["train"].inputs)
    encoder = {
        "kind": "image",
        "task": "classification",
        "shape": list(shape),
        "dtype": "uint8",
        "labels": labels,
        "scaling": scale(scaling, statistics),
    }
    return Prepared(splits, encoder, statistics, splits["test"].inputs[:EXAMPLES].tolist())


def scale(scaling: str, statistics: dict[str, float]) -> dict[str, float]:
    """Pictures are stored as bytes; the network turns a pixel into pixel · multiply + add on the device."""
    multiply, add = {
        "unit": (1 / 255, 0.0),
        "symmetric": (2 / 255, -1.0),
        "standard": (1 / statistics["std"], -statistics["mean"] / statistics["std"]),
    }[scaling]
    return {"multiply": multiply, "add": add}


def of_pixels(images: np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation of the pixels, in 0..255: exact, so the same on every machine."""
    step = max(1, CHUNK * len(images) // max(1, images.size))
    parts = (images[start : start + step].reshape(-1) for start in range(0, len(images), step))
    histogram = sum((np.bincount(part, minlength=256) for part in parts), np.zeros(256, np.int64)).tolist()
    number = sum(histogram)
    total = sum(value * count for value, count in enumerate(histogram))
    squares = sum(value * value * count for value, count in enumerate(histogram))
    return {"mean": total / number, "std": math.sqrt((number * squares - total * total) / number**2)}


def taken(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """array[rows], without a copy where the rows follow one another."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return array[rows[0] : rows[-1] + 1]
    return array[rows]
