"""Versions in MLflow's registry: one for each bundle, with what made it and what it scores."""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.project import paths
from pipeline.project.errors import DataError, RegistryError
from pipeline.project.secrets import redact
from pipeline.registry.provenance import DIGEST
from pipeline.tracking.delivery import is_refusal
from pipeline.tracking.mlflow_store import once_each, shown_uri, unreachable

PAUSES = (0.5, 2.0)  # seconds before another try to make a version


def only(client: Any, name: str, digest: str) -> Any | None:
    """The version of `name` made of this very bundle.

    Two hosts at once, or a request whose reply was lost, can make several: the first stays; of the rest, those that no
    alias names are deleted.
    """
    found = client.search_model_versions(f"name='{name}' and tags.`{DIGEST}` = '{digest}'")
    first, *copies = sorted(found, key=lambda each: int(each.version)) or [None]
    named = client.get_registered_model(name).aliases.values() if copies else ()
    for copy in copies:
        if str(copy.version) not in map(str, named):
            with unless("RESOURCE_DOES_NOT_EXIST"):
                client.delete_model_version(name, copy.version)
    return first


@contextmanager
def unless(code: str) -> Iterator[None]:
    """Lets the server answer with the error `code`: another process was faster."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def once(client: Any, name: str, digest: str, make: Callable[[], Any]) -> tuple[Any, bool]:
    """The bundle's version, and whether `make` made it just now; looked for before every try to make it."""
    pauses = iter(PAUSES)
    while (found := only(client, name, digest)) is None:
        try:
            made = make()
            found = only(client, name, digest) or made
            return found, found.version == made.version
        except unreachable() as error:
            if (pause := next(pauses, None)) is None or is_refusal(error):
                raise
        time.sleep(pause)
    return found, False


def create(client: Any, name: str, logged: Any, tags: dict[str, str], description: str) -> Any:
    """Makes a logged model a version."""
    with unless("RESOURCE_ALREADY_EXISTS"):
        client.create_registered_model(name)
    with once_each():
        return client.create_model_version(
            name, logged.model_uri, logged.source_run_id, tags, description=description, model_id=logged.model_id
        )


def drop_copy(client: Any, logged: Any, kept: Any) -> None:
    """Deletes a logged model of which no version was made, or none is left, since another process was faster."""
    found = client.search_model_versions(f"name='{kept.name}' and tags.`{DIGEST}` = '{kept.tags[DIGEST]}'")
    if logged.model_id not in map(logged_model, found):
        with unless("RESOURCE_DOES_NOT_EXIST"):
            client.delete_logged_model(logged.model_id)


def logged_model(version: Any) -> str:
    """The id of the model whose files are the version's: of what `create` registers, its source names it."""
    return version.source.removeprefix("models:/")


def unfetched() -> tuple[type[Exception], ...]:
    """What is raised when files do not come from the store, or find no place here."""
    return *unreachable(), OSError


def fetched(client: Any, version: Any) -> Path:
    """The bundle's folder of a ModelVersion: a copy that lasts as long as this process, verified.

    Its digest must be the one that was registered: RegistryError if its files are missing, altered or exchanged.
    """
    import mlflow

    from pipeline.models.bundle import Bundle

    title, wanted = f"{version.name} version {version.version}", version.tags.get(DIGEST)
    place = f"models:/{version.name}/{version.version}/artifacts/bundle"
    folder = tempfile.mkdtemp(dir=paths.scratch())
    atexit.register(shutil.rmtree, paths.scratch(), ignore_errors=True)
    try:
        bundle = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=folder))
    except unfetched() as error:
        raise RegistryError(
            f"the bundle of {title} can't be fetched from {shown_uri()}: {redact(str(error))[:300]}{gone(error)}"
        ) from error
    try:
        found = Bundle.load(bundle).digest
        problem = f"its bundle has the digest {found}; {wanted} was registered"
    except DataError as error:
        found, problem = None, str(error).splitlines()[0].removeprefix(f"{folder}/")
    if found != wanted:
        source = redact(client.get_model_version_download_uri(version.name, version.version))
        raise RegistryError(
            f"{title} is not what was registered: {problem}\n"
            f"Its files were altered at {source}, so they are not used. Put the bundle {wanted} back there,\n"
            "or go back to an earlier champion: ratchet rollback"
        )
    return bundle


def gone(error: Exception) -> str:
    """What to do about files that the server says it has not; nothing of an outage."""
    if not (isinstance(error, FileNotFoundError) or "No such artifact" in str(error) or is_refusal(error)):
        return ""
    return (
        "\nIts files are not there any more. To go back to an earlier champion, type: ratchet rollback\n"
        "(or delete the version on its page in MLflow, ratchet ui: whoever asks for the champion next writes it off)"
    )
