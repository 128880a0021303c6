"""The model that MLflow serves: MLflow runs this file ("models from code") beside the bundle's artifacts."""

import warnings
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import set_model

# No type hints on predict's arguments: MLflow would take them for a schema, and the signature is one.
warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method")


class Served(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        from pipeline.models.bundle import Bundle

        self.bundle = Bundle.load(context.artifacts["bundle"])

    def predict(self, context, model_input, params=None) -> pd.DataFrame:
        """Raw records, as the signature says → a row for each: label and probabilities, value, or ranked items."""
        return pd.DataFrame(self.bundle.predict(model_input))


set_model(Served())
