"""The version that a URI names: models:/NAME/3 or models:/NAME@ALIAS."""

import re
import sys
from typing import Any

from pipeline.config import lock
from pipeline.project.errors import RegistryError
from pipeline.registry.aliases import CHAMPION, by_alias, by_number
from pipeline.registry.champion import current
from pipeline.tracking.mlflow_store import shown_uri

URI = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([\w.-]+))")


def named(client: Any, uri: str | None) -> Any:
    """The version with its tags; None: this project's champion, by the ledger if its alias is gone."""
    uri = uri or f"models:/{lock.load().registry.model}@{CHAMPION}"
    if (match := URI.fullmatch(uri)) is None:
        raise RegistryError(f"{uri!r} names no version.\nType it as models:/NAME/3 or models:/NAME@{CHAMPION}")
    name, number, alias = match.groups()
    if alias == CHAMPION:
        found, state = current(client, name)
        if found is not None and state is not None and state.drift:
            print(f"warning: {state.drift}", file=sys.stderr)
    else:
        found = by_alias(client, name, alias) if alias else by_number(client, name, number)
    if found is not None:
        return found
    versions = sorted(int(one.version) for one in client.search_model_versions(f"name='{name}'"))
    aliases = sorted(client.get_registered_model(name).aliases.items()) if versions else ()
    known = ", ".join([*map(str, versions), *(f"{alias} (is {version})" for alias, version in aliases)])
    way = f"Type one of them, such as models:/{name}/{versions[-1]}" if versions and not alias else ""
    raise RegistryError(
        f"there is no {uri} at {shown_uri()}; of {name} there are: {known or 'no versions'}.\n"
        f"{way or 'Type: dvc repro && ratchet promote'}"
    )
