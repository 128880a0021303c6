"""Injects faults and counts what is survived: `make faults`, or python -m benchmarks.faults [--rows N …] [--tries N].

Keeps each row's newest result in benchmarks/results/faults.json and prints the table of docs/reliability.md.
"""

import argparse
import importlib
import json
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.faults.row import Attempt, Row

MODULES = (
    "rows",
    "kills",
    "ends",
    "outages",
    "sweeps",
    "registry",
    "promotions",
    "advice",
    "elsewhere",
    "surroundings",
    "service",
    "serving",
)
RESULTS = Path(__file__).parent.parent / "results" / "faults.json"


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", help="numbers of the rows to run; all otherwise")
    parser.add_argument("--tries", type=int, help="how often at most; each row knows its own number otherwise")
    parser.add_argument("--no-control", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background it, and all below, were deaf
    rows = [row for name in MODULES for row in importlib.import_module(f"benchmarks.faults.{name}").ROWS]
    found = []
    for row in rows:
        if not options.rows or row.number in options.rows:
            found.append(tried(row, options))
    print(table(found))
    return int(any(one["survived"] < one["tries"] for one in found))


def keep(one: dict[str, Any]) -> None:
    """The newest result of each row, whichever rows were asked for."""
    RESULTS.parent.mkdir(exist_ok=True)
    with FileLock(RESULTS.with_suffix(".lock")):
        before = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        RESULTS.write_text(json.dumps(before | {str(one["number"]): one}, indent=2) + "\n")


def tried(row: Row, options: argparse.Namespace) -> dict[str, Any]:
    """The row's counts, kept after every try."""
    began = time.monotonic()
    found = {"number": row.number, "fault": row.fault, "expected": row.expected, "tries": 0, "survived": 0}
    found["control"] = None
    for seed in range(min(row.tries, options.tries or row.tries)):
        found["survived"] += held(row, row.attempt, seed)
        found["tries"] += 1
        keep(found | {"seconds": round(time.monotonic() - began)})
    if row.control is not None and not options.no_control:
        survived = sum(held(row, row.control, seed, quiet=True) for seed in range(row.control_tries))
        found["control"] = [survived, row.control_tries]
        keep(found | {"seconds": round(time.monotonic() - began)})
    print(f"row {row.number} {row.fault}: {found['survived']} of {found['tries']}, {found['control']}", flush=True)
    return found


def held(row: Row, attempt: Attempt, seed: int, quiet: bool = False) -> bool:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            attempt(Path(folder), seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it was not survived
            if not quiet:
                traceback.print_exc()
            print(f"  row {row.number}, seed {seed}: {type(error).__name__}: {str(error)[:500]}", flush=True)
            return False
    return True


def table(found: list[dict[str, Any]]) -> str:
    lines = ["| # | fault | expected | Ratchet | plain Lightning + MLFlowLogger |", "|-|-|-|-|-|"]
    for one in found:
        control = "not run" if one["control"] is None else "{} of {}".format(*one["control"])
        given = f"{one['survived']} of {one['tries']}"
        lines.append(f"| {one['number']} | {one['fault']} | {one['expected']} | {given} | {control} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
