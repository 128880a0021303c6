"""Runs every measurement in a fresh clone, prints the table, writes benchmarks/results/benchmarks.json.

python -m benchmarks [--rounds N] [--only PART …]: the contenders take turns for N rounds, so that a busy minute hits
them all. Parts: flow, mlp, cnn. With --gpu the epochs are those on a CUDA GPU.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results" / "benchmarks.json"
EPOCHS = 3  # of each turn; the first warms up and is left out
LIMITS = {  # net → peer → what our epoch may take of its
    "mlp": {"handwritten": 1.10, "lightning": 0.6, "keras": 0.5},
    "cnn": {"handwritten": 1.05, "keras": 0.70},
}
ON_GPU = {net: {"resident": 1.05, "lightning": 0.2} for net in LIMITS}


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=["flow", "mlp", "cnn"], default=["flow", "mlp", "cnn"])
    parser.add_argument("--gpu", action="store_true", help="the peers on a CUDA GPU, ours with trainer=gpu and bf16")
    options = parser.parse_args()
    limits, ours = (ON_GPU, ["trainer=gpu"]) if options.gpu else (LIMITS, [])
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
        flow = pipeline_rows(clone)  # makes what the others need
        rows = flow if "flow" in options.only else []
        for net in (net for net in limits if net in options.only):
            rows += epoch_rows(clone, net, options.rounds, limits[net], ours)
    report(rows)


def pipeline_rows(clone: Path) -> list[dict[str, Any]]:
    """The whole flow, its no-op, its help; peak memory of the two stages that hold data."""
    whole = timed(clone, "dvc", "repro")
    loop = sum(epoch_seconds(clone))
    again = statistics.median(timed(clone, "dvc", "repro") for _ in range(5))
    usage = statistics.median(timed(clone, "ratchet", "--help") for _ in range(9))
    return [
        row("dvc repro, all stages, less the training loop", whole - loop, "s", 25),
        row("dvc repro with nothing to do", again, "s", 1.5),
        row("ratchet --help", usage, "s", 0.3),
        row("peak memory of preprocess", peak(clone, "preprocess"), "MB", 400),
        row("peak memory of train", peak(clone, "train", "--fresh"), "MB", 1200),
    ]


def epoch_rows(clone: Path, net: str, rounds: int, limits: dict[str, float], ours: list[str]) -> list[dict[str, Any]]:
    """For each peer the median over the rounds of: our median epoch / its median epoch, minutes apart.

    Each computes in whichever precision is its fastest on this machine.
    """
    seconds: dict[str, list[list[float]]] = {"ratchet": [], **{peer: [] for peer in limits}}
    best = {name: fastest(clone, name, net, ours) for name in seconds}
    print(f"{net}: precision, the fastest of each here: {best}", flush=True)
    for _ in range(rounds):
        for name, turns in seconds.items():
            turns.append(turn(clone, name, net, ours, best[name])[1:])
    for name, turns in seconds.items():
        print(f"{name:<12} seconds an epoch, by round: {[[round(one, 2) for one in taken] for taken in turns]}")
    middle = {name: [statistics.median(taken) for taken in turns] for name, turns in seconds.items()}
    rows = []
    for name, limit in limits.items():
        ratios = [ours / theirs for ours, theirs in zip(middle["ratchet"], middle[name], strict=True)]
        print(f"{net}: ours / {name}, by round: {[round(ratio, 2) for ratio in ratios]}")
        told = f"{net} epoch, ours ({best['ratchet']}) / {name} ({best[name]})"
        rows.append(row(told, statistics.median(ratios), "×", limit))
    return rows


def fastest(clone: Path, name: str, net: str, ours: list[str]) -> str:
    """bf16 or 32, by the second epoch of two; emulated bf16 takes ten times as long, and is not tried."""
    import torch

    able = torch.cpu.get_capabilities()
    if not (torch.cuda.is_available() or able.get("avx512_bf16") or able.get("amx_bf16")):
        return "32"
    return min(("32", "bf16"), key=lambda precision: turn(clone, name, net, ours, precision, epochs=2)[-1])


def turn(clone: Path, name: str, net: str, ours: list[str], precision: str, epochs: int = EPOCHS) -> list[float]:
    """Seconds of each epoch of one process."""
    if name == "ratchet":
        settings = [f"scenario=mnist_{net}", f"training.max_epochs={epochs}", f"training.precision='{precision}'"]
        run(clone, "ratchet", "train", "--fresh", *settings, *ours)
        return epoch_seconds(clone)
    done = run(clone, sys.executable, "-m", "benchmarks.contenders", name, net, str(epochs), precision)
    return json.loads(done.stdout.splitlines()[-1])


def epoch_seconds(clone: Path) -> list[float]:
    """What the newest run's journal says: training, validation, metrics and journalling of each epoch."""
    run_id = json.loads((clone / "models/run.json").read_text())["run_id"]
    lines = (clone / ".ratchet/journal" / run_id / "journal.jsonl").read_text().splitlines()
    values = [json.loads(line).get("values", {}) for line in lines]
    return [value["time/epoch_seconds"] for value in values if "time/epoch_seconds" in value]


def run(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=clone, env=environment(clone), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done


def environment(clone: Path) -> dict[str, str]:
    """In which commands run the clone's own code."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(clone), "TF_CPP_MIN_LOG_LEVEL": "3"}


def timed(clone: Path, *command: str) -> float:
    began = time.perf_counter()
    run(clone, *command)
    return time.perf_counter() - began


def peak(clone: Path, *verb: str, program: str = "ratchet") -> float:
    """Peak resident megabytes of one verb's process or its children, which a process of its own starts and asks."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = run(clone, sys.executable, "-c", code, shutil.which(program) or program, *verb)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes here
    return int(done.stdout.splitlines()[-1]) / unit


def row(what: str, given: float, unit: str, limit: float) -> dict[str, Any]:
    return {"what": what, "given": round(given, 3), "unit": unit, "limit": limit, "met": given <= limit}


def report(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'measured':<48} {'given':>10} {'aim':>10}")
    for each in rows:
        given, aim = f"{each['given']:.2f} {each['unit']}", f"≤ {each['limit']:g} {each['unit']}"
        print(f"{each['what']:<48} {given:>10} {aim:>10}  {'met' if each['met'] else 'MISSED'}")
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    print(f"\n{RESULTS.relative_to(REPOSITORY)} on {machine}")


if __name__ == "__main__":
    main()
