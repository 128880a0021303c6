"""Records as the feedback store keeps them, back as pipeline/encoders/KIND.py takes them."""

import json
from typing import Any

from pipeline.encoders import picture
from pipeline.project.errors import DataError

KEYS = {"text": "text", "behaviour": "items"}


def raw(encoder: dict[str, Any], kind: str, record: bytes) -> Any:
    """uint8 (C, H, W) of a PNG, a text, a list of items, or a dict of a table's columns.

    DataError for a record of another `kind` than the encoder's, or one that is no longer whole.
    """
    if kind != encoder["kind"]:
        raise DataError(f"the record is of the kind {kind!r}; this data needs {encoder['kind']!r}")
    if kind == "image":
        return picture.read(record, encoder)
    try:
        value = json.loads(record)
        return value[KEYS[kind]] if kind in KEYS else value
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"the record is no {kind} record: {type(error).__name__}: {error}") from None
