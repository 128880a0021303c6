"""From raw records to the tensors that nets take: one function, for preprocess and for serving."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.project.errors import DataError

KINDS = ("image", "text", "behaviour", "table")


def encode(encoder: dict[str, Any], records: Any) -> np.ndarray:
    """Records as inputs (N, …), by pipeline/encoders/KIND.py; DataError names the first record that can't be one."""
    return of(encoder).encode(encoder, records)


def decode(encoder: dict[str, Any], inputs: np.ndarray) -> list[str]:
    """A readable line for each of `inputs` (N, …)."""
    return of(encoder).decode(encoder, inputs)


def of(encoder: dict[str, Any]) -> ModuleType:
    if encoder["kind"] not in KINDS:
        known = ", ".join(KINDS)
        raise DataError(f"the encoder is of the kind {encoder['kind']!r}; this version of Ratchet knows: {known}")
    return importlib.import_module(f"pipeline.encoders.{encoder['kind']}")
