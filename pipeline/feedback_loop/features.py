"""What can be compared of encoded inputs: a column for each feature, of training data and of use by the same code.

A column is float64 (N,), NaN where there is no value, or an array of texts.
"""

from typing import Any

import numpy as np

from pipeline.kinds.kind import Columns, of
from pipeline.tasks import task as tasks


def of_inputs(encoder: dict[str, Any], inputs: np.ndarray, popularity: np.ndarray) -> Columns:
    """`popularity`: (items + 1,) of a ranking, in shares of train's choices; index 0 is no item."""
    return of(encoder).features(encoder, inputs, popularity)


def of_answers(encoder: dict[str, Any], answers: list[dict[str, Any]], popularity: np.ndarray) -> Columns:
    """Of answers as tasks/NAME.py gives them, or as the feedback store keeps them."""
    return tasks.of(encoder).features(encoder, answers, popularity)
