"""What tracking costs: python -m benchmarks.tracking. Writes benchmarks/results/tracking.json and prints its table.

a. the longest and the mean time that a step waits for the journal while the MLflow server hangs;
b. the share of an epoch of mnist_mlp that journalling takes, at a point for every 10 steps;
c. a million points (100 metrics of 10,000 steps): journalled, then shipped to SQLite.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "tracking.json"
EPOCHS = 3
RUN = "a" * 32


def main() -> None:
    parts = {"step": step, "million": million}
    if len(sys.argv) == 2:
        print(json.dumps(parts[sys.argv[1]]()))
        return
    found = {name: measured(name) for name in parts}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found))


def measured(name: str) -> dict[str, float]:
    """In a process and a folder of its own; a server that hangs stands by."""
    from tests.support.proxy import proxy

    with tempfile.TemporaryDirectory() as folder, proxy(0, lambda *request: "hang") as hanging:
        uri = f"sqlite:///{folder}/mlflow.db" if name == "million" else hanging.uri
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "benchmarks.tracking", name]
        output = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        assert hanging.asked or name == "million", "the shipper never asked the server that hangs"
    return json.loads(output.stdout.splitlines()[-1])


def step() -> dict[str, float]:
    """mnist_mlp as `ratchet train` has it, with every call of the Recorder timed; the shipper runs beside it."""
    from pipeline import train
    from pipeline.training.recorder import Recorder

    calls: list[float] = []
    for name in ("on_train_batch_end", "on_train_epoch_end"):
        setattr(Recorder, name, timed(getattr(Recorder, name), calls))
    os.chdir(project(Path.cwd()))
    train.main([f"training.max_epochs={EPOCHS}", "data.prepare.validation=5000"])
    (file,) = Path(".ratchet/journal").glob("*/journal.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    points = [line["values"] for line in lines if line["kind"] == "metrics"]
    epochs = [values["time/epoch_seconds"] for values in points if "time/epoch_seconds" in values]
    return {
        "points": sum("train/loss" in values for values in points),
        "calls": len(calls),
        "longest_ms": 1e3 * max(calls),
        "mean_ms": 1e3 * statistics.mean(calls),
        "epoch_seconds": statistics.mean(epochs),
        "share_percent": 100 * sum(calls) / sum(epochs),
    }


def timed(hook: Callable[..., None], calls: list[float]) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        began = time.perf_counter()
        hook(*arguments)
        calls.append(time.perf_counter() - began)

    return call


def project(folder: Path) -> Path:
    """A project with as many pictures as MNIST has: the time of a step does not ask what they show."""
    import numpy as np

    from benchmarks.faults import projects
    from tests import conftest
    from tests.support import digits

    chance = np.random.default_rng(0)
    sizes = {"train": 60_000, "test": 1_000}
    pictures = {name: chance.integers(0, 256, (rows, 28, 28), dtype=np.uint8) for name, rows in sizes.items()}
    made = projects.prepared(folder)
    conftest.lay(
        made, digits.idx_files({name: (these, np.arange(len(these)) % 10) for name, these in pictures.items()})
    )
    command = [sys.executable, "-m", "pipeline", "preprocess", "data.prepare.validation=5000"]
    subprocess.run(command, cwd=made, env=conftest.lean(), check=True, stdout=sys.stderr)
    return made


def million() -> dict[str, float]:
    from pipeline.tracking import mlflow_store, sync
    from pipeline.tracking.journal import Journal

    os.nice(10)
    began = time.perf_counter()
    with Journal.begin(RUN, "benchmark", "benchmark", 1.0) as journal:
        for number in range(10_000):
            journal.metrics(number, {f"train/metric_{name:03}": number * 0.5 + name for name in range(100)})
        journal.status("FINISHED")
    journalled = time.perf_counter() - began
    client = mlflow_store.client()
    began, worked = time.perf_counter(), time.process_time()
    mlflow_id = sync.ship(client, RUN)
    shipped, worked = time.perf_counter() - began, time.process_time() - worked
    history = client.get_metric_history(mlflow_id, "train/metric_099")
    assert [(one.step, one.value) for one in history] == [(number, number * 0.5 + 99) for number in range(10_000)]
    return {"journal_seconds": journalled, "sync_seconds": shipped, "sync_processor_seconds": worked}


def table(found: dict[str, dict[str, float]]) -> str:
    one, many = found["step"], found["million"]
    rows = [
        ("a step waits for the journal, at most, ms", f"{one['longest_ms']:.2f}", "50"),
        ("a block of steps waits for the journal, mean, ms", f"{one['mean_ms']:.3f}", ""),
        ("journalling, % of an epoch", f"{one['share_percent']:.2f}", "1"),
        ("an epoch of mnist_mlp, s", f"{one['epoch_seconds']:.2f}", ""),
        ("a million points journalled, s", f"{many['journal_seconds']:.1f}", ""),
        ("a million points shipped to SQLite, s", f"{many['sync_seconds']:.1f}", "120"),
    ]
    lines = ["| | measured | allowed |", "|-|-|-|", *(f"| {name} | {value} | {most} |" for name, value, most in rows)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
