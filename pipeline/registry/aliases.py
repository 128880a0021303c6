"""The two names that move: challenger and champion."""

from typing import Any

CHALLENGER, CHAMPION = "challenger", "champion"


def by_alias(client: Any, name: str, alias: str) -> Any | None:
    """The version that an alias names, with its tags; None if there is no such model or alias."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
