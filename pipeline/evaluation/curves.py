"""Curves as points that are worth keeping, and the edges of bins."""

import numpy as np
import torch
from torch import Tensor

ALMOST_ONE = 1 - 2**-24  # torchmetrics gives a confidence of exactly 1 a bin of its own, beyond the last


def corners(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same curve without the points that lie within its level and upright stretches."""
    straight = torch.zeros(len(x), dtype=torch.bool)
    for values in (x, y):
        straight[1:-1] |= (values[1:-1] == values[:-2]) & (values[1:-1] == values[2:])
    return x[~straight], y[~straight]


def thinned(x: Tensor, y: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """At most so many of the points, both ends among them."""
    kept = spread(len(x), most)
    return x[kept], y[kept]


def spread(length: int, most: int) -> list[int]:
    """At most `most` indices below `length`, evenly spaced, both ends among them."""
    if length <= most:
        return list(range(length))
    return [round(place * (length - 1) / (most - 1)) for place in range(most)]


def reliability(probabilities: Tensor, targets: Tensor, bins: int) -> Tensor:
    """Mean confidence, accuracy and count of each bin with samples; `bins` of equal width (Guo et al., 2017)."""
    confidence, predicted = probabilities.clamp(max=ALMOST_ONE).max(dim=1)
    edges = torch.linspace(0, 1, bins + 1)
    place = torch.bucketize(confidence.float(), edges, right=True) - 1  # (N,), as torchmetrics places them
    count = torch.bincount(place, minlength=bins).double()  # (bins,)
    sums = [torch.bincount(place, part.double(), minlength=bins) for part in (confidence, predicted == targets)]
    return torch.stack([sums[0] / count, sums[1] / count, count], dim=1)[count > 0]


def edges(values: np.ndarray, bins: int) -> np.ndarray:
    """(bins + 1,) from the least to the greatest value, or around the only one, however large it is."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        room = abs(low) / 2 or 0.5
        low, high = low - room, high + room
    return np.linspace(low, high, bins + 1)
