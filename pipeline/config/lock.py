"""params.lock.yaml: what exactly will run. The stages read it without importing what composes it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.checking import checked
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.code import stage_digests
from pipeline.project.errors import ConfigError
from pipeline.project.files import write_text

CODE = "code"  # digests by stage: dvc.yaml names them under params, so that a stage runs again when its code changes
HEADER = "# Written by `ratchet compose` from conf/ and params.yaml: edit those, not this.\n"


def load() -> Config:
    """The config that the last `ratchet compose` wrote; what the DVC stages run with."""
    settings = read_yaml(paths.LOCK, "Type: ratchet compose", yaml.safe_load)
    settings.pop(CODE, None)
    return checked(settings, settings)


def write(config: Config) -> None:
    settings = config.model_dump(mode="json") | {CODE: stage_digests(config.components)}
    text = yaml.safe_dump(settings, sort_keys=True, allow_unicode=True)
    write_text(paths.LOCK, f"{HEADER}# config hash {config.hash}\n{text}")


def read_yaml(path: Path, hint: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}.\n{hint}") from None
    if marker := re.search(r"^(<{7}|={7}|>{7})( |$)", text, re.MULTILINE):
        line = text.count("\n", 0, marker.start()) + 1
        raise ConfigError(
            f"{path}:{line} holds a conflict marker ({marker.group(1)}) of an unfinished git merge.\n"
            f"Keep one side, delete the markers, then type: git add {path}"
            + (" (or `ratchet compose`, which writes it anew)" if path == paths.LOCK else "")
        )
    try:
        value = parse(text) if text.strip() else {}
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is no valid YAML: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a {type(value).__name__}; it must hold settings, `key: value`")
    return value
