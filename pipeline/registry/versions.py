"""Versions in MLflow's registry: one for each bundle, with what made it and what it scores."""

from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

import pipeline
from pipeline.models.bundle import Bundle

DIGEST = "bundle.digest"
NEEDED = ("torch", "safetensors", "numpy", "pandas", "mlflow")  # what served.py and the bundle import
EXAMPLES = 2


def find(client: Any, name: str, digest: str) -> Any | None:
    """The version of `name` made of this very bundle."""
    found = client.search_model_versions(f"name='{name}' and tags.`{DIGEST}` = '{digest}'")
    return min(found, key=lambda each: int(each.version), default=None)


def create(
    client: Any, mlflow_id: str, name: str, folder: Path, example: np.ndarray, tags: dict[str, str], card: str
) -> Any:
    """Logs the bundle as a pyfunc model of the run and makes it a version; `example` is raw records."""
    import mlflow
    from mlflow.models import Model

    # served.py stands in pipeline/registry/; the model needs the package to read its bundle.
    package = Path(pipeline.__file__).parent
    # Else the files would go to MLflow's default experiment, and so to mlruns/ in the working folder
    mlflow.set_experiment(experiment_id=client.get_run(mlflow_id).info.experiment_id)
    logged = Model.log(
        artifact_path=None,
        flavor=mlflow.pyfunc,
        name=name,
        run_id=mlflow_id,
        python_model=str(package / "registry" / "served.py"),
        artifacts={"bundle": str(folder)},
        code_paths=[str(package)],
        signature=signature(Bundle.load(folder), example),
        input_example=example,
        pip_requirements=[f"{name}=={installed(name).partition('+')[0]}" for name in NEEDED],
    )
    if client.search_registered_models(f"name='{name}'") == []:
        client.create_registered_model(name)
    return client.create_model_version(
        name, logged.model_uri, run_id=mlflow_id, tags=tags, description=card, model_id=logged.model_id
    )


def signature(bundle: Bundle, example: np.ndarray) -> Any:
    """Input: the encoder's shape and type, any number of records; output: what Served.predict returns."""
    import pandas as pd
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import Schema, TensorSpec

    outputs = infer_signature(example, pd.DataFrame(bundle.predict(example))).outputs
    return ModelSignature(Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]), outputs)
