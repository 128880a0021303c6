"""What a record of a kind is, everywhere: each kind is one class, in pipeline/kinds/KIND/kind.py, found by its name.

Nothing heavy is imported before a method needs it: settings are checked by what stands here too.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Sequence
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline import kinds
from pipeline.project.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipeline.kinds.bodies import Limits
    from pipeline.kinds.input import Input

Encoder = dict[str, Any]  # encoder.json
Columns = dict[str, "np.ndarray"]  # float64 (N,), NaN where there is no value, or texts


class Kind:
    """A kind needs `name`, `blank`, and encoder.py beside it with encode and decode; all else has a plain default."""

    name: ClassVar[str]
    sides: ClassVar[int] = 1  # numbers in an encoder's shape
    packages: ClassVar[tuple[str, ...]] = ()  # that whoever serves its MLflow model installs, besides the usual
    augmented: ClassVar[bool] = False  # whether training.augmentation means something
    bucketed: ClassVar[bool] = False  # whether training.bucket does
    folds: ClassVar[bool] = True  # whether rows can be split anew, as cross-validation does
    any_length: ClassVar[bool] = False  # whether a net takes inputs of another length than those of train
    in_files: ClassVar[bool] = False  # whether each record is a file of its own, and no row of a table
    scrubbed: ClassVar[bool] = True  # whether the feedback store can look for personal data in its records
    at_once: ClassVar[int] = 200  # records that go through a net together
    baseline: ClassVar[str | None] = None  # of evaluation/baselines.py, which learns from train
    like_use: ClassVar[str] = "train"  # the split whose inputs are as those in use

    @cached_property
    def code(self) -> ModuleType:
        return importlib.import_module(f"pipeline.kinds.{self.name}.encoder")

    def encode(self, encoder: Encoder, records: Any) -> np.ndarray:
        """Inputs (N, …); DataError names the first record that can't be one."""
        return self.code.encode(encoder, records)

    def decode(self, encoder: Encoder, inputs: np.ndarray) -> list[str]:
        """A readable line for each of `inputs` (N, …)."""
        return self.code.decode(encoder, inputs)

    def blank(self, encoder: Encoder) -> Any:
        """One record that says nothing, to try an encoder with."""
        raise NotImplementedError

    def faults(self, encoder: Encoder, records: Any) -> dict[int, str]:
        """Place → why the record there can't be encoded."""
        self.encode(encoder, records[:0])  # what is wrong with all of them is said once
        found = {}
        for place in range(len(records)):
            try:
                self.encode(encoder, records[place : place + 1])
            except DataError as error:
                found[place] = str(error)
        return found

    def known(self, encoder: Encoder, records: Any) -> Any:
        """Without what came after the model was made, which it can't be asked about."""
        return records

    def held_out(self, encoder: Encoder, inputs: np.ndarray) -> Any:
        """The records that `inputs` were made of, where they tell it; None where the raw records are to be kept."""
        return None

    def compact(self, row: np.ndarray) -> np.ndarray:
        """An encoded record without its padding: equal ones are equal."""
        return row

    # Use: over HTTP, in the feedback store

    def input(self, encoder: Encoder, examples: list[Any], limits: Limits) -> Input:
        """How a record comes over HTTP."""
        from pipeline.kinds.input import Input

        return Input(encoder, examples, limits)

    def stored(self, encoder: Encoder, record: bytes) -> Any:
        """A record of the feedback store as `encode` takes it; DataError where it is no longer whole."""
        try:
            return self.of_json(json.loads(record))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the record is no {self.name} record: {type(error).__name__}: {error}") from None

    def of_json(self, value: Any) -> Any:
        return value

    def features(self, encoder: Encoder, inputs: np.ndarray, popularity: np.ndarray) -> Columns:
        """What can be compared of inputs, of train and of use; `popularity` (items + 1,) is train's, of a ranking."""
        return {}

    # MLflow's model

    def example(self, records: Any) -> np.ndarray | pd.DataFrame:
        """Records of spec.json's examples as the registered model takes them."""
        import pandas as pd

        return pd.DataFrame(records)

    def columns(self, encoder: Encoder) -> list[Any]:
        """The inputs of MLflow's signature."""
        raise NotImplementedError

    def of_example(self, given: Any) -> list[Any]:
        """Of MLflow's input_example.json, as `encode` takes them."""
        rows = [dict(zip(given["columns"], row, strict=True)) for row in given["data"]]
        return [{key: None if value != value else value for key, value in row.items()} for row in rows]  # NaN: none

    # ONNX

    def lengths(self, usual: int) -> Sequence[int]:
        """Of random inputs to try an exported net with."""
        return (usual,)

    def drawn(self, encoder: Encoder, count: int, length: int, random: np.random.Generator) -> np.ndarray:
        """Random inputs (count, …)."""
        raise NotImplementedError


@cache
def names() -> list[str]:
    return [folder.name for folder in pkgutil.iter_modules(kinds.__path__) if folder.ispkg]


@cache
def by_name(name: str) -> Kind:
    if name not in names():
        raise DataError(f"the encoder is of the kind {name!r}; this version of Ratchet knows: {', '.join(names())}")
    return importlib.import_module(f"pipeline.kinds.{name}.kind").KIND


def of(encoder: Encoder) -> Kind:
    return by_name(encoder["kind"])
