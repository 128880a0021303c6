"""One trial, in a process of its own: what it breaks, leaks or dies of is its own."""

import os
import statistics
import time
import traceback
from pathlib import Path

import torch
from safetensors.torch import load_file

from pipeline.config.schema import Config
from pipeline.models.network import build
from pipeline.project.errors import RatchetError
from pipeline.project.files import read_json
from pipeline.project.processes import end_with
from pipeline.project.secrets import redact
from pipeline.store import processed
from pipeline.sweeping.process import Outcome, Task
from pipeline.training import folds, run
from pipeline.training.channel import Watcher
from pipeline.training.stops import Interrupted, Pruned
from pipeline.training.trained import AsTrial, Data, trained

WARM, TIMED = 20, 100  # predictions of one row, for latency_ms


def main(task: Task, watcher: Watcher, worker: int) -> None:
    """Tells the worker how it ended, and ends."""
    end_with(worker)
    os.chdir(task.root)
    with open(task.log, "a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    with watcher.connect() as connection:
        connection.send(("ended", ended(task, watcher)))
        connection.recv()


def ended(task: Task, watcher: Watcher) -> Outcome:
    """States are Optuna's, or INTERRUPTED by a signal."""
    try:
        return completed(task, watcher)
    except Pruned as stop:
        return {"state": "PRUNED", "reason": str(stop)}
    except Interrupted as stop:
        return {"state": "INTERRUPTED", "reason": str(stop)}
    except RatchetError as error:
        print(f"error: {error}", flush=True)
        return {"state": "FAIL", "reason": redact(str(error))}
    except Exception as error:  # noqa: BLE001 - whatever a training raises ends this trial alone, with its reason
        traceback.print_exc()
        return {"state": "FAIL", "reason": redact(f"{type(error).__name__}: {error}")}


def completed(task: Task, watcher: Watcher) -> Outcome:
    config = Config.model_validate(task.settings)
    data = Data.load()
    place = run.folder(config, data.spec)
    with run.claimed(place):
        own = owner(place) in (None, task.run_id)
        before = None if own else run.finished(place)
        trial = AsTrial(task.run_id, task.membership.parent, task.membership.tags, watcher)
        try:
            result = before or trained(config, data, place, not own, task.name, trial=trial)[0]
        except Pruned:
            for file in [*place.glob("[0-9]*.ckpt"), *place.glob("[0-9]*.safetensors")]:
                file.unlink()  # what only a resume would need
            raise
        found = folds.at_best(result) | measured(task.objectives, config, data, place / result["best"]["file"])
    history = {entry["epoch"]: entry[config.training.monitor] for entry in result["history"]}
    reused = {} if before is None else {"reused": result["run_id"]}
    return {
        "state": "COMPLETE",
        "found": found,
        "history": history,
        "run_id": task.run_id if reused else result["run_id"],
        "threads": torch.get_num_threads(),
        **reused,
    }


def owner(place: Path) -> str | None:
    """The id of the run that was begun here."""
    return read_json(place / "run.json", "train")["run_id"] if (place / "run.json").is_file() else None


def measured(objectives: tuple[str, ...], config: Config, data: Data, weights: Path) -> dict[str, float]:
    """What is known of a finished net beside its metrics: its size, and its speed where that is an objective."""
    state = load_file(weights)
    found = {"parameters": float(sum(tensor.numel() for tensor in state.values()))}
    if "latency_ms" in objectives:
        network = build(config.model.model_dump(), data.encoder, config.loss.name)
        network.load_state_dict(state)
        row = processed.load_split("val", data.spec, data.folder)["inputs"][:1]
        found["latency_ms"] = latency(network.eval(), row)
    return found


@torch.inference_mode()
def latency(network: torch.nn.Module, row: torch.Tensor) -> float:
    """Median milliseconds of a prediction of one row on this machine's CPU, as busy as it is now."""
    times = []
    for _ in range(WARM + TIMED):
        began = time.perf_counter()
        network(row)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[WARM:])
