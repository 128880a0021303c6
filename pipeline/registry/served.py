"""The model that MLflow serves: MLflow runs this file ("models from code") beside the bundle's artifacts."""

from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import set_model


class Served(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        from pipeline.models.bundle import Bundle

        self.bundle = Bundle.load(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Raw records → a row for each: its label, and the probability of every label in the bundle's order."""
        return pd.DataFrame(self.bundle.predict(model_input))


set_model(Served())
