"""Histories of items as people send them, and the search for items by their titles."""

import unicodedata
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, FailFast, Field, create_model

from pipeline.kinds.bodies import SHOWN, STRICT, Invalid, Limits, canonical, checked, each, given, joined
from pipeline.kinds.input import Input

MOST = 10_000  # items of a history: all that are encoded together get the width of the longest
FOUND = 20  # items of a search
UNIT = 1000  # items that take about as long as a short history's way through the network


class Histories(Input):
    """A record is a list of item ids, the latest last."""

    page = "history"

    def __init__(self, encoder: dict[str, Any], raw: list[Any], limits: Limits):
        self.encoder = encoder
        self.titles = dict(zip(encoder["labels"], encoder.get("titles") or encoder["labels"], strict=True))
        self.folded = {item: folded(title) for item, title in self.titles.items()}
        histories = [one["items"] if isinstance(one, dict) else one for one in raw]
        self.examples = [{"items": [str(item) for item in items]} for items in histories]
        description = f"a list of up to {MOST:,} item ids, the latest last; GET /items?query= finds them by title"
        self.schema = create_model(
            "Record",
            __config__=STRICT | ConfigDict(json_schema_extra={"examples": self.examples}),
            items=(Annotated[list[str | int], FailFast()], Field(description=description, max_length=MOST)),
        )

    def records(self, values: list[Any], places: list[str], quick: bool = False) -> list[list[str]]:
        return each(self.record, values, places)

    def record(self, value: Any, place: str) -> list[str]:
        asked = checked(self.schema, value, place, lambda key: "a history has no such key; it needs items", depth=2)
        items = [str(item) for item in asked["items"]]
        odd = [(row, item) for row, item in enumerate(items) if item not in self.titles][:SHOWN]
        if odd:
            raise Invalid([{"field": joined(place, "items", row), "message": self.unknown(item)} for row, item in odd])
        return items

    def cost(self, record: list[str]) -> float:
        return 1 + len(record) / UNIT

    def unknown(self, item: str) -> str:
        few = ", ".join(list(self.titles)[:3])
        return (
            f"{given(item)}; it needs one of the {len(self.titles):,} items that this model knows ({few}, …): "
            "GET /items?query= finds them by title"
        )

    def stored(self, record: list[str], row: np.ndarray) -> bytes:
        return canonical({"items": record})

    def found(self, query: str) -> list[dict[str, str]]:
        """Items whose titles hold the query, those that begin with it first; accents and case do not count."""
        wanted = folded(query)
        holding = [item for item, title in self.folded.items() if wanted in title or item == query]
        holding.sort(key=lambda item: (item != query, not self.folded[item].startswith(wanted)))
        return [{"item": item, "title": self.titles[item]} for item in holding[:FOUND]]


def folded(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))
