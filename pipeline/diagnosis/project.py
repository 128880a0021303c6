"""The project: the settings, params.lock.yaml and dvc.lock."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import composition, lock
from pipeline.config.lock import read_yaml
from pipeline.diagnosis.finding import Finding, Look, note, ok, problem, refused
from pipeline.project import paths
from pipeline.project.errors import ConfigError
from pipeline.tracking import revision

DVC, DVC_LOCK = Path("dvc.yaml"), Path("dvc.lock")


def settle(look: Look) -> None:
    """Composes the settings for the checks that ask for them; nothing is written."""
    try:
        look.config = composition.compose()
    except ConfigError as error:
        look.mistake = error


def settings(look: Look) -> Iterator[Finding]:
    if look.mistake is not None:
        yield refused("settings", look.mistake, "ratchet compose   (when it is corrected)")
    elif look.config is not None:
        yield ok("settings", f"scenario {look.config.scenario}, config hash {look.config.hash[:12]}")


def locked(look: Look) -> Iterator[Finding]:
    if not paths.LOCK.is_file():
        yield note(str(paths.LOCK), "is not written yet", "dvc repro")
        return
    try:
        config = lock.load()
    except ConfigError as error:
        yield refused(str(paths.LOCK), error, "ratchet compose")
        return
    if look.config is not None and config != look.config:
        yield note(str(paths.LOCK), "is not what conf/ and params.yaml say now", "dvc repro")
    else:
        yield ok(str(paths.LOCK), "is what conf/ and params.yaml say")


def dvc_lock(look: Look) -> Iterator[Finding]:
    stages = list(yaml.safe_load(DVC.read_text(encoding="utf-8"))["stages"])
    if not DVC_LOCK.is_file():
        yield note(str(DVC_LOCK), "is not written yet: no stage has run", "dvc repro")
        return
    try:
        known = read_lock()["stages"]
    except ConfigError as error:
        yield problem(str(DVC_LOCK), str(error).partition("\n")[0], mended())
        return
    if rest := [name for name in stages if name not in known]:
        yield note(str(DVC_LOCK), f"knows nothing of {', '.join(rest)}", "dvc repro")
    else:
        yield ok(str(DVC_LOCK), f"all {len(stages)} stages have run")


def read_lock(path: Path = DVC_LOCK) -> dict[str, Any]:
    """dvc.lock; ConfigError if it holds a merge's markers, is cut off, or is no YAML."""
    value = read_yaml(path, "", yaml.safe_load)
    stages = value.get("stages")
    whole = isinstance(stages, dict) and all(
        isinstance(stage, dict) and "cmd" in stage and all("md5" in out for out in stage.get("outs") or [])
        for stage in stages.values()
    )
    if not whole:
        raise ConfigError(f"{path} is cut off or damaged: its stages, their commands or sums are missing")
    return value


def mended() -> str:
    """What brings dvc.lock back: the last commit's, or none. DVC's run-cache keeps what was run."""
    committed = revision.git("show", f"HEAD:./{DVC_LOCK}")
    try:
        found = yaml.safe_load(committed or "")
    except yaml.YAMLError:
        found = None
    usable = isinstance(found, dict) and "stages" in found
    away = f"git checkout HEAD -- {DVC_LOCK}" if usable else f"rm {DVC_LOCK}"
    return f"{away} && dvc repro   (stages that ran before are taken from DVC's run-cache)"
