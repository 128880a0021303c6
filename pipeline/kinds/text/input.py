"""Texts as people send them, bounded before they are tokenised: tokens take some 350 times the memory of their text."""

from typing import Any

import numpy as np
from pydantic import ConfigDict, Field, create_model

from pipeline.kinds.bodies import LARGE, STRICT, Limits, Text, canonical, checked, each, invalid, joined
from pipeline.kinds.encoding import encode
from pipeline.kinds.input import Input

MOST = 100_000  # characters, of a text and of texts that are tokenised together
UNIT = 1000  # characters that take about as long as a short text's way through the network


class Texts(Input):
    """A record is a string."""

    page = "text"

    def __init__(self, encoder: dict[str, Any], raw: list[Any], limits: Limits):
        self.encoder, self.characters = encoder, limits.characters
        given = [one[encoder["column"]] if isinstance(one, dict) else one for one in raw]
        self.examples = [{"text": text} for text in given]
        self.schema = create_model(
            "Record",
            __config__=STRICT | ConfigDict(json_schema_extra={"examples": self.examples}),
            text=(Text, Field(description="a text of whole characters", json_schema_extra={"maxLength": MOST})),
        )

    def records(self, values: list[Any], places: list[str], quick: bool = False) -> list[str]:
        texts = each(self.record, values, places)
        if (size := sum(map(len, texts))) > self.characters:
            field = "records" if len(texts) > 1 else "text"
            allowed = f"a request has {self.characters:,} at most (serving.characters)"
            raise invalid(field, f"{size:,} characters were given; {allowed}: send fewer at once", LARGE)
        return texts

    def cost(self, record: str) -> float:
        return 1 + len(record) / UNIT

    def record(self, value: Any, place: str) -> str:
        text = checked(self.schema, value, place, lambda key: "a text has no such key; it needs text")["text"]
        if len(text) > MOST:
            message = (
                f"the text has {len(text):,} characters; give {MOST:,} or fewer, of which the model reads the first"
            )
            raise invalid(joined(place, "text"), message)
        return text

    def encoded(self, records: list[str]) -> np.ndarray:
        parts: list[list[str]] = [[]]
        size = 0
        for text in records:
            size += len(text)
            if size > MOST and parts[-1]:
                parts.append([])
                size = len(text)
            parts[-1].append(text)
        return np.concatenate([encode(self.encoder, part) for part in parts])

    def stored(self, record: str, row: np.ndarray) -> bytes:
        return canonical({"text": record})
