"""Starts a training on the devices that trainer= names: here, or in a process for each device.

Several processes are started by torch's elastic launcher, as torchrun does: when one dies it stops all, and starts them
again from the newest checkpoint, trainer.restarts times. They call `rank_main`, never this command line again.
"""

import importlib
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import distributed

from pipeline.config.schema import Config, Trainer
from pipeline.project import deferred, output, paths
from pipeline.project.errors import ConfigError, TrainingError
from pipeline.project.processes import end_with, exit_unless
from pipeline.tracking.journal import Journal
from pipeline.training.channel import Watcher
from pipeline.training.failures import explained
from pipeline.training.stops import Interrupted, Pruned

LOOPBACK = "127.0.0.1"  # where the processes of one node meet, whatever its name means or does not mean
DEAF_SECONDS = 10.0  # that the launcher may wait for other nodes in a call that hears no signal
FITTING = "pipeline.training.fit"  # the module that imports Lightning
STOPPING = "stopping"  # a file in the launcher's scratch folder

logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it says all of this at length
deferred.defer()  # also in the processes that import this module first


def import_lightning() -> None:
    """Before a run begins. Ctrl+C ends the process at once: libraries that are being imported would swallow it."""
    heard = threading.current_thread() is threading.main_thread()
    interrupted = signal.getsignal(signal.SIGINT) if heard else None
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda signum, frame: os._exit(128 + signum))
    importlib.import_module(FITTING)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)


def on_cuda(trainer: Trainer) -> bool:
    there = torch.cuda.is_available()
    if trainer.name == "gpu" and not there:
        raise ConfigError("trainer=gpu, but torch sees no CUDA GPU here.\nType: trainer=cpu, or trainer=auto")
    return there and trainer.name != "cpu"


def processes(config: Config) -> int:
    """One for each device of this node."""
    trainer, cuda = config.trainer, on_cuda(config.trainer)
    there = torch.cuda.device_count() if cuda else 1
    wanted = there if trainer.devices == "auto" else trainer.devices
    if cuda and wanted > there:
        raise ConfigError(f"trainer.devices={wanted}, but there are {there} GPUs here.\nType: trainer.devices={there}")
    if wanted * trainer.nodes > 1 and not cuda and getattr(config.model, "norm", "none") == "batch":
        raise ConfigError(
            "model.norm=batch on several CPU processes would normalise by each one's share of a batch.\n"
            "Type: model.norm=layer, or trainer.devices=1"
        )
    return wanted


def tags(config: Config) -> dict[str, str]:
    """What a run says of its devices."""
    from pipeline.training.fit import has_bf16

    count = processes(config) * config.trainer.nodes
    device = torch.device("cuda" if on_cuda(config.trainer) else "cpu")
    several = "fsdp" if config.trainer.name == "fsdp" else "ddp"
    return {
        "strategy": several if count > 1 else "single",
        "processes": str(count),
        "precision": "bf16" if has_bf16(config, device) else "32",
        "accumulate": str(config.training.accumulate),
    }


def train(config: Config, data: Path, place: Path, journal: Journal, watcher: Watcher | None = None) -> dict[str, Any]:
    """Trains on `data` to the end, from the newest whole checkpoint in `place` if there is one: {best, history}."""
    if processes(config) * config.trainer.nodes == 1:
        from pipeline.training.fit import fit

        return fit(config, data, place, journal, watcher)
    with journal.lent():
        return launched(config, data, place, journal.run_id, watcher)


def launched(
    config: Config, data: Path, place: Path, run_id: str = "", watcher: Watcher | None = None
) -> dict[str, Any]:
    """What rank 0 returns; on a node that has no rank 0, and so needs no run, what its first rank does."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    places = str(Path.cwd()), str(data), str(place)
    arguments = (config.model_dump(mode="json"), os.getpid(), places, run_id, watcher)
    multiprocessing.set_forkserver_preload([__name__, FITTING])  # it imports once for all ranks and all restarts
    try:
        with handlers_kept(), exit_unless(stop_together(), DEAF_SECONDS):
            results = elastic_launch(elastic(config.trainer, processes(config), place.name), rank_main)(*arguments)
    except SignalException as stop:
        raise Interrupted(stop.sigval) from None
    except ChildFailedError as error:
        message, trace = died(error)
        raise TrainingError(
            f"{message}; it was started again {config.trainer.restarts} times from the newest checkpoint.\n"
            "What was trained is kept, and the same command goes on from it. More tries: trainer.restarts=10"
        ) from RuntimeError(trace)
    finally:
        shutil.rmtree(paths.scratch())  # where the ranks leave their errors
    result = results[min(results)]
    if "signal" in result:
        raise Interrupted(result["signal"])
    if "pruned" in result:
        raise Pruned(result["pruned"])
    if "error" in result:
        raise TrainingError(result["error"])
    return result


def elastic(trainer: Trainer, count: int, meeting: str) -> Any:
    """One node finds a free port; several meet at trainer.rendezvous, node 0's address."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    several = trainer.nodes > 1
    return LaunchConfig(
        min_nodes=trainer.nodes,
        max_nodes=trainer.nodes,
        nproc_per_node=count,
        run_id=meeting,
        rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=trainer.rendezvous if several else f"{LOOPBACK}:0",
        rdzv_configs={"rank": trainer.node, "timeout": 900} if several else {"timeout": 900},
        max_restarts=trainer.restarts,
        start_method="forkserver",
        signals_to_handle="SIGQUIT",  # the others: stop_together; and a closed terminal stops nothing
        local_addr=None if several else LOOPBACK,
        logs_specs=DefaultLogsSpecs(log_dir=str(paths.scratch() / "ranks")),
    )


@contextmanager
def handlers_kept() -> Iterator[None]:
    """The launcher leaves its own signal handlers behind."""
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {signum: signal.getsignal(signum) for signum in handled}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def stop_together() -> threading.Event:
    """SIGTERM and SIGINT stop all ranks, as torch's own handlers would; the ranks can see that it was the launcher.

    The event: whether one was heard.

    For it sends the signal on and waits 30 seconds for their ends, while a rank that has returned waits for it to take
    the result.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException

    heard = threading.Event()

    def stop(signum: int, frame: Any) -> None:
        heard.set()
        (paths.scratch() / STOPPING).touch()
        raise SignalException(f"signal {signum}", signal.Signals(signum))

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    return heard


def died(error: Any) -> tuple[str, str]:
    """How the first process that failed did, and its traceback."""
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:
        return f"rank {rank} died of {signal.Signals(-failure.exitcode).name}", "it left no traceback"
    said = failure.message if isinstance(failure.message, dict) else {"message": failure.message}
    return f"rank {rank} failed: {said['message']}", said.get("extraInfo", {}).get("py_callstack", "")


def rank_main(
    settings: dict[str, Any], launcher: int, places: tuple[str, str, str], run_id: str, watcher: Watcher | None
) -> dict[str, Any]:
    """One process of several. What all of them raise at once is returned, for it is no reason to start again."""
    from pipeline.training.fit import fit

    end_with(launcher)
    output.survive()
    root, data, place = places
    os.chdir(root)
    config = Config.model_validate(settings)
    local, cuda = int(os.environ["LOCAL_RANK"]), on_cuda(config.trainer)
    if cuda:
        torch.cuda.set_device(local)
    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ["LOCAL_WORLD_SIZE"])))
    if config.trainer.nodes == 1 and (name := loopback_interface()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
    meet("nccl" if cuda else "gloo")
    first = distributed.get_rank() == 0
    try:
        with Journal(run_id, config.tracking.fsync_seconds, borrowed=True) if first else nullcontext() as journal:
            return fit(config, Path(data), Path(place), journal, watcher)
    except TrainingError as error:
        return {"error": str(error)}
    except Interrupted as stop:
        if paths.state("scratch", str(launcher), STOPPING).exists():
            sys.stdout.flush()
            os._exit(0)
        return {"signal": stop.exit_code - 128}
    except Pruned as stop:
        return {"pruned": stop.epoch}
    except Exception as error:  # of this process alone
        raise explained(error, config, Path(place)) from error


def loopback_interface() -> str | None:
    """Its name; gloo alone would look for the one that this machine's name belongs to."""
    addresses = psutil.net_if_addrs().items()
    return next((name for name, some in addresses if LOOPBACK in [one.address for one in some]), None)


def meet(backend: str) -> None:
    """Joins the other processes; in a place of this start's own, as those of an earlier one left their addresses."""
    environment = os.environ
    rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    hosts = environment["TORCHELASTIC_USE_AGENT_STORE"] != "True" and rank == 0  # else the launcher does
    # torch.distributed has both without exporting them
    shared = distributed.TCPStore(  # type: ignore[attr-defined]
        environment["MASTER_ADDR"], int(environment["MASTER_PORT"]), world, hosts
    )
    start = f"start-{environment['TORCHELASTIC_RESTART_COUNT']}"
    store = distributed.PrefixStore(start, shared)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world)
