"""What a record and an answer look like over HTTP, by the encoder of the model that is served."""

from typing import Any

import numpy as np

from pipeline.kinds.bodies import Invalid, Limits, given, invalid, parsed
from pipeline.kinds.kind import of
from pipeline.project.errors import DataError
from pipeline.tasks import task as tasks
from pipeline.tasks.response import LISTED

BATCH = 'an object {"records": [record, …]}'


class ModelApi:
    """Bodies in, records and rows of the encoder out; Invalid, and nothing else, for what can't be used.

    `examples`: raw records, as pipeline/kinds/KIND takes them; as an attribute they are as a request has them.
    `limits`: `pixels` and `characters` bound the picture files and the texts of one request together.
    """

    def __init__(self, encoder: dict[str, Any], examples: list[Any], limits: Limits):
        self.encoder, self.limit = encoder, limits.records
        self.kind: str = encoder["kind"]
        self.input = of(encoder).input(encoder, examples, limits)
        self.response = tasks.of(encoder).response(encoder)
        self.examples: list[dict[str, Any]] = self.input.examples
        self.schema_in, self.schema_out = self.input.schema, self.response.schema

    def one(self, body: bytes, quick: bool = False) -> Any:
        """The record of a body of /predict; `quick`: Invalid, too, where a picture file takes long to read."""
        (record,) = self.records([parsed(body)], [""], quick)
        return record

    def many(self, body: bytes, quick: bool = False) -> list[Any]:
        """The records of a body of /predict/batch; `quick` as above."""
        asked = parsed(body)
        if not isinstance(asked, dict):
            raise invalid("", f"{given(asked)}; it needs {BATCH}")
        for key in asked:
            if key != "records":
                raise invalid(key, f"a batch has no such key; it needs {BATCH}")
        values = asked.get("records")
        if not isinstance(values, list):
            raise invalid("records", f"{given(values)}; it needs a list of 1 to {self.limit:,} records")
        if not 0 < len(values) <= self.limit:
            raise invalid("records", f"{len(values):,} records were given; allowed are 1 to {self.limit:,}")
        return self.records(values, [f"records.{row}" for row in range(len(values))], quick)

    def records(self, values: list[Any], places: list[str], quick: bool) -> list[Any]:
        return self.input.records(values, places, quick)

    def picture(self, content: bytes) -> np.ndarray:
        """The record of a picture file."""
        return self.input.picture(content)

    def cost(self, record: Any) -> float:
        """How long it takes beside a small one."""
        return self.input.cost(record)

    def encoded(self, records: list[Any]) -> np.ndarray:
        """(N, …) as the network takes them."""
        try:
            return self.input.encoded(records)
        except DataError as error:
            raise Invalid([{"field": "", "message": str(error)}]) from error

    def stored(self, record: Any, row: np.ndarray) -> bytes:
        """What is kept of a record: a PNG of what the network saw, or the record as canonical JSON."""
        return self.input.stored(record, row)

    def answer(self, result: dict[str, Any]) -> dict[str, Any]:
        """Of one of Bundle.predict's results."""
        return self.response.answer(result)

    def label(self, value: Any) -> str:
        """What a client says would have been right, as it is stored."""
        return self.response.label(value)

    def about(self) -> dict[str, Any]:
        labels = self.response.labels
        return {
            "kind": self.kind,
            "input": self.input.page,
            "task": self.encoder["task"],
            "labels": labels if len(labels) <= LISTED else [],
            "shape": self.encoder["shape"],
            "columns": self.input.columns(),
            "examples": self.examples,
        }

    def items(self, query: str) -> list[dict[str, str]] | None:
        """Of a model that ranks items: those whose titles hold `query`; None of any other."""
        return self.input.found(query)
