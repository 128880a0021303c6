"""Runs scenarios in full, in a fresh clone, and prints a table: scores, time and memory of `dvc repro`.

python -m benchmarks.scenarios [SCENARIO …] [--seeds N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.__main__ import REPOSITORY, epoch_seconds, peak, run

RESULTS = REPOSITORY / "benchmarks" / "results" / "scenarios.json"
SCORES = {
    "mnist_mlp": ["test/accuracy"],
    "mnist_cnn": ["test/accuracy"],
    "mnist_cnn_small": ["test/accuracy"],
    "reviews_bert": ["test/accuracy"],
    "movielens_dnn": ["test/hr_10", "test/ndcg_10"],
    "table_dnn": ["test/accuracy"],
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.scenarios", description=__doc__)
    parser.add_argument("scenario", nargs="*", default=list(SCORES))
    parser.add_argument("--seeds", type=int, default=3, help="seed 0 alone is timed")
    options = parser.parse_args()
    rows = []
    for scenario in options.scenario:
        with tempfile.TemporaryDirectory() as folder:
            clone = Path(folder) / "clone"
            subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
            rows.append(measured(clone, scenario, options.seeds))
            print(json.dumps(rows[-1]), flush=True)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=2) + "\n")


def measured(clone: Path, scenario: str, seeds: int) -> dict[str, Any]:
    params = clone / "params.yaml"
    found: list[dict[str, float]] = []
    began = time.perf_counter()
    for seed in range(seeds):
        params.write_text(yaml.safe_dump({"scenario": scenario, "seed": seed}))
        if seed == 0:
            megabytes = peak(clone, "repro", program="dvc")
            seconds = time.perf_counter() - began
            epochs = epoch_seconds(clone)
        else:
            run(clone, "dvc", "repro")
        found.append(json.loads((clone / "reports/metrics.json").read_text()))
    row: dict[str, Any] = {
        "scenario": scenario,
        "seconds": round(seconds, 1),
        "megabytes": round(megabytes),
        "epochs": [round(one, 1) for one in epochs],
        "baselines": {key: value for key, value in found[0].items() if key.startswith("baseline/")},
    }
    for score in SCORES[scenario]:
        values = [metrics[score] for metrics in found]
        row[score] = {"seeds": values, "mean": statistics.fmean(values)}
    if scenario == "table_dnn":
        run(clone, "ratchet", "train", "cv=5")
        row["cv"] = json.loads((clone / "reports/cv.json").read_text())["scores"]["accuracy"]
    return row


if __name__ == "__main__":
    sys.exit(main())
