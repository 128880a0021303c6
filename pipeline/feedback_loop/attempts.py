"""What was retrained when, on which labels and with what outcome: .ratchet/feedback/retrains.json, one entry each.

An entry without an end was interrupted: the next retraining takes it up, with the same labels.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.config.schema import Labels
from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.project.files import write_json

Attempt = dict[str, Any]


class Busy(RatchetError):
    """Another process retrains."""


def file() -> Path:
    return paths.state("feedback", "retrains.json")


@contextmanager
def alone() -> Iterator[None]:
    """One retraining of a project at a time."""
    file().parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file().with_suffix(".lock"), timeout=0):
            yield
    except Timeout:
        raise Busy("another `ratchet feedback --retrain` or `--watch` retrains in this project just now") from None


def read() -> list[Attempt]:
    """The oldest first."""
    return json.loads(file().read_text(encoding="utf-8")) if file().is_file() else []


def handled(store: str) -> int:
    """The number of the last label of this store that a retraining had; 0 if there was none."""
    return max((one["labels"]["until"] for one in read() if one["store"] == store), default=0)


def unfinished() -> Attempt | None:
    return next((one for one in read() if one["ended"] is None), None)


def begun(store: str, labels: Labels, before: Labels | None, reasons: list[str]) -> Attempt:
    """`before`: the labels that params.yaml named until now."""
    attempt = {
        "store": store,
        "labels": labels.model_dump(),
        "before": before and before.model_dump(),
        "reasons": reasons,
        "began": now(),
        "ended": None,
        "outcome": None,
        "version": None,
    }
    write_json(file(), [*read(), attempt])
    return attempt


def ended(attempt: Attempt, outcome: str, version: int) -> None:
    """`outcome`: promoted or refused."""
    done = attempt | {"ended": now(), "outcome": outcome, "version": version}
    write_json(file(), [done if one == attempt else one for one in read()])


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
