"""Checkpoints that are whole or absent: `<step>-<sha256>.ckpt`, written beside, fsynced, then renamed.

The name carries the digest, so a damaged file is known as such; the newest that verifies is used, the one before kept.
"""

import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO

from pipeline.project.files import sha256, write_atomically

KEPT = 2


class Interrupted(BaseException):
    """A SIGTERM or SIGINT, raised between two blocks of steps once the checkpoint is safe."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


def named(folder: Path, step: int, suffix: str, write: Any) -> Path:
    """Writes a file under a name that carries its step and digest."""
    temporary = folder / f".{step:08d}{suffix}"
    write_atomically(temporary, write)
    path = folder / f"{step:08d}-{sha256(temporary)}{suffix}"
    temporary.replace(path)
    return path


def verified(path: Path) -> bool:
    return path.stem.partition("-")[2] == sha256(path)


def newest(folder: Path, suffix: str = ".ckpt") -> tuple[Path | None, list[Path]]:
    """The newest file that is whole, and those newer ones that are damaged."""
    damaged = []
    for path in sorted(folder.glob(f"[0-9]*-*{suffix}"), reverse=True):
        if verified(path):
            return path, damaged
        damaged.append(path)
    return None, damaged


class CheckpointFiles(CheckpointIO):
    """Lightning's way to disk: atomic, with a digest, and read back with weights_only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """`path` gives the folder; the file's name comes from the step and the digest."""
        folder = Path(path).parent
        saved = named(folder, checkpoint["global_step"], ".ckpt", lambda file: torch.save(checkpoint, file))
        for old in [file for file in sorted(folder.glob("[0-9]*.ckpt")) if file != saved][: 1 - KEPT or None]:
            old.unlink()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class Checkpointer(pl.Callback):
    """Saves every so many seconds, between two blocks of steps, with the state of every random generator.

    Never after the last block of an epoch: there Lightning would resume past the validation that is still due.
    """

    def __init__(self, folder: Path, seconds: float):
        self.folder = folder
        self.seconds = seconds
        self.saved_at = time.monotonic()
        self.signum: int | None = None
        self.before: dict[int, Any] = {}  # the handlers that stood here before
        self.random: dict[str, Any] | None = None

    def interrupt(self, signum: int, frame: Any) -> None:
        self.signum = signum

    def unlisten(self) -> None:
        """Gives signals back to whoever had them: for what comes after a training, a next one perhaps."""
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def state_dict(self) -> dict[str, Any]:
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
            "python": list(random.getstate()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.random = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):  # instead of Lightning's, which end a run without a checkpoint
            self.before[signum] = signal.signal(signum, self.interrupt)
        self.saved_at = time.monotonic()
        if self.random is None:
            return
        torch.set_rng_state(self.random["torch"])
        if self.random["cuda"]:
            torch.cuda.set_rng_state_all(self.random["cuda"])
        name, keys, *rest = self.random["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
        version, internal, gauss = self.random["python"]
        random.setstate((version, tuple(internal), gauss))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        due = self.signum is not None or time.monotonic() - self.saved_at >= self.seconds
        last = batch_idx + 1 == trainer.num_training_batches
        if due and not last:
            trainer.save_checkpoint(self.folder / "any.ckpt", weights_only=False)
            self.saved_at = time.monotonic()
        if self.signum is not None and (not last or batch_idx == 0):  # after the last block: in the next epoch
            raise Interrupted(self.signum)
