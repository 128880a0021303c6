"""A row of docs/reliability.md: a fault that is injected for real, so many times, and what must hold after it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Attempt = Callable[[Path, int], None]  # (an empty folder, a seed) → raises AssertionError where it was not survived


@dataclass(frozen=True)
class Row:
    number: int  # of the table of faults
    fault: str
    expected: str
    tries: int
    attempt: Attempt
    control: Attempt | None = None  # the same fault on plain Lightning with MLFlowLogger
    control_tries: int = 1
