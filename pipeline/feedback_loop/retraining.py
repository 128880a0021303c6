"""From new labels to a champion, or a refusal: export, `dvc repro`, the gate. Once for the same labels.

Whatever interrupts it, the next call goes on: the stages that are done are not done again, the training goes on where
it was, and registry and ledger take the same bundle and decision once.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from pipeline.config.schema import Config, Labels
from pipeline.feedback_loop import attempts, exporting
from pipeline.feedback_loop.reasons import news
from pipeline.feedback_loop.store import Store
from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.project.files import read_json
from pipeline.project.secrets import redact

PROMOTED, REFUSED, UNFINISHED = 0, 1, 2


class Unfinished(RatchetError):
    """The next retraining goes on with the same labels."""


def retrain(config: Config, store: Store, quiet: bool = False) -> int | None:
    """PROMOTED, REFUSED, or None if there was no reason, which `quiet` does not tell; Unfinished if a stage failed."""
    with attempts.alone():
        attempt = attempts.unfinished() or begun(config, store, quiet)
        if attempt is None:
            return None
        return carried_out(attempt)


def begun(config: Config, store: Store, quiet: bool) -> attempts.Attempt | None:
    name = redact(config.serving.store or "the project's own")
    found = news(config, store, attempts.handled(name))
    if found.reasons or not quiet:
        print(told(config, found.labels, found.reasons), flush=True)
    if not found.reasons:
        return None
    labels = cast("Labels", exporting.export(config, store))  # reasons come of labels
    return attempts.begun(name, labels, config.labels, found.reasons)


def told(config: Config, labels: int, reasons: list[str]) -> str:
    if reasons:
        return f"retraining: {'; '.join(reasons)}"
    needed = config.feedback.least
    few = f"; {needed:,} are needed (feedback.least)" if labels < needed else ", and no reason to retrain"
    return f"{labels:,} labels since the last retraining{few}"


def carried_out(attempt: attempts.Attempt) -> int:
    labels = Labels(**attempt["labels"])
    exporting.name(labels)
    exporting.lay(labels)
    if run("dvc", "repro"):
        raise Unfinished("`dvc repro` failed; see above.\nWhen that is mended, type: ratchet feedback --retrain")
    version = read_json(paths.REGISTERED, "register")
    code = run("pipeline", "promote", "--version", str(version["version"]))
    if code not in (PROMOTED, REFUSED):
        raise Unfinished("the gate could not decide; see above.\nThen type: ratchet feedback --retrain")
    if code == REFUSED:
        before = attempt["before"]
        exporting.name(before and Labels(**before))
        print(refusal(labels, version), flush=True)
    attempts.ended(attempt, "promoted" if code == PROMOTED else "refused", version["version"])
    return code


def refusal(labels: Labels, version: dict[str, Any]) -> str:
    return (
        f"version {version['version']} was refused, and params.yaml is as before; why: reports/promotion.html.\n"
        "If labels are wrong, leave them out by their numbers, such as feedback.skip=[[120,180]] in params.yaml "
        f"(the last that it had is {labels.until})"
    )


def run(module: str, *arguments: str) -> int:
    """In a process of its own, which ends with this one."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # the stages call `ratchet`
    with subprocess.Popen([sys.executable, "-m", module, *arguments], env=os.environ | {"PATH": path}) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise
