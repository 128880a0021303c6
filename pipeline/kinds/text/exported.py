"""From texts to the network's inputs: int32 (N, length), token ids at the left; else encoder["padding"].

Needs tokenizers. A record is a text, or {column: text}.
"""

from typing import Any

import numpy as np
from tokenizers import Tokenizer

Encoder = dict[str, Any]  # encoder.json


def encode(encoder: Encoder, records: list[Any]) -> np.ndarray:
    tokenizer = Tokenizer.from_str(encoder["tokenizer"])
    tokenizer.no_padding()
    tokenizer.enable_truncation(encoder["shape"][0])
    tokenizer.encode_special_tokens = True
    texts = [record[encoder["column"]] if isinstance(record, dict) else record for record in records]
    rows = [one.ids for one in tokenizer.encode_batch(texts)]
    inputs = np.full((len(rows), max(encoder["shape"][0], *map(len, rows))), encoder.get("padding", 0), np.int32)
    for row, ids in enumerate(rows):
        inputs[row, : len(ids)] = ids
    return inputs
