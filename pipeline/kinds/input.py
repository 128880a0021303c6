"""How a record comes over HTTP where its kind says no more: any JSON, as pipeline/kinds/KIND/encoder.py takes it."""

from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, RootModel, create_model

from pipeline.kinds.bodies import Limits, canonical, invalid
from pipeline.kinds.encoding import encode


class Input:
    """`examples`: raw records; as an attribute they are as a request has them. `schema`: of a record, in JSON."""

    page: ClassVar[str] = "json"  # what a person fills in on the page: of INPUTS in serving/page/inputs.js
    uploads: ClassVar[bool] = False  # whether /predict takes a file as well
    schema: type[BaseModel]

    def __init__(self, encoder: dict[str, Any], examples: list[Any], limits: Limits):
        self.encoder = encoder
        self.examples = list(examples)
        self.schema = create_model("Record", __base__=RootModel[Any])

    def records(self, values: list[Any], places: list[str], quick: bool = False) -> list[Any]:
        """The records of a request, each as it is; `quick`: Invalid, too, where one takes long to read."""
        return values

    def picture(self, content: bytes) -> np.ndarray:
        """The record of an uploaded file."""
        raise invalid("image", f"this model takes no pictures; send JSON such as {self.examples[:1]}")

    def cost(self, record: Any) -> float:
        """How long it takes beside a small one."""
        return 1.0

    def encoded(self, records: list[Any]) -> np.ndarray:
        """(N, …) as the network takes them."""
        return encode(self.encoder, records)

    def stored(self, record: Any, row: np.ndarray) -> bytes:
        """What is kept of a record, of which `row` is what the network saw."""
        return canonical(record)

    def columns(self) -> list[dict[str, Any]]:
        """Of a table: name, type, and the values that a category has."""
        return []

    def found(self, query: str) -> list[dict[str, str]] | None:
        """Items whose titles hold a text; None where there are no items."""
        return None
