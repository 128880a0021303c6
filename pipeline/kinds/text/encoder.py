"""Texts: the token ids of a pretrained encoder's own tokenizer, padded at the right."""

import reprlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from pipeline.project.errors import DataError

CHUNK = 10_000  # texts tokenised at a time; their tokens take far more memory than their ids


def encode(encoder: dict[str, Any], records: Any) -> np.ndarray:
    """int32 (N, L) token ids, L = encoder["shape"][0]; longer texts are cut. DataError names the record without a text.

    Records: a list of texts, or of objects with the key encoder["column"], or a table with that column.
    What a text holds that looks like a special token, as [SEP], is read as any other text.
    """
    texts = list(given(encoder["column"], records))
    (length,) = encoder["shape"]
    inputs = np.full((len(texts), length), encoder["padding"], np.int32)  # (N, L)
    tool = tokenizer(encoder["tokenizer"], length)
    for start in range(0, len(texts), CHUNK):
        for row, encoding in enumerate(tool.encode_batch_fast(texts[start : start + CHUNK]), start):
            inputs[row, : len(encoding.ids)] = encoding.ids
    return inputs


def decode(encoder: dict[str, Any], inputs: np.ndarray) -> list[str]:
    """The text of each row, as far as its tokens tell it, without special tokens."""
    rows = [[token for token in row if token != encoder["padding"]] for row in inputs.tolist()]
    return tokenizer(encoder["tokenizer"], encoder["shape"][0]).decode_batch(rows)


@lru_cache(maxsize=2)  # reading one takes as long as encoding thousands of texts
def tokenizer(description: str, length: int) -> Tokenizer:
    """Of the content of a tokenizer.json, cutting to `length` tokens, the special ones included."""
    tool = Tokenizer.from_str(description)
    tool.no_padding()
    tool.enable_truncation(length)
    tool.encode_special_tokens = True
    return tool


def given(column: str, records: Any) -> Iterator[str]:
    """The text of each record; DataError where `records` are no list and no table."""
    allowed = f"a list of texts, or of objects with the key {column!r}, or a table with this column"
    columns = getattr(records, "columns", None)
    if columns is not None:
        if column not in columns:
            raise DataError(f"the table has the columns {list(columns)}; allowed is {allowed}")
        records = list(records[column])
    if not isinstance(records, list | tuple | np.ndarray):
        raise DataError(f"the records are {reprlib.repr(records)}; allowed is {allowed}")
    for row, record in enumerate(records):
        text = record.get(column) if isinstance(record, dict) else record
        if not isinstance(text, str):
            raise DataError(f"record {row} is {reprlib.repr(record)}, which has no text; allowed is {allowed}")
        yield readable(row, text)


def readable(row: int, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"record {row} has half a character at {error.start}, {text[error.start]!r}") from None
    return text
