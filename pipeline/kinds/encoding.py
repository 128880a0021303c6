"""From raw records to the tensors that nets take: one function, for preprocess and for serving."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.kinds.kind import Kind, of
from pipeline.project.errors import DataError


def encode(encoder: dict[str, Any], records: Any) -> np.ndarray:
    """Records as inputs (N, …), by pipeline/kinds/KIND; DataError names the first record that can't be one."""
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
    kind = of(encoder)
    try:
        found = kind.faults(encoder, records)
    except DataError:
        if not isinstance(records, list):
            raise
        found = Kind.faults(kind, encoder, records)
    return {
        place: re.sub(r"^record \d+(: )?", lambda begin: "" if begin[1] else "the record", reason)
        for place, reason in found.items()
    }


def chosen(records: Any, places: Sequence[int]) -> Any:
    return [records[place] for place in places] if isinstance(records, list) else records[places]


def decode(encoder: dict[str, Any], inputs: np.ndarray) -> list[str]:
    """A readable line for each of `inputs` (N, …)."""
    return of(encoder).decode(encoder, inputs)


def raw(encoder: dict[str, Any], kind: str, record: bytes) -> Any:
    """A record as the feedback store keeps it, back as `encode` takes it.

    DataError for one of another `kind` than the encoder's, or one that is no longer whole.
    """
    if kind != encoder["kind"]:
        raise DataError(f"the record is of the kind {kind!r}; this data needs {encoder['kind']!r}")
    return of(encoder).stored(encoder, record)
