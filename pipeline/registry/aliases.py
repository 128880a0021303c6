"""The two names that move, challenger and champion, and the versions that they and numbers name."""

import re
from typing import Any

CHALLENGER, CHAMPION = "challenger", "champion"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's answers where there is no such name


def by_alias(client: Any, name: str, alias: str) -> Any | None:
    """The version that an alias names, with its tags; None if there is no such model or alias."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ABSENT or (error.error_code == "PERMISSION_DENIED" and not exists(client, name)):
            return None
        raise


def by_number(client: Any, name: str, version: int | str) -> Any | None:
    """A version with its tags; None if it, or the whole model, is not there (any more)."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        absent = error.error_code == "RESOURCE_DOES_NOT_EXIST"
        if absent or (error.error_code == "PERMISSION_DENIED" and not exists(client, name)):
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
