"""From raw records to the tensors that nets take: one function, for preprocess and for serving."""

import importlib
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.project.errors import DataError

KINDS = ("image", "text", "behaviour", "table")


def encode(encoder: dict[str, Any], records: Any) -> np.ndarray:
    """Records as inputs (N, …), by pipeline/encoders/KIND.py; DataError names the first record that can't be one."""
    return of(encoder).encode(encoder, records)


def encode_usable(encoder: dict[str, Any], records: Any) -> tuple[np.ndarray, dict[int, str]]:
    """Inputs of the records that can be encoded, in their order; and place → why each of the others can't.

    `records`: a list or a Polars frame. DataError for what is wrong with all of them, such as a missing column.
    """
    try:
        return encode(encoder, records), {}
    except DataError:
        found = faults(encoder, records)
    places = [place for place in range(len(records)) if place not in found]
    return encode(encoder, chosen(records, places)), found


def faults(encoder: dict[str, Any], records: Any) -> dict[int, str]:
    """Place → why the record there can't be encoded."""
    at_once = getattr(of(encoder), "faults", one_by_one)
    try:
        found = at_once(encoder, records)
    except DataError:
        if not isinstance(records, list):
            raise
        found = one_by_one(encoder, records)
    return {
        place: re.sub(r"^record \d+(: )?", lambda begin: "" if begin[1] else "the record", reason)
        for place, reason in found.items()
    }


def one_by_one(encoder: dict[str, Any], records: Any) -> dict[int, str]:
    encode(encoder, records[:0])  # what is wrong with all of them is said once
    found = {}
    for place in range(len(records)):
        try:
            encode(encoder, records[place : place + 1])
        except DataError as error:
            found[place] = str(error)
    return found


def chosen(records: Any, places: Sequence[int]) -> Any:
    return [records[place] for place in places] if isinstance(records, list) else records[places]


def decode(encoder: dict[str, Any], inputs: np.ndarray) -> list[str]:
    """A readable line for each of `inputs` (N, …)."""
    return of(encoder).decode(encoder, inputs)


def of(encoder: dict[str, Any]) -> ModuleType:
    if encoder["kind"] not in KINDS:
        known = ", ".join(KINDS)
        raise DataError(f"the encoder is of the kind {encoder['kind']!r}; this version of Ratchet knows: {known}")
    return importlib.import_module(f"pipeline.encoders.{encoder['kind']}")
