"""The model that MLflow serves: MLflow runs this file ("models from code") beside the bundle's artifacts."""

import warnings
from pathlib import Path
from typing import Any, cast

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

with warnings.catch_warnings():
    # MLflow asks for type hints on predict, which it would take for a schema, where the signature is one. It sets a
    # filter of its own around that warning, so it is stopped where it would be shown.
    warnings.showwarning = lambda *warning, **more: None

    class Served(PythonModel):
        def load_context(self, context: Any) -> None:
            from mlflow.models import Model

            from pipeline.models.bundle import Bundle
            from pipeline.project.errors import RegistryError

            folder = Path(context.artifacts["bundle"])
            self.bundle = Bundle.load(folder)
            metadata = cast("dict[str, Any]", Model.load(folder.parents[1]).metadata)  # mlflow_model.save wrote it
            logged, found = metadata["bundle.digest"], self.bundle.digest
            if found != logged:
                raise RegistryError(f"{folder} holds the bundle {found}; {logged} was logged with this model")

        def predict(self, context, model_input, params=None) -> pd.DataFrame:  # type: ignore[no-untyped-def]  # above
            """Raw records, as the signature says → a row for each: label and probabilities, value, or ranked items."""
            return pd.DataFrame(self.bundle.predict(model_input))


set_model(Served())
