"""What the registry's commands take: python -m benchmarks.registry [--rounds N].

Writes benchmarks/results/registry.json. On the 10,000 test rows of MNIST, in a fresh clone with a SQLite store:
register, promote and lineage as commands, first with a few versions, then beside 1,000 versions and as many entries of
the ledger; and the gate's statistics alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.__main__ import REPOSITORY, run

RESULTS = REPOSITORY / "benchmarks" / "results" / "registry.json"
MANY = 1000
LIMITS = {"register": 6.0, "promote": 8.0, "lineage": 2.0}  # seconds
SLOWER = 1.20
STATISTICS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.registry", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
        asked = two_versions(clone)
        few = timed(clone, asked, options.rounds)
        fill(asked)
        many = timed(clone, asked, options.rounds)
    rows = [
        row for name, limit in LIMITS.items() for row in (
            line(f"{name}", few[name], limit),
            line(f"{name}, {MANY:,} versions / few", many[name] / few[name], SLOWER, "×"),
        )
    ]  # fmt: skip
    rows += [
        line(f"statistics of {metric}, 10,000 rows", found, STATISTICS) for metric, found in gate_seconds().items()
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    print("| what | measured | aim | |\n|---|---|---|---|")
    for row in rows:
        verdict = "met" if row["value"] <= row["limit"] else "MISSED"
        print(f"| {row['what']} | {row['value']:.2f} {row['unit']} | ≤ {row['limit']:g} {row['unit']} | {verdict} |")


def line(what: str, value: float, limit: float, unit: str = "s") -> dict[str, Any]:
    return {"what": what, "value": value, "limit": limit, "unit": unit}


def two_versions(clone: Path) -> Any:
    """Of MNIST's MLP, the second the champion; returns a client of their registry."""
    import mlflow

    for epochs in (1, 3):
        settings = {
            "scenario": "mnist_mlp",
            "training": {"max_epochs": epochs},
            "gate": {"minimum": {"test/accuracy": 0.9}},
        }
        (clone / "params.yaml").write_text(yaml.safe_dump(settings))
        run(clone, "dvc", "repro")
        run(clone, "ratchet", "promote")
    uri = f"sqlite:///{clone}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def timed(clone: Path, asked: Any, rounds: int) -> dict[str, float]:
    """Medians in seconds. The weaker is judged and refused, so that each round decides and records the same."""

    def register() -> None:
        run(clone, "ratchet", "register", "registry.model=measured")

    def forget() -> None:
        made = asked.get_model_version_by_alias("measured", "challenger")
        asked.delete_model_version("measured", made.version)

    def promote() -> None:
        command = [sys.executable, "-m", "pipeline", "promote", "--version", "1"]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr

    commands: dict[str, Callable[[], None]] = {
        "register": register,
        "promote": promote,
        "lineage": lambda: run(clone, "ratchet", "lineage", "models:/mnist/2"),
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            began = time.perf_counter()
            command()
            found[name].append(time.perf_counter() - began)
            if name == "register":
                forget()
    return {name: statistics.median(times) for name, times in found.items()}


def fill(asked: Any) -> None:
    """More versions of both models, without files, and refusals in the ledger."""
    from pipeline.registry import ledger

    version = asked.get_model_version("mnist", "1")
    version.tags.pop(ledger.PROMOTION)  # few versions are ever champion
    for name in ("mnist", "measured"):
        for number in range(MANY):
            tags = {**version.tags, "bundle.digest": f"{number:064x}"}
            asked.create_model_version(name, version.source, version.run_id, tags, description=version.description)
    previous = ledger.read(asked, "mnist").head.sha256
    for number in range(MANY):
        fields = {"id": f"{number:032x}", "action": "refuse", "version": 1, "champion": 2, "alias_found": 2}
        fields |= {"actor": "filler", "reason": "measured", "evidence": {"summary": "x" * 1000}, "previous": previous}
        text = ledger.written(fields)
        ledger.append(asked, "mnist", text, "filler")
        previous = ledger.digest(text)


def gate_seconds() -> dict[str, float]:
    import polars as pl

    from pipeline.config import lock
    from pipeline.registry import gate
    from pipeline.registry.comparison import Comparison, Measured
    from pipeline.store.held_out import HeldOut

    chance, found = np.random.default_rng(0), {}
    test = HeldOut(None, [str(row % 10) for row in range(10_000)], pl.DataFrame(), "")
    for metric, values in {"accuracy": chance.random((10_000, 2)) < 0.98, "mae": chance.random((10_000, 2))}.items():
        settings = lock.load().gate.model_copy(update={"metric": metric})
        task = "classification" if metric == "accuracy" else "regression"
        pair = Comparison(test, *(Measured(None, task, column.astype(float), 1.0, 1, 1.0) for column in values.T))
        began = time.perf_counter()
        list(gate.against(settings, pair, gate.gain_of(settings, pair)))
        found[metric] = time.perf_counter() - began
    return found


if __name__ == "__main__":
    main()
