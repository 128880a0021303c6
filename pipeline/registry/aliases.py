"""The two names that move, challenger and champion, and the versions that they and URIs name."""

import re
from typing import Any

from pipeline.config import lock
from pipeline.project.errors import RegistryError
from pipeline.tracking.mlflow_store import shown_uri

CHALLENGER, CHAMPION = "challenger", "champion"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's answers where there is no such name
URI = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([\w.-]+))")


def by_alias(client: Any, name: str, alias: str) -> Any | None:
    """The version that an alias names, with its tags; None if there is no such model or alias."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ABSENT or (error.error_code == "PERMISSION_DENIED" and not exists(client, name)):
            return None
        raise


def point(client: Any, name: str, alias: str, version: int | str) -> None:
    """Sets an alias; once more if two made it at the same moment, which MLflow tells one of them as a broken rule."""
    from mlflow.exceptions import MlflowException

    try:
        client.set_registered_model_alias(name, alias, str(version))
    except MlflowException as error:
        if not re.search("unique ?(constraint|violation)", str(error), re.IGNORECASE):
            raise
        client.set_registered_model_alias(name, alias, str(version))


def exists(client: Any, name: str) -> bool:
    """Of a model that is not there MLflow's basic-auth app denies every alias, and only here says why."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        return error.error_code not in ABSENT
    return True


def named(client: Any, uri: str | None) -> Any:
    """The version that models:/NAME/3 or models:/NAME@ALIAS names, with its tags; None: this project's champion."""
    from mlflow.exceptions import MlflowException

    uri = uri or f"models:/{lock.load().registry.model}@{CHAMPION}"
    if (match := URI.fullmatch(uri)) is None:
        raise RegistryError(f"{uri!r} names no version.\nType it as models:/NAME/3 or models:/NAME@{CHAMPION}")
    name, number, alias = match.groups()
    try:
        return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
    versions = sorted(int(one.version) for one in client.search_model_versions(f"name='{name}'"))
    aliases = sorted(client.get_registered_model(name).aliases.items()) if versions else ()
    known = ", ".join([*map(str, versions), *(f"{alias} (is {version})" for alias, version in aliases)])
    raise RegistryError(
        f"there is no {uri} at {shown_uri()}; of {name} there are: {known or 'no versions'}.\n"
        "Type: dvc repro && ratchet promote"
    )
