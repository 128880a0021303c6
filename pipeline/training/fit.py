"""Lightning put together: network, loaders, callbacks and the checkpoint to go on from."""

import ctypes
import logging
import platform
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, TQDMProgressBar
from safetensors.torch import load_file

from pipeline.config.schema import Config
from pipeline.models.network import Pretrainable, build, rows_at_once
from pipeline.project.errors import TrainingError
from pipeline.store import processed
from pipeline.tracking.journal import Journal
from pipeline.tracking.system import sampled
from pipeline.training import parallel
from pipeline.training.channel import Watcher
from pipeline.training.checkpoint import Checkpointer, CheckpointFiles
from pipeline.training.files import newest
from pipeline.training.loader import BatchLoader
from pipeline.training.objective import Objective
from pipeline.training.recorder import Recorder
from pipeline.training.task import Task
from pipeline.training.watching import Watched

PRETRAINED = "pretrained.safetensors"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MAPPED_ABOVE, KEPT = 32 << 20, 512 << 20  # bytes; the first is the most that glibc takes


def fit(
    config: Config, data: Path, folder: Path, journal: Journal | None, watcher: Watcher | None = None
) -> dict[str, Any]:
    """Trains on `data` to the end, from the newest whole checkpoint in `folder` if there is one: {best, history}.

    Of several processes that do so together, rank 0 has the journal.
    """
    quieten()
    keep_freed_memory()
    # Deterministic torch fills each new tensor with NaN, lest something unset be read: nothing here reads such
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set up as it is imported
    device = prepare_device(config)
    spec, encoder = processed.load_spec(data), processed.load_encoder(data)
    pl.seed_everything(config.seed, verbose=False)
    train, val = (on_device(processed.load_split(split, spec, data), device) for split in ("train", "val"))
    training = config.training
    task = build_task(config, spec, encoder, data, device)
    recorder = Recorder(folder, journal, training, config.tracking.log_every_steps)
    checkpoint = parallel.of_first(resume_from(folder) if parallel.rank() == 0 else None)
    checkpointer = Checkpointer(folder, config.trainer, config.seed, journal)
    watched = [Watched(watcher, training.monitor)] if watcher else []
    trainer = build_trainer(config, device, [recorder, checkpointer, *watched])
    steps = steps_per_block(config, len(train["targets"]))
    lengths = lengths_of(train["inputs"], encoder) if training.bucket is not None else None
    with (
        checkpointer.listening(),
        sampled(journal, config.tracking.system_metrics_seconds) if journal else nullcontext(),
    ):
        trainer.fit(
            task,
            BatchLoader(train, training.batch_size, steps, config.seed, lengths, training.bucket or 1),
            BatchLoader(val, rows_at_once(val["inputs"], config.trainer.validation_batch)),
            ckpt_path=checkpoint,
            weights_only=True,
        )
    if recorder.best is None or not (folder / recorder.best["file"]).is_file():
        raise TrainingError(f"the training ended without best weights by {training.monitor}; nothing is registered")
    return {"best": recorder.best, "history": recorder.history}


def build_task(config: Config, spec: dict[str, Any], encoder: dict[str, Any], data: Path, device: torch.device) -> Task:
    network = build(config.model.model_dump(), encoder, config.loss.name)
    if (pretrained := processed.file(PRETRAINED, spec, data)) is not None:
        cast("Pretrainable", network.net).load_pretrained(load_file(pretrained))  # a net that takes any has it
    about = spec["splits"]["train"]
    objective = Objective(config, encoder, about.get("per_class", []))
    return Task(network, objective, config, about["rows"], has_bf16(config, device))


def keep_freed_memory() -> None:
    """Lets glibc keep what a step frees for the next step: giving it back to the system and asking again costs more
    than a third of a step of a convolutional net on a CPU (docs/benchmarks.md). A no-op elsewhere."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_ABOVE)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)


def has_bf16(config: Config, device: torch.device) -> bool:
    """Whether to compute in bf16; "auto" asks whether the processor multiplies it by itself, as emulation is slow."""
    if config.training.precision != "auto":
        return config.training.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def lengths_of(inputs: torch.Tensor, encoder: dict[str, Any]) -> torch.Tensor:
    """(N,) tokens of each text."""
    return (inputs != encoder["padding"]).sum(dim=1).cpu()


def steps_per_block(config: Config, rows: int) -> int:
    """At most a quarter of an epoch, so that small data too has places between blocks to save at."""
    steps = -(-rows // config.training.batch_size)
    return max(1, min(config.trainer.steps_per_block, steps // 4))


def build_trainer(config: Config, device: torch.device, callbacks: list[pl.Callback]) -> pl.Trainer:
    training = config.training
    bar = sys.stderr.isatty() and parallel.rank() == 0  # elsewhere the recorder's line for each epoch has to do
    if bar:
        callbacks.append(TQDMProgressBar(refresh_rate=2, leave=False))
    stopping = training.early_stopping
    if stopping.patience is not None:
        callbacks.append(EarlyStopping(training.monitor, stopping.min_delta, stopping.patience, mode=training.mode))
    nodes = config.trainer.nodes
    count = parallel.world() // nodes
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=count,
        num_nodes=nodes,
        strategy=parallel.strategy(config.trainer.name, parallel.world()),
        sync_batchnorm=device.type == "cuda" and parallel.world() > 1,
        deterministic=config.trainer.deterministic,
        max_epochs=training.max_epochs,
        callbacks=callbacks,
        plugins=[CheckpointFiles(), parallel.environment()],
        logger=False,  # the recorder journals
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=bar,
    )


def prepare_device(config: Config) -> torch.device:
    """Of this process: launch.py has looked whether it is there."""
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    if torch.cuda.is_available() and config.trainer.name != "cpu":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def on_device(tensors: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """The whole split on the GPU if it takes at most half of what is free there; otherwise as it is."""
    if device.type != "cuda":
        return tensors
    size = sum(tensor.nbytes for tensor in tensors.values())
    return {k: v.to(device) for k, v in tensors.items()} if 2 * size < torch.cuda.mem_get_info()[0] else tensors


def resume_from(folder: Path) -> Path | None:
    checkpoint, damaged = newest(folder)
    for file in damaged:
        about = "it" if file.suffix == ".safetensors" else "it, or the best weights up to it,"
        print(f"{file.name} is damaged: the SHA-256 of {about} is not the one in the name; going back one", flush=True)
        file.unlink()
    if damaged and checkpoint is None:
        print("no checkpoint is whole: starting from the beginning", flush=True)
    if checkpoint is not None:
        print(f"resuming at step {int(checkpoint.name.partition('-')[0])}", flush=True)
    return checkpoint


def quieten() -> None:
    """Lightning's hints about devices and tips; its warnings stay."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # All values that are logged are sums over the processes already
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self.log\(.*sync_dist=True")
    # Lightning 2.6 asks torch's pytree a question that torch 2.13 has renamed
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
