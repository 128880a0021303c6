"""Histories of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.kinds.kind import Columns, Encoder, Kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipeline.kinds.bodies import Limits
    from pipeline.kinds.input import Input


class Behaviour(Kind):
    """A record is a list of item ids, the latest last."""

    name = "behaviour"
    folds = False  # each user's last items are validation and test
    any_length = True
    like_use = "val"  # train's are cut to a window

    def faults(self, encoder: Encoder, records: Any) -> dict[int, str]:
        return self.code.faults(encoder, records)

    def blank(self, encoder: Encoder) -> Any:
        return [[]]

    def known(self, encoder: Encoder, records: Any) -> Any:
        labels = set(encoder["labels"])
        return [[item for item in items if item in labels] for items in records]

    def held_out(self, encoder: Encoder, inputs: np.ndarray) -> Any:
        return [[encoder["labels"][item - 1] for item in row if item] for row in inputs.tolist()]

    def compact(self, row: np.ndarray) -> np.ndarray:
        return row[row > 0]

    def input(self, encoder: Encoder, examples: list[Any], limits: Limits) -> Input:
        from pipeline.kinds.behaviour.input import Histories

        return Histories(encoder, examples, limits)

    def of_json(self, value: Any) -> Any:
        return value["items"]

    def features(self, encoder: Encoder, inputs: np.ndarray, popularity: np.ndarray) -> Columns:
        import numpy as np

        lengths = (inputs > 0).sum(axis=1)
        with np.errstate(invalid="ignore"):  # an empty history has no items: NaN
            mean = popularity[inputs].sum(axis=1) / lengths
        return {"length of the history": lengths.astype(np.float64), "popularity of its items": mean}

    def example(self, records: Any) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({"items": records})

    def columns(self, encoder: Encoder) -> list[Any]:
        from mlflow.types import ColSpec, DataType
        from mlflow.types.schema import Array

        return [ColSpec(Array(DataType.string), "items")]

    def lengths(self, usual: int) -> Sequence[int]:
        return (2 * usual, usual)

    def drawn(self, encoder: Encoder, count: int, length: int, random: np.random.Generator) -> np.ndarray:
        import numpy as np

        empty = random.integers(0, length + 1, (count, 1))  # places of each row
        ids = random.integers(1, len(encoder["labels"]) + 1, (count, length), np.int32)
        return np.where(np.arange(length) >= empty, ids, np.int32(0))


KIND = Behaviour()
