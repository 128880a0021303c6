"""What can be compared of encoded inputs: a column for each feature, of training data and of use by the same code.

A column is float64 (N,), NaN where there is no value, or an array of texts.
"""

from typing import Any

import numpy as np

from pipeline.kinds.kind import Columns, of


def of_inputs(encoder: dict[str, Any], inputs: np.ndarray, popularity: np.ndarray) -> Columns:
    """`popularity`: (items + 1,) of a ranking, in shares of train's choices; index 0 is no item."""
    return of(encoder).features(encoder, inputs, popularity)


def of_answers(encoder: dict[str, Any], answers: list[dict[str, Any]], popularity: np.ndarray) -> Columns:
    """Of answers as models/outputs.py gives them, or as the feedback store keeps them."""
    if encoder["task"] == "regression":
        return {"predicted value": np.array([one["value"] for one in answers], np.float64)}
    if encoder["task"] == "ranking":
        index = {label: place for place, label in enumerate(encoder["labels"], 1)}
        first = [index.get(name(one["items"][0]), 0) if one["items"] else 0 for one in answers]
        return {"popularity of the first item": popularity[first]}
    given = [one["probabilities"] for one in answers]
    highest = [max(one.values() if isinstance(one, dict) else one) for one in given]
    return {"predicted class": np.array([one["label"] for one in answers]), "its probability": np.array(highest)}


def name(item: Any) -> str:
    return item["item"] if isinstance(item, dict) else item
