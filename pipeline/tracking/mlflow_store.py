"""The only place in training's reach that imports mlflow; training itself imports it in another process."""

import logging
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.project import paths
from pipeline.project.errors import RegistryError
from pipeline.project.secrets import redact

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
# A POST repeated by the client after a lost reply would create twice: sync repeats by itself, looking first.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

RUN_TAG = "ratchet.run_id"
BATCH = 1000  # MLflow's limit for log-batch; 100 for params and for tags
LONGEST_PARAM = 6000
LONGEST_TAG = 8000


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or a SQLite file in the repository's own folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home(Path.cwd()) / 'mlflow.db'}"


def local_database() -> Path | None:
    prefix = "sqlite:///"
    return Path(tracking_uri().removeprefix(prefix)) if tracking_uri().startswith(prefix) else None


def shown_uri() -> str:
    return redact(tracking_uri())


def client() -> Any:
    """An MlflowClient of the tracking URI, which is set for mlflow's module-level functions as well."""
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(tracking_uri())
    mlflow.set_registry_uri(tracking_uri())
    client = mlflow.MlflowClient()
    database = local_database()
    if database and not database.is_file():
        with FileLock(paths.state("database.lock")):  # two processes at once would trip over each other's tables
            client.search_experiments(max_results=1)
    return client


def experiment_id(client: Any, name: str) -> str:
    """Finds or creates the experiment; a local store keeps its artifacts beside its database."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        folder = paths.home(Path.cwd()) / "mlartifacts" / name
        try:
            return client.create_experiment(name, artifact_location=folder.as_uri() if local_database() else None)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise RegistryError(f"experiment {name!r} is deleted in MLflow.\nRestore it, or set tracking.experiment=OTHER")
    return found.experiment_id


def find_run(client: Any, experiment: str, run_id: str) -> str | None:
    found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run_id}'", max_results=1)
    return found[0].info.run_id if found else None


def create_run(client: Any, experiment: str, run_id: str, name: str, start: int, parent: str | None) -> str:
    """`parent` is the MLflow id of the run under which the UI shows this one."""
    tags = {RUN_TAG: run_id, "mlflow.source.name": "ratchet train", "mlflow.source.type": "LOCAL"}
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    return client.create_run(experiment, start_time=start, run_name=name, tags=tags).info.run_id


def send(client: Any, mlflow_id: str, lines: list[dict[str, Any]], artifacts: Path) -> None:
    """Ships lines of one kind, or of kinds that log-batch takes together, in order."""
    from mlflow.entities import Metric, Param, RunTag

    metrics, params, tags = [], [], {}
    for line in lines:
        values = line.get("values", {})
        if line["kind"] == "metrics":
            metrics += [Metric(name, value, line["time"], line["step"]) for name, value in values.items()]
        elif line["kind"] == "params":
            params += [Param(name, value[:LONGEST_PARAM]) for name, value in values.items()]
        elif line["kind"] == "tags":
            tags |= {name: RunTag(name, value[:LONGEST_TAG]) for name, value in values.items()}
        else:
            SENDERS[line["kind"]](client, mlflow_id, line, artifacts)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(mlflow_id, metrics=metrics[start : start + BATCH])
    for start in range(0, max(len(params), len(tags)), 100):
        some = list(tags.values())[start : start + 100]
        client.log_batch(mlflow_id, params=params[start : start + 100], tags=some)


def send_artifact(client: Any, mlflow_id: str, line: dict[str, Any], artifacts: Path) -> None:
    inside = Path(line["name"]).parent
    client.log_artifact(mlflow_id, artifacts / line["name"], None if inside == Path() else inside.as_posix())


def send_input(client: Any, mlflow_id: str, line: dict[str, Any], artifacts: Path) -> None:
    import json

    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": line["source"]})
    dataset = Dataset(line["name"], line["digest"][:36], "local", source, profile=json.dumps(line["profile"]))
    tag = InputTag("mlflow.data.context", line["context"])
    client.log_inputs(mlflow_id, datasets=[DatasetInput(dataset, [tag])])


def send_status(client: Any, mlflow_id: str, line: dict[str, Any], artifacts: Path) -> None:
    if line["reason"]:
        client.set_tag(mlflow_id, "ratchet.reason", line["reason"][:LONGEST_TAG])
    if line["value"] == "RUNNING":
        client.update_run(mlflow_id, status="RUNNING")
    else:
        client.set_terminated(mlflow_id, line["value"], line["time"])


SENDERS = {
    "artifact": send_artifact,
    "input": send_input,
    "status": send_status,
    "run": lambda *line: None,  # its run exists once find_run or create_run has named it
}


def model_folder(uri: str) -> Path:
    """The files of a registered model, such as models:/mnist@champion, on this machine."""
    import mlflow
    from mlflow.exceptions import MlflowException

    client()
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except MlflowException as error:
        raise RegistryError(
            f"{uri} can't be fetched from {shown_uri()}: {str(error)[:300]}\n"
            "Type: dvc repro && ratchet promote   (or score with the bundle itself: --bundle models/bundle)"
        ) from None


def unreachable() -> tuple[type[Exception], ...]:
    """What is raised when a server or a database does not answer as it should."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, RequestException, SQLAlchemyError
