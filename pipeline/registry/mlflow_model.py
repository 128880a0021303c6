"""The bundle as a model that MLflow logs: its files, the code that reads them, and what a server of it installs."""

import tempfile
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pipeline
from pipeline.kinds.kind import of
from pipeline.project.files import follow_umask
from pipeline.registry.provenance import DIGEST
from pipeline.tracking.mlflow_store import once_each

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature

    from pipeline.models.bundle import Bundle

NEEDED = ("torch", "safetensors", "numpy", "pandas", "pydantic", "mlflow")  # what pyfunc.py and the bundle import


def log(client: Any, mlflow_id: str, name: str, folder: Path, records: Any, metrics: list[str], card: Path) -> Any:
    """A LoggedModel of the run, with the `card` beside the bundle; `records` are spec.json's examples.

    MLflow's own Model.log asks for the history of each metric of the run, and makes two models when a reply is lost.
    """
    from mlflow.entities import LoggedModelOutput

    from pipeline.models.bundle import Bundle

    run = client.get_run(mlflow_id)
    with once_each():
        model = client.create_logged_model(run.info.experiment_id, logged_name(name), mlflow_id, params=run.data.params)
    with tempfile.TemporaryDirectory(prefix="ratchet-") as place:
        save(Path(place, "model"), model, Bundle.load(folder), folder, records)
        follow_umask(Path(place, "model"))
        client.log_model_artifacts(model.model_id, str(Path(place, "model")))
    client.log_model_artifact(model.model_id, str(card))
    client.log_outputs(mlflow_id, [LoggedModelOutput(model.model_id, step=0)])
    client.log_batch(mlflow_id, metrics=scores(client, model, metrics))
    return client.finalize_logged_model(model.model_id, "READY")


def logged_name(name: str) -> str:
    """MLflow takes dots in a registered model's name, and not in a logged one's."""
    return name.replace(".", "_")


def save(place: Path, model: Any, bundle: "Bundle", folder: Path, records: Any) -> None:
    """The files of an MLflow model of the flavour pyfunc, in the new folder `place`."""
    import mlflow
    from mlflow.models import Model

    # The model needs the package to read its bundle.
    package = Path(pipeline.__file__).parent
    served = cast("ModuleSpec", find_spec("pipeline.registry.pyfunc")).origin  # a file of this folder
    kind = of(bundle.encoder)
    given, needed = kind.example(records), NEEDED + kind.packages
    mlflow.pyfunc.save_model(
        str(place),
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            model_uuid=model.model_id,
            model_id=model.model_id,
            run_id=model.source_run_id,
            metadata={DIGEST: bundle.digest},
        ),
        python_model=served,
        artifacts={"bundle": str(folder)},
        code_paths=[str(package)],
        signature=signature(bundle, given),
        input_example=given,
        pip_requirements=[f"{name}=={installed(name).partition('+')[0]}" for name in needed],
    )


def scores(client: Any, model: Any, metrics: list[str]) -> list[Any]:
    """The run's points of these metrics, as points of the model too: MLflow's page of models sorts by them."""
    from mlflow.entities import Metric

    return [
        Metric(name, point.value, point.timestamp, point.step, model.model_id, run_id=model.source_run_id)
        for name in metrics
        for point in client.get_metric_history(model.source_run_id, name)
    ]


def signature(bundle: "Bundle", given: "np.ndarray | pd.DataFrame") -> "ModelSignature":
    """What the registered model takes and gives, in MLflow's terms: the user's own records, not the net's tensors."""
    import pandas as pd
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import Schema

    outputs = infer_signature(given, pd.DataFrame(bundle.predict(given))).outputs
    return ModelSignature(Schema(of(bundle.encoder).columns(bundle.encoder)), outputs)
