"""What can be compared of pictures: light, and what is drawn."""

import numpy as np

from pipeline.kinds.kind import Columns

STEP = 1000  # pictures in float64 at a time


def features(inputs: np.ndarray) -> Columns:
    """Light, and what is drawn: whatever differs from the picture's median, weighted by how far."""
    parts = [moments(inputs[start : start + STEP].astype(np.float64)) for start in range(0, len(inputs), STEP)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def moments(pixels: np.ndarray) -> Columns:
    """Of (N, C, H, W): places in pixels from the centre, sizes as standard deviations, slant in pixels a row."""
    grey = pixels.mean(axis=1)  # (N, H, W)
    ink = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True))
    height, width = ink.shape[1:]
    x, y = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):  # a picture of one grey has no ink: NaN
        ink /= ink.sum(axis=(1, 2), keepdims=True)
        across, down = ink.sum(axis=1), ink.sum(axis=2)  # (N, W), (N, H)
        middle_x, middle_y = across @ x, down @ y
        spread_x, spread_y = across @ x**2 - middle_x**2, down @ y**2 - middle_y**2
        together = np.einsum("nhw,h,w->n", ink, y, x) - middle_x * middle_y
        return {
            "brightness": grey.mean(axis=(1, 2)),
            "contrast": grey.std(axis=(1, 2)),
            "centre, across": middle_x,
            "centre, down": middle_y,
            "width": np.sqrt(spread_x.clip(0)),
            "height": np.sqrt(spread_y.clip(0)),
            "slant": -together / spread_y,
        }
