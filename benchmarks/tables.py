"""Runs the tables that LIST.json names, each in a project of its own, and prints a line of JSON for each.

python -m benchmarks.tables LIST.json [--limit SECONDS]

LIST.json holds [{"file": "cars.csv", "target": "price"}, …]; files are looked for beside it, and further keys are
options of `ratchet init`, as "task": "regression" or "no-header": true. Each goes through init, compose, download,
preprocess, train and evaluate. What is done is kept in benchmarks/results/tables.jsonl, by the file's content, and not
run again.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.__main__ import REPOSITORY, environment
from pipeline.project.files import sha256

RESULTS = REPOSITORY / "benchmarks" / "results" / "tables.jsonl"
STAGES = ("compose", "download", "preprocess", "train", "evaluate")
METRICS = {"classification": "accuracy", "regression": "r2", "ranking": "hr_10"}


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.tables", description=__doc__)
    parser.add_argument("list", type=Path)
    parser.add_argument("--limit", type=float, default=1800, help="seconds for a table")
    options = parser.parse_args()
    known = kept()
    for table in json.loads(options.list.read_text(encoding="utf-8")):
        asked = key(table, options.list.parent)
        if asked not in known:
            known[asked] = measured(table, options.list.parent, options.limit)
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": asked, "line": known[asked]}, ensure_ascii=False) + "\n")
        print(json.dumps(known[asked], ensure_ascii=False), flush=True)


def key(table: dict[str, Any], folder: Path) -> str:
    """What makes a run another one: the entry of the list, and the file's content."""
    path = folder / table["file"]
    return json.dumps([table, sha256(path) if path.is_file() else None], sort_keys=True)


def kept() -> dict[str, dict[str, Any]]:
    found = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []:
        try:
            one = json.loads(line)
            found[one["key"]] = one["line"]
        except ValueError:  # cut off when this program was killed
            continue
    return found


def measured(table: dict[str, Any], folder: Path, limit: float) -> dict[str, Any]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        clone = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
        end, reason, shown = "ok", None, ""
        for verb in (["init", *arguments(table, folder)], *([stage] for stage in STAGES)):
            left = limit - (time.monotonic() - began)
            end, reason, said = tried(clone, verb, left)
            shown = shown or said
            if end != "ok":
                break
        seconds = round(time.monotonic() - began, 1)
        about = {"file": table["file"], "target": table["target"], "rows": rows(clone, shown), "end": end}
        return about | {"reason": reason} | (scores(clone) if end == "ok" else scores(None)) | {"seconds": seconds}


def arguments(table: dict[str, Any], folder: Path) -> list[str]:
    """Of init; a name that begins with a dash is given as --target=-x."""
    options = {"data": str((folder / table["file"]).resolve())} | {k: v for k, v in table.items() if k != "file"}
    return [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in options.items()
        if value is not False and value is not None
    ]


def tried(clone: Path, verb: list[str], limit: float) -> tuple[str, str | None, str]:
    """(how it ended, why, what it printed): refused by a message, or crashed by a traceback, a signal or the limit."""
    command = [sys.executable, "-m", "pipeline", *verb]
    env = {name: value for name, value in environment(clone).items() if not name.startswith("MLFLOW_")}
    try:
        done = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=max(1, limit))
    except subprocess.TimeoutExpired:
        return "crashed", f"{verb[0]}: no end in time", ""
    if done.returncode == 0:
        return "ok", None, done.stdout
    message = done.stderr.strip()
    if done.returncode < 0 or "Traceback (most recent call last)" in message or "error: " not in message:
        last = message.splitlines()[-1] if message else "no message"
        return "crashed", f"{verb[0]}: exit {done.returncode}: {last}", done.stdout
    return "refused", f"{verb[0]}: {message.partition('error: ')[2]}", done.stdout


def rows(clone: Path, shown: str) -> int | None:
    """As preprocess read them; where it did not come to that, as init says."""
    spec = clone / "data/processed/spec.json"
    if spec.is_file():
        found = json.loads(spec.read_text(encoding="utf-8"))
        return found["statistics"].get("rows", found["counts"]["in"])
    said = re.search(r": ([\d,]+) rows", shown)
    return int(said[1].replace(",", "")) if said else None


def scores(clone: Path | None) -> dict[str, Any]:
    """The metric's name, the net's score on the test rows, and that of gradient boosting."""
    if clone is None:
        return dict.fromkeys(("metric", "model", "boosting"))
    spec = json.loads((clone / "data/processed/spec.json").read_text(encoding="utf-8"))
    values = json.loads((clone / "reports/metrics.json").read_text(encoding="utf-8"))
    metric = METRICS[spec["task"]]
    return {
        "metric": metric,
        "model": values[f"test/{metric}"],
        "boosting": values.get(f"baseline/boosting/{metric}"),
    }


if __name__ == "__main__":
    sys.exit(main())
