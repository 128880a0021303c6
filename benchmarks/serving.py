"""The service under load, and `mlflow models serve` with the same model beside it: python -m benchmarks.serving.

Writes benchmarks/results/serving.json. On two versions of mnist_mlp in a fresh clone, or in --project FOLDER, where it
stays for the next time. Parts, of which --only picks some:

compare  64 connections, each server with one worker and with two, in turns; the better of each counts
single   one connection
swaps    64 connections for --minutes, while the champion changes every 10 seconds
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.__main__ import REPOSITORY
from benchmarks.servers import SERVERS, TAKES, Row, Trial, ended

RESULTS = REPOSITORY / "benchmarks" / "results" / "serving.json"
PARTS = ("compare", "single", "swaps")
CONNECTIONS, SWAP = 64, 10.0


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--project", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = (options.project or Path(folder) / "clone").absolute()
        if not project.exists():
            servers.make(project)
        trial, rows, aims = Trial(project), [], []
        if "compare" in options.only:
            some = turns(trial, options.rounds, (1, 2), CONNECTIONS)
            rows, aims = rows + some, aims + compared(some)
        if "single" in options.only:
            some = turns(trial, options.rounds, (1,), 1)
            rows, aims = rows + some, aims + alone(some)
        if "swaps" in options.only:
            row = swapped(trial, options.minutes * 60)
            rows, aims = [*rows, row], aims + steady(row)
    report(rows, aims)


def turns(trial: Trial, rounds: int, workers: tuple[int, ...], connections: int) -> list[Row]:
    rows = []
    for number in range(rounds):
        for count in workers:
            for name in SERVERS:
                for row in trial.measured(name, count, connections):
                    print(line(row), flush=True)
                    rows.append({"round": number, **row})
    return rows


def settings(rows: list[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """(server, workers, body, connections) → its row of each round."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault((row["server"], row["workers"], row["body"], row["connections"]), []).append(row)
    return found


def middle(rows: list[Row], name: str) -> float:
    return statistics.median(row[name] for row in rows)


def compared(rows: list[Row]) -> list[Row]:
    """Our best setting for each kind of body against their best, round by round."""
    some = settings(rows)

    def best(server: str, body: str) -> list[Row]:
        mine = [turns for key, turns in some.items() if (key[0], key[2]) == (server, body)]
        return max(mine, key=lambda turns: middle(turns, "rate"))

    theirs, aims = best("mlflow", "inputs"), []
    for body in TAKES["ratchet"]:
        ours = best("ratchet", body)
        for name, what, sign, limit in (("rate", "requests a second", "≥", 5.0), ("p99", "p99", "≤", 0.5)):
            ratios = [mine[name] / other[name] for mine, other in zip(ours, theirs, strict=True)]
            aims.append(aim(f"{what}, {body}: ours / theirs", ratios, "×", sign, limit))
    return [*aims, aim("failed requests", [sum(row["failed"] for row in rows)], "", "≤", 0)]


def alone(rows: list[Row]) -> list[Row]:
    return [
        aim(f"single prediction, {key[2]}: p50", [row["p50"] for row in some], "ms", "≤", 5.0)
        for key, some in settings(rows).items() if key[0] == "ratchet"
    ]  # fmt: skip


def swapped(trial: Trial, seconds: float) -> Row:
    import mlflow

    client, memory, swaps = mlflow.MlflowClient(), [], 0
    with servers.ours(trial.project, 2) as server:
        process = trial.load("ratchet", server, "PNG", CONNECTIONS, seconds)
        while process.poll() is None:
            time.sleep(SWAP)
            memory.append(server.memory())
            swaps += 1
            client.set_registered_model_alias(servers.MODEL, "champion", str(1 + swaps % 2))
        client.set_registered_model_alias(servers.MODEL, "champion", "2")
    about = {"server": "ratchet", "workers": 2, "body": "PNG", "connections": CONNECTIONS, "swaps": swaps}
    about["seconds"] = seconds
    return {**about, "memories": memory, "memory": memory[-1], **ended(process)}


def steady(row: Row) -> list[Row]:
    """Memory flat: the last quarter against the second, for the first one fills pools and caches."""
    quarter = max(1, len(row["memories"]) // 4)
    second, last = row["memories"][quarter : 2 * quarter], row["memories"][-quarter:]
    growth = statistics.median(last) / statistics.median(second or last)
    return [
        aim(f"failed of {row['answers']:,} requests", [row["failed"]], "", "≤", 0),
        aim(f"versions seen in {row['swaps']} swaps", [len(row["versions"])], "", "≥", 2),
        aim("memory at the end / before", [growth], "×", "≤", 1.05),
    ]


def aim(what: str, found: list[float], unit: str, sign: str, limit: float) -> Row:
    value = statistics.median(found)
    met = value >= limit if sign == "≥" else value <= limit
    span = [min(found), max(found)]
    return {"what": what, "value": value, "span": span, "unit": unit, "aim": f"{sign} {limit:g}", "met": met}


def line(row: Row) -> str:
    times = "  ".join(f"{name} {row[name]:6.2f} ms" for name in ("p50", "p99"))
    about = f"{row['server']:<8} {row['workers']} workers, {row['connections']:>2} connections, {row['body']:<7}"
    costs = f"{row['memory']:.0f} MB, generator {row['cpu']:.0%} of a core, {row['failed']} failed"
    return f"{about} {row['rate']:7.0f} a second  {times}  {costs}"


def report(rows: list[Row], aims: list[Row]) -> None:
    print("\n| server | workers | connections | body | requests a second | p50 ms | p99 ms | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for (server, workers, body, connections), some in settings(rows).items():
        rates = [row["rate"] for row in some]
        span = f"{statistics.median(rates):.0f} ({min(rates):.0f}–{max(rates):.0f})"
        times = " | ".join(f"{middle(some, name):.2f}" for name in ("p50", "p99"))
        print(f"| {server} | {workers} | {connections} | {body} | {span} | {times} | {middle(some, 'memory'):.0f} |")
    print("\n| what | measured | aim | |\n|---|---|---|---|")
    for one in aims:
        low, high = one["span"]
        span = f" ({low:.2f}–{high:.2f})" if low != high else ""
        verdict = "met" if one["met"] else "MISSED"
        print(f"| {one['what']} | {one['value']:.2f} {one['unit']}{span} | {one['aim']} {one['unit']} | {verdict} |")
    for row in rows:
        if row["failures"]:
            print(f"{row['server']}, {row['body']}: {row['failures']}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows, "aims": aims}, indent=2) + "\n")


if __name__ == "__main__":
    main()
