"""What must never reach a file, a log or a server."""

import os
import re
from collections.abc import Mapping

SECRET_NAME = re.compile(r"(?i)token|secret|passw|credential|api_?key|access_?key|private_?key")
SHORTEST = 6  # a shorter value would be found in innocent text
MASK = "***"
# A URL's password, a user name as long as a token, and what a parameter such as ?token= says. What consists of
# references, `${oc.env:NAME}`, holds names and no secret.
IN_URL = re.compile(
    r"""
    (\w+://(?:\$\{oc\.env:\w+\}|(?!\$\{)[^/\s:@])*: | \w+://(?=[^/\s:@]{20,}@)
        | [?&\#](?:[\w.-]*(?:token|secret|passw|credential|api_?key|access_?key|signature|jwt)[\w.-]*|sig|key|auth)=)
    (?!(?:\$\{oc\.env:\w+\})+(?:[@&\#\s"'<>]|$))
    (?:[^/\s]+(?=@) | (?<==)[^&\#\s"'<>]+)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def secret_values(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables whose name says secret: name → value."""
    return {
        name: value
        for name, value in environment.items()
        if SECRET_NAME.search(name) and len(value) >= SHORTEST and not os.path.exists(value)
    }


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` with secret values of the environment, and passwords and tokens in URLs, masked."""
    for value in secret_values(environment).values():
        text = text.replace(value, MASK)
    return IN_URL.sub(rf"\1{MASK}", text)
