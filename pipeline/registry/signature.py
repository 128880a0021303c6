"""What a registered model takes and gives, in MLflow's terms: the user's own records, not the net's tensors."""

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import Schema

from pipeline.kinds.kind import of
from pipeline.models.bundle import Bundle


def signature(bundle: Bundle, given: np.ndarray | pd.DataFrame) -> ModelSignature:
    outputs = infer_signature(given, pd.DataFrame(bundle.predict(given))).outputs
    return ModelSignature(Schema(of(bundle.encoder).columns(bundle.encoder)), outputs)
