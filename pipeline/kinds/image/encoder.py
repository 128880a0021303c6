"""Pictures: numbers that are whole and in 0..255, kept as bytes; or picture files, resized to the encoder's shape."""

import math
import reprlib
from typing import Any

import numpy as np

from pipeline.kinds.image.picture import read
from pipeline.project.errors import DataError

Shape = tuple[int, ...]


def encode(encoder: dict[str, Any], records: Any) -> np.ndarray:
    """uint8 (N, C, H, W); DataError names the first record that can't be one.

    Records: (N, C, H, W), (N, H, W) of one channel, (N, C·H·W), or a single picture in one of these forms; or a list
    of the contents of picture files (bytes). No records, [], give N = 0. uint8 is passed on, not copied.
    """
    shape = tuple(encoder["shape"])
    if isinstance(records, list) and records and all(isinstance(record, bytes) for record in records):
        return np.stack([read(record, encoder, f"record {row}: ") for row, record in enumerate(records)])
    array = as_numbers(records)
    if array is None:
        raise DataError(odd_one(records, shape))
    batch = as_batch(array, shape)
    if batch.dtype != np.uint8:
        refuse_odd_pixels(batch)
    return batch.astype(np.uint8, copy=False)


def as_numbers(records: Any) -> np.ndarray | None:
    """None where `records` are ragged, or no numbers."""
    try:
        array = np.asarray(records)
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array.dtype.kind in "iuf" else None


def as_batch(array: np.ndarray, shape: Shape) -> np.ndarray:
    if array.shape == (0,):
        return np.zeros((0, *shape), np.uint8)
    if array.shape in forms(shape):
        return array.reshape(1, *shape)
    if array.shape[1:] in forms(shape):
        return array.reshape(len(array), *shape)  # (N, C, H, W)
    raise DataError(f"the records have the shape {array.shape}; allowed are {allowed(shape)}")


def forms(shape: Shape) -> list[Shape]:
    """The shapes in which one record may come."""
    return [shape, (math.prod(shape),), *([shape[1:]] if shape[0] == 1 else [])]


def allowed(shape: Shape) -> str:
    return f"whole numbers 0 to 255, each record of the shape {' or '.join(map(str, forms(shape)))}"


def odd_one(records: Any, shape: Shape) -> str:
    """What is wrong with the first record that is no numbers, or of a shape that no record may have."""
    for row, record in enumerate(records if isinstance(records, list | tuple) else []):
        array = as_numbers(record)
        if array is None:
            return f"record {row} is {reprlib.repr(record)}, no rectangle of numbers; allowed are {allowed(shape)}"
        if array.shape not in forms(shape):
            return f"record {row} has the shape {array.shape}; allowed are {allowed(shape)}"
    return f"the records are {reprlib.repr(records)}; allowed are {allowed(shape)}"


def refuse_odd_pixels(batch: np.ndarray) -> None:
    odd = ~((batch >= 0) & (batch <= 255) & (batch == np.rint(batch)))  # NaN is odd in every comparison
    if odd.any():
        row, *place = np.argwhere(odd)[0].tolist()
        value = batch[(row, *place)].item()
        raise DataError(f"record {row} has {value} at {tuple(place)}; allowed are {allowed(batch.shape[1:])}")
