"""Versions in MLflow's registry: one for each bundle, with what made it and what it scores."""

from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pipeline
from pipeline.models.bundle import Bundle

DIGEST = "bundle.digest"
NEEDED = ("torch", "safetensors", "numpy", "pandas", "mlflow")  # what served.py and the bundle import
NEEDED_BY_KIND = {"image": ("pillow",), "text": ("tokenizers", "transformers", "peft"), "table": ("polars",)}


def find(client: Any, name: str, digest: str) -> Any | None:
    """The version of `name` made of this very bundle."""
    found = client.search_model_versions(f"name='{name}' and tags.`{DIGEST}` = '{digest}'")
    return min(found, key=lambda each: int(each.version), default=None)


def create(client: Any, mlflow_id: str, name: str, folder: Path, records: Any, tags: dict[str, str], card: str) -> Any:
    """Logs the bundle as a pyfunc model of the run and makes it a version; `records` are spec.json's examples."""
    import mlflow
    from mlflow.models import Model

    from pipeline.registry.signature import example, signature

    # served.py stands in pipeline/registry/; the model needs the package to read its bundle.
    package = Path(pipeline.__file__).parent
    # Else the files would go to MLflow's default experiment, and so to mlruns/ in the working folder
    mlflow.set_experiment(experiment_id=client.get_run(mlflow_id).info.experiment_id)
    bundle = Bundle.load(folder)
    given = example(bundle.encoder, records)
    needed = NEEDED + NEEDED_BY_KIND.get(bundle.encoder["kind"], ())
    logged = Model.log(
        artifact_path=None,
        flavor=mlflow.pyfunc,
        name=name,
        run_id=mlflow_id,
        python_model=str(package / "registry" / "served.py"),
        artifacts={"bundle": str(folder)},
        code_paths=[str(package)],
        signature=signature(bundle, given),
        input_example=given,
        pip_requirements=[f"{name}=={installed(name).partition('+')[0]}" for name in needed],
    )
    if client.search_registered_models(f"name='{name}'") == []:
        client.create_registered_model(name)
    return client.create_model_version(
        name, logged.model_uri, run_id=mlflow_id, tags=tags, description=card, model_id=logged.model_id
    )
