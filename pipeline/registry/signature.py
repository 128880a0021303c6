"""What a registered model takes and gives, in MLflow's terms: the user's own records, not the net's tensors."""

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array

from pipeline.models.bundle import Bundle


def example(encoder: dict[str, Any], records: Any) -> np.ndarray | pd.DataFrame:
    """`records` of spec.json's examples in the form that the served model takes."""
    if encoder["kind"] == "image":
        return np.array(records, dtype=np.uint8)
    return pd.DataFrame({"items": records} if encoder["kind"] == "behaviour" else records)


def signature(bundle: Bundle, given: np.ndarray | pd.DataFrame) -> ModelSignature:
    outputs = infer_signature(given, pd.DataFrame(bundle.predict(given))).outputs
    return ModelSignature(Schema(inputs(bundle.encoder)), outputs)


def inputs(encoder: dict[str, Any]) -> list[TensorSpec | ColSpec]:
    if encoder["kind"] == "image":
        return [TensorSpec(np.dtype(np.uint8), (-1, *encoder["shape"]))]
    if encoder["kind"] == "text":
        return [ColSpec(DataType.string, encoder["column"])]
    if encoder["kind"] == "behaviour":
        return [ColSpec(Array(DataType.string), "items")]
    return [  # any value of a table may be missing
        ColSpec(DataType.double if column["type"] == "number" else DataType.string, column["name"], required=False)
        for column in encoder["columns"]
    ]
