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
        """Raw records → a row for each: its label, and the probability of every label in the bundle's order."""
        return pd.DataFrame(self.bundle.predict(model_input))


set_model(Served())
