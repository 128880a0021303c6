"""Rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.kinds.kind import Columns, Encoder, Kind

if TYPE_CHECKING:
    import numpy as np

    from pipeline.kinds.bodies import Limits
    from pipeline.kinds.input import Input

SPREAD = 3.0  # deviation of random numbers; those of train have about 1


class Table(Kind):
    """A record is a dict of all the columns."""

    name = "table"
    packages = ("polars",)
    at_once = 20_000
    baseline = "boosting"

    def faults(self, encoder: Encoder, records: Any) -> dict[int, str]:
        return self.code.faults(encoder, records)

    def blank(self, encoder: Encoder) -> Any:
        return [{column["name"]: None for column in encoder["columns"]}]

    def input(self, encoder: Encoder, examples: list[Any], limits: Limits) -> Input:
        from pipeline.kinds.table.input import Rows

        return Rows(encoder, examples, limits)

    def features(self, encoder: Encoder, inputs: np.ndarray, popularity: np.ndarray) -> Columns:
        from pipeline.kinds.table.features import features

        return features(encoder, inputs)

    def columns(self, encoder: Encoder) -> list[Any]:
        """Any value of a table may be missing."""
        from mlflow.types import ColSpec, DataType

        return [
            ColSpec(DataType.double if column["type"] == "number" else DataType.string, column["name"], required=False)
            for column in encoder["columns"]
        ]

    def drawn(self, encoder: Encoder, count: int, length: int, random: np.random.Generator) -> np.ndarray:
        import numpy as np

        sizes = [len(column["values"]) + 1 for column in encoder["columns"] if column["type"] == "category"]
        numbers = random.normal(0, SPREAD, (count, length - len(sizes)))
        codes = random.integers(0, sizes, (count, len(sizes)))
        return np.hstack([numbers, codes]).astype(np.float32)


KIND = Table()
