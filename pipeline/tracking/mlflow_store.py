"""The only place in training's reach that imports mlflow; training itself imports it in another process."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.project import paths
from pipeline.project.errors import RegistryError
from pipeline.project.files import write_atomically
from pipeline.project.secrets import redact
from pipeline.tracking import delivery, relocation

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
# A POST repeated by the client after a lost reply would create twice: sync repeats by itself, looking first.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

DENIED = ("PERMISSION_DENIED", "UNAUTHENTICATED")
RUN_TAG = "ratchet.run_id"
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"  # "Model training"; MLflow's UI guesses GenAI
RETRIES = 2  # of a verb's requests: at once, and within a second


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

    mlflow.set_tracking_uri(tracking_uri())
    mlflow.set_registry_uri(tracking_uri())
    require_tables()
    settle()
    return mlflow.MlflowClient()


def settle() -> None:
    """A project that was moved or copied finds its files again."""
    if (database := local_database()) is not None:
        relocation.settle(database.absolute())


def require_tables() -> None:
    """Makes the tables of a new database, which MLflow would do at first use: by one process at a time.

    Two at once trip over each other's tables, and one that is killed midway leaves a SQLite file that can't be opened
    any more: so that file takes its name when it is whole.
    """
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)

    def make(file: Path) -> None:
        mlflow.MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}").search_experiments(max_results=1)

    database = local_database()
    if database is not None and not database.is_file():
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{database}.lock"):
            if not database.is_file():
                write_atomically(database, make)
    elif database is None and not tracking_uri().startswith(("http:", "https:")):
        with FileLock(paths.state("database.lock")):
            mlflow.MlflowClient().search_experiments(max_results=1)


def experiment_id(client: Any, name: str) -> str:
    """Finds or creates the experiment; a local store keeps its artifacts beside its database."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        database = local_database()
        folder = database and database.absolute().parent / relocation.ARTIFACTS / name
        try:
            place = folder and folder.as_uri()
            made: str = client.create_experiment(name, artifact_location=place, tags={KIND_TAG: KIND})
            return made
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        typed = delivery.restoring(shown_uri(), found.experiment_id)
        raise RegistryError(
            f"experiment {name!r} is deleted in MLflow, and takes no run.\nType: {typed}\n"
            "or name another in params.yaml: tracking: {experiment: OTHER}"
        )
    if KIND_TAG not in found.tags:  # of a version before, or made by hand
        client.set_experiment_tag(found.experiment_id, KIND_TAG, KIND)
    known: str = found.experiment_id
    return known


def find_run(client: Any, experiment: str, run_id: str) -> str | None:
    found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run_id}'")
    return min((run.info.run_id for run in found), default=None)


def delete_copies(client: Any, mlflow_id: str, run_id: str) -> None:
    """Deletes what a create made whose reply came too late: runs with the same tag, and without a point."""
    experiment = client.get_run(mlflow_id).info.experiment_id
    for run in client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run_id}'"):
        if run.info.run_id != mlflow_id and not run.data.metrics and not run.data.params:
            client.delete_run(run.info.run_id)


def create_run(client: Any, experiment: str, run_id: str, name: str, start: int, parent: str | None) -> str:
    """`parent` is the MLflow id of the run under which the UI shows this one."""
    tags = {RUN_TAG: run_id, "mlflow.source.name": "ratchet train", "mlflow.source.type": "LOCAL"}
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    with once_each():
        made: str = client.create_run(experiment, start_time=start, run_name=name, tags=tags).info.run_id
    return made


def unreachable() -> tuple[type[Exception], ...]:
    """What is raised when a server or a database does not answer as it should."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, RequestException, SQLAlchemyError


def status_of(error: Exception) -> int | None:
    """The HTTP status of an answer that is an error; None if there was no answer, or none over HTTP."""
    if (response := getattr(error, "response", None)) is not None:
        status: int = response.status_code
        return status
    said = re.search(r"failed with error code (\d+)\b", str(error))
    return int(said[1]) if said else None


def is_denial(error: Exception) -> bool:
    """Whether the server says that this user may not, or that it does not know him."""
    return status_of(error) in (401, 403) or getattr(error, "error_code", None) in DENIED


def way_on(error: Exception, typed: str) -> str:
    """What to do about an error, and what to type then: only an outage is one that passes by waiting."""
    if is_denial(error):
        asking = "Ask its owner, or MLflow's admin, for the permission EDIT: docs/team.md says of what."
        return f"{asking}\nWhen you may, type: {typed}"
    if status_of(error) == 404 and getattr(error, "error_code", None) not in delivery.REFUSED:
        return f"No MLflow server answers at that address: set MLFLOW_TRACKING_URI to one. Then type: {typed}"
    if delivery.is_refusal(error):
        return "It answered, and refuses: waiting does not help. What is wrong shows: ratchet doctor"
    if local_database() is not None:
        return f"If another process holds it, type: {typed}   (what else may be wrong shows: ratchet doctor)"
    return f"When the server is back, type: {typed}"


@contextmanager
def retries(count: int) -> Iterator[None]:
    """Within it MLflow's client asks again, up to `count` times, where an answer was lost or a server failed."""
    names = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(count), "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def once_each() -> AbstractContextManager[None]:
    """For what creates: a request whose reply was lost is not sent again before the caller has looked."""
    return retries(0)


@contextmanager
def answering(typed: str, meanwhile: str = "") -> Iterator[None]:
    """RegistryError that says what to type when the server or the database does not answer as it should.

    A lost answer is asked for again: all requests but those under `once_each` may be sent twice.
    """
    try:
        with retries(RETRIES):
            yield
    except unreachable() as error:
        lines = [f"{shown_uri()} can't be used: {type(error).__name__}: {redact(str(error))[:300]}", meanwhile]
        raise RegistryError("\n".join([*filter(None, lines), way_on(error, typed)])) from error
