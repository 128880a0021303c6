"""Sweeps against plain Lightning under Hydra's basic launcher: python -m benchmarks.sweeps [--seeds N] [--only PART …]

Parts: peer (16 points by the peer, and by ours at two workers, for each of N seeds), pruned (and the same 16 with
hyperband), idle (one trial ten times slower than the rest), many (ask and tell in a study of 1,000 trials). Prints a
table, and keeps the numbers in benchmarks/results/sweeps.json. With 3 seeds it takes 45 minutes.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks/results/sweeps.json"
PARTS = ("peer", "pruned", "idle", "many")
WIDTHS = [[256], [512, 256], [1024, 512]]
TRIALS = 16


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
        for verb in ("download", "preprocess"):
            run(clone, sys.executable, "-m", "pipeline", verb)
        if {"peer", "pruned"} & set(options.only):
            rows += against_peer(clone, options)
        if "idle" in options.only:
            rows.append(("workers that idle while one trial is 10 times slower", f"{idle(clone):.1%}", "5%"))
        if "many" in options.only:
            ask, tell = many(Path(folder))
            rows.append(("ask in a study of 1,000 trials (tpe)", f"{1000 * ask:.0f} ms", "100 ms"))
            rows.append(("tell in a study of 1,000 trials", f"{1000 * tell:.0f} ms", "100 ms"))
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(known | {name: [given, limit] for name, given, limit in rows}, indent=2) + "\n")
    print("| | measured | allowed |\n|-|-|-|")
    for one in rows:
        print("| " + " | ".join(one) + " |")


def run(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done


def points(seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [{"lr": 10 ** chance.uniform(-3.5, -2), "widths": chance.choice(WIDTHS)} for _ in range(TRIALS)]


def against_peer(clone: Path, options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Each seed has other points; the peer, ours and ours with hyperband train the same ones, one after the other."""
    ratios, pruned, gaps, beyond = [], [], [], []
    for seed in range(options.seeds):
        whole, study = ours(clone, seed, "none", options.epochs)
        beyond.append(overhead(clone, study))
        theirs, their_best = peer(clone, seed, options.epochs)
        ratios.append(f"{whole / theirs:.2f} ({whole:.0f} s / {theirs:.0f} s)")
        gaps.append(f"{100 * (study.best_value - their_best):+.2f}")
        if "pruned" in options.only:
            seconds, hyperband = ours(clone, seed, "hyperband", options.epochs)
            pruned.append(f"{seconds / theirs:.2f} ({seconds:.0f} s)")
            gaps[-1] += f" and {100 * (hyperband.best_value - study.best_value):+.2f}"
    rows = [("16 trials of mnist_mlp, ours / peer", ", ".join(ratios), "0.45")]
    if pruned:
        rows.append(("the same with hyperband, ours / peer", ", ".join(pruned), "0.25"))
    return [
        *rows,
        ("the best val/accuracy in points: ours - peer, hyperband - ours", ", ".join(gaps), "±0.1"),
        ("a trial beyond its training loop, in a warm worker", f"{max(beyond):.2f} s", "0.5 s"),
    ]


def ours(clone: Path, seed: int, pruner: str, epochs: int) -> tuple[float, optuna.Study]:
    """(seconds, study) of the seed's points, from a space file; nothing is reused."""
    subprocess.run(["rm", "-rf", clone / ".ratchet/checkpoints"], check=True)
    (clone / "points.json").write_text(json.dumps(points(seed)))
    (clone / "space.py").write_text(
        "import json\nPOINTS = json.load(open('points.json'))\n\ndef space(trial):\n    point = POINTS[trial.number]\n"
        "    trial.suggest_categorical('point', list(range(16)))\n"
        "    return {'optimizer.lr': point['lr'], 'model.widths': point['widths']}\n"
    )
    name = f"bench-{seed}-{pruner}-{time.time_ns()}"
    settings = ["sweep.space_file=space.py", f"sweep.study={name}", f"sweep.n_trials={TRIALS}", "sweep.workers=2"]
    settings += [f"sweep.pruner={pruner}", "sweep.sampler=random", f"training.max_epochs={epochs}"]
    began = time.monotonic()
    run(clone, sys.executable, "-m", "pipeline", "sweep", *settings, "tracking.wait_seconds=600")
    seconds = time.monotonic() - began
    study = opened(clone, name)
    print(f"{name}: {seconds:.1f} s, best {study.best_value:.4f}", flush=True)
    return seconds, study


def opened(clone: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{clone}/.ratchet/sweeps.db")


def peer(clone: Path, seed: int, epochs: int) -> tuple[float, float]:
    out = clone / f"peer-{seed}"
    out.mkdir()
    (clone / "points.json").write_text(json.dumps(points(seed)))
    command = [sys.executable, "-m", "benchmarks.sweeps.peer", "--multirun", f"hydra.sweep.dir={out}", f"out={out}"]
    command += [f"data={clone}/data/processed", f"uri=sqlite:///{clone}/peer.db", f"points={clone}/points.json"]
    began = time.monotonic()
    run(clone, *command, f"epochs={epochs}", "point=" + ",".join(map(str, range(TRIALS))))
    seconds = time.monotonic() - began
    best = max(map(float, (out / "values").read_text().split()))
    print(f"peer: {seconds:.1f} s, best {best:.4f}", flush=True)
    return seconds, best


def overhead(clone: Path, study: optuna.Study) -> float:
    """Median seconds of the study's trials that were not in an epoch; the first of each worker is left out."""
    found = []
    for trial in study.trials[2:]:
        file = clone / ".ratchet/journal" / trial.user_attrs["run_id"] / "journal.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        epochs = [line["values"].get("time/epoch_seconds", 0) for line in lines if line["kind"] == "metrics"]
        found.append(trial.user_attrs["seconds"] - sum(epochs))
    return statistics.median(found)


def idle(clone: Path) -> float:
    """Share of the sweep's time in which the worker that has not the slow trial trains nothing, after its start."""
    name = f"idle-{time.time_ns()}"
    (clone / "space.py").write_text(
        "def space(trial):\n    trial.suggest_float('x', 0, 1)\n"
        "    return {'seed': 100 + trial.number, 'training.max_epochs': 30 if trial.number == 0 else 3}\n"
    )
    settings = ["sweep.space_file=space.py", f"sweep.study={name}", "sweep.n_trials=11", "sweep.workers=2"]
    run(clone, sys.executable, "-m", "pipeline", "sweep", *settings, "model.widths=[256]")
    _, *fast = opened(clone, name).trials
    busy = sum(trial.user_attrs["seconds"] for trial in fast)
    began, ended = (pick(stamps(fast, part)) for pick, part in ((min, "datetime_start"), (max, "datetime_complete")))
    return 1 - busy / (ended - began)


def stamps(trials: list[optuna.trial.FrozenTrial], name: str) -> list[float]:
    return [getattr(trial, name).timestamp() for trial in trials]


def many(folder: Path, count: int = 1000, asked: int = 20) -> tuple[float, float]:
    """Seconds (median) to claim and suggest a trial, and to tell it, by the worker's own code."""
    os.chdir(folder)
    from optuna.distributions import FloatDistribution
    from optuna.trial import Trial, create_trial

    from pipeline.sweeping import study as studies
    from pipeline.sweeping.leases import Leases

    search = studies.Search("tpe", "none", ("val/accuracy",), 0, 5, count)
    database = studies.storage(f"sqlite:///{folder}/many.db")
    study = optuna.create_study(storage=database, study_name="many", direction="maximize")
    space = {"lr": FloatDistribution(1e-4, 1e-1, log=True), "dropout": FloatDistribution(0, 0.5)}
    chance = random.Random(0)
    study.add_trials(
        create_trial(
            params={"lr": 10 ** chance.uniform(-4, -1), "dropout": chance.uniform(0, 0.5)},
            distributions=space,
            value=chance.random(),
        )
        for _ in range(count)
    )
    studies.fill(study, None, count + asked)
    leases, asks, tells = Leases(database.engine), [], []
    for _ in range(asked):
        began = time.perf_counter()
        frozen = studies.unfinished(study)[0]
        leases.claim(frozen._trial_id)
        database.set_trial_state_values(frozen._trial_id, optuna.trial.TrialState.RUNNING)
        study.sampler = search.sample(frozen.number, True)
        trial = Trial(study, frozen._trial_id)
        for name, one in space.items():
            trial.suggest_float(name, one.low, one.high, log=one.log)
        middle = time.perf_counter()
        study.tell(trial.number, 0.5)
        leases.release(frozen._trial_id)
        asks.append(middle - began)
        tells.append(time.perf_counter() - middle)
    return statistics.median(asks), statistics.median(tells)


if __name__ == "__main__":
    main()
