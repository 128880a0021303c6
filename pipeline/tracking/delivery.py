"""Lines of a journal, handed to MLflow: in order, as often as need be, and past what a server refuses for good."""

import gc
import hashlib
import json
import posixpath
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from pipeline.project.errors import RegistryError
from pipeline.project.secrets import redact
from pipeline.tracking.lines import ArtifactLine, Batched, InputLine, Line, StatusLine

BATCHES = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits for log-batch
LONGEST = {"params": 6000, "tags": 8000}
LONGEST_NAME = 250
NO_NAME = re.compile(r"[^/\w.\- :]")  # MLflow takes no such character
REFUSALS = {400, 413, 414, 415, 422}  # HTTP statuses that say the same however often one asks
REFUSED = {"BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"}
PAUSES = (0.2, 1.0)  # seconds before the second and third try of what a server turned down at once: 5xx, 429

Client = Any  # an MlflowClient; mlflow is imported when there is something to send


def send(client: Client, mlflow_id: str, lines: list[Line], artifacts: Path) -> list[Line]:
    """Ships lines: points, then settings, then files, and statuses last; returns those that the server refuses.

    Refused lines hold a single value each, and the reason.
    """
    refused: list[Line] = []
    with uncollected():
        for kind, size in BATCHES.items():
            values = by_name(lines, kind)
            for start in range(0, len(values), size):
                refused += delivered(client, mlflow_id, values[start : start + size], log_batch)
    rest = [line for line in lines if line["kind"] not in (*BATCHES, "run")]
    for line in sorted(rest, key=lambda line: line["kind"] == "status"):

        def log_one(client: Client, mlflow_id: str, some: Sequence[Line]) -> None:
            log_single(client, mlflow_id, some[0], artifacts)

        refused += delivered(client, mlflow_id, [line], log_one)
    return refused


def by_name(lines: list[Line], kind: str) -> Sequence[Line]:
    """A line for each value: those of a name together and in order, since indexes grow fastest so; tags' last ones."""
    values: list[Batched] = []
    for line in lines:
        if line["kind"] == kind and (line["kind"] == "metrics" or line["kind"] == "params" or line["kind"] == "tags"):
            values += [cast(Batched, {**line, "values": {name: value}}) for name, value in line["values"].items()]
    if kind == "tags":
        return list({next(iter(line["values"])): line for line in values}.values())
    return sorted(values, key=lambda line: next(iter(line["values"])))


def delivered(
    client: Client, mlflow_id: str, lines: Sequence[Line], log: Callable[[Client, str, Sequence[Line]], None]
) -> list[Line]:
    """Those of the lines that the server refuses: the others reach it though they travelled together."""
    try:
        patiently(lambda: log(client, mlflow_id, lines))
    except Exception as error:
        if not is_refusal(error):
            raise
        require_active(client, mlflow_id)
        if len(lines) == 1:
            return [cast(Line, {**lines[0], "refused": redact(f"{type(error).__name__}: {str(error)[:300]}")})]
        middle = len(lines) // 2
        halves = lines[:middle], lines[middle:]
        return [line for half in halves for line in delivered(client, mlflow_id, half, log)]
    return []


def patiently(call: Callable[[], None]) -> None:
    """Tries again where the answer was no and came at once; all that is sent here may be sent twice."""
    for pause in PAUSES:
        began = time.monotonic()
        try:
            return call()
        except Exception as error:
            if is_refusal(error) or time.monotonic() - began > 2:
                raise
        time.sleep(pause)
    return call()


def is_refusal(error: Exception) -> bool:
    """Whether the next try would end the same way, and what is behind this may go on."""
    if (response := getattr(error, "response", None)) is not None:
        return response.status_code in REFUSALS
    if isinstance(error, (FileNotFoundError, PermissionError, RegistryError)):  # of an artifact, of a damaged line
        return True
    status = re.search(r"failed with error code (\d+)", str(error))
    return getattr(error, "error_code", None) in REFUSED or (status is not None and int(status[1]) in REFUSALS)


def require_active(client: Client, mlflow_id: str) -> None:
    """A run that was deleted in MLflow refuses everything, and that is no fault of the lines."""
    if not has_active(client, mlflow_id):
        raise RegistryError(
            f"MLflow run {mlflow_id} is not on the server any more.\n"
            f"To ship it anew, type: grep -l {mlflow_id} .ratchet/journal/*/shipped-*.json | xargs rm && ratchet sync"
        )


def has_active(client: Client, mlflow_id: str) -> bool:
    """Whether the server has the run; RegistryError if it is deleted there, and takes nothing."""
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(mlflow_id).info
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    if info.lifecycle_stage != "deleted":
        return True
    experiment = client.get_experiment(info.experiment_id)
    typed = f"MLFLOW_TRACKING_URI={redact(client.tracking_uri)} mlflow runs restore --run-id {mlflow_id}"
    if experiment.lifecycle_stage == "deleted":
        typed = restoring(redact(client.tracking_uri), info.experiment_id)
    raise RegistryError(
        f"MLflow run {mlflow_id} is deleted, and takes nothing.\nTo restore it, type: {typed}   (then: ratchet sync)"
    )


def restoring(uri: str, experiment: str) -> str:
    """What to type; MLflow's own command asks another store if it is not told which."""
    return f"MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id {experiment}"


@lru_cache(maxsize=4096)
def accepted(name: str) -> str:
    """The name itself if MLflow takes it; else one near to it, with a digest that keeps it apart from all others."""
    near = posixpath.normpath(NO_NAME.sub("_", name)).lstrip("./")
    if near == name and len(name) <= LONGEST_NAME:
        return name
    return f"{near[: LONGEST_NAME - 13]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def log_batch(client: Client, mlflow_id: str, lines: Sequence[Line]) -> None:
    """Lines of a single kind, each with a single value."""
    from mlflow.entities import Metric, Param, RunTag

    entities: list[Metric | Param | RunTag] = []
    for line in lines:
        if line["kind"] == "metrics":
            entities += [Metric(accepted(name), at, line["time"], line["step"]) for name, at in line["values"].items()]
        elif line["kind"] == "params" or line["kind"] == "tags":
            entity = Param if line["kind"] == "params" else RunTag
            most = LONGEST[line["kind"]]
            entities += [entity(accepted(name), value[:most]) for name, value in line["values"].items()]
    client.log_batch(mlflow_id, **{lines[0]["kind"]: entities})


def log_single(client: Client, mlflow_id: str, line: Line, artifacts: Path) -> None:
    if line["kind"] == "artifact":
        log_artifact(client, mlflow_id, line, artifacts)
    elif line["kind"] == "input":
        log_input(client, mlflow_id, line)
    elif line["kind"] == "status":
        log_status(client, mlflow_id, line)
    else:
        raise RegistryError("no line of a journal, or damaged on disk")


def log_artifact(client: Client, mlflow_id: str, line: ArtifactLine, artifacts: Path) -> None:
    inside = Path(line["name"]).parent
    client.log_artifact(mlflow_id, artifacts / line["name"], None if inside == Path() else inside.as_posix())


def log_input(client: Client, mlflow_id: str, line: InputLine) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": line["source"]})
    dataset = Dataset(line["name"], line["digest"][:36], "local", source, profile=json.dumps(line["profile"]))
    tag = InputTag("mlflow.data.context", line["context"])
    client.log_inputs(mlflow_id, datasets=[DatasetInput(dataset, [tag])])


def log_status(client: Client, mlflow_id: str, line: StatusLine) -> None:
    if line["reason"]:
        client.set_tag(mlflow_id, "ratchet.reason", line["reason"][: LONGEST["tags"]])
    if line["value"] == "RUNNING":
        client.update_run(mlflow_id, status="RUNNING")
    else:
        client.set_terminated(mlflow_id, line["value"], line["time"])


@contextmanager
def uncollected() -> Iterator[None]:
    """SQLAlchemy makes objects by the million, and the garbage collector would walk through all of them."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
