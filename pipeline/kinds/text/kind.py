"""Texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.kinds.kind import Columns, Encoder, Kind

if TYPE_CHECKING:
    import numpy as np

    from pipeline.kinds.bodies import Limits
    from pipeline.kinds.input import Input


class Text(Kind):
    """A record is a string."""

    name = "text"
    packages = ("tokenizers", "transformers", "peft")
    bucketed = True
    any_length = True
    baseline = "tf_idf"

    def blank(self, encoder: Encoder) -> Any:
        return [""]

    def input(self, encoder: Encoder, examples: list[Any], limits: Limits) -> Input:
        from pipeline.kinds.text.input import Texts

        return Texts(encoder, examples, limits)

    def of_json(self, value: Any) -> Any:
        return value["text"]

    def features(self, encoder: Encoder, inputs: np.ndarray, popularity: np.ndarray) -> Columns:
        import numpy as np

        from pipeline.kinds.text.encoder import tokenizer

        there = inputs != encoder["padding"]
        lengths = there.sum(axis=1)
        found = {"length in tokens": lengths.astype(np.float64)}
        word = json.loads(encoder["tokenizer"])["model"].get("unk_token")
        if word is not None:
            unknown = tokenizer(encoder["tokenizer"], encoder["shape"][0]).token_to_id(word)
            found["share of unknown tokens"] = ((inputs == unknown) & there).sum(axis=1) / lengths.clip(1)
        return found

    def columns(self, encoder: Encoder) -> list[Any]:
        from mlflow.types import ColSpec, DataType

        return [ColSpec(DataType.string, encoder["column"])]

    def lengths(self, usual: int) -> Sequence[int]:
        return (1, usual)

    def drawn(self, encoder: Encoder, count: int, length: int, random: np.random.Generator) -> np.ndarray:
        import numpy as np

        empty = random.integers(0, length + 1, (count, 1))  # places of each row
        words = np.delete(np.arange(encoder["architecture"]["vocab_size"], dtype=np.int32), encoder["padding"])
        ids = random.choice(words, (count, length))
        return np.where(np.arange(length) < length - empty, ids, np.int32(encoder["padding"]))


KIND = Text()
