"""When a checkpoint is saved, with what, and how Lightning's way to disk comes to the files of files.py."""

import pickle
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from pipeline.config.schema import Trainer
from pipeline.project.errors import TrainingError
from pipeline.project.files import quoted
from pipeline.tracking.journal import Journal
from pipeline.training import parallel
from pipeline.training.files import named
from pipeline.training.stops import Interrupted

KEPT = 2


class CheckpointFiles(CheckpointIO):
    """Lightning's way to disk: atomic, with a digest, and read back with weights_only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """`path` gives the folder; the file's name comes from the step and the digest."""
        folder = Path(path).parent
        saved = named(folder, checkpoint["global_step"], ".ckpt", lambda file: write(checkpoint, file))
        for old in [file for file in sorted(folder.glob("[0-9]*.ckpt")) if file != saved][: 1 - KEPT or None]:
            old.unlink()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        try:
            return torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise TrainingError(
                f"{path} is no checkpoint of a training: it holds more than tensors, numbers and text, which could run "
                f"code. It is refused, and nothing of it has run.\nType: rm {quoted(path)}"
            ) from error

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def write(checkpoint: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:  # given a path, torch.save would hide why it can't be written
        torch.save(checkpoint, file)


class Checkpointer(Checkpoint):  # Lightning calls these last, in their order: the recorder has written its points
    """Saves every so many seconds or steps, between two blocks of steps, with the state of every random generator.

    Seldomer where a save takes long: saving takes at most checkpoint_share of the time. Never after the last block
    of an epoch: there Lightning would resume past the validation that is still due.
    """

    def __init__(self, folder: Path, settings: Trainer, seed: int, journal: Journal | None):
        self.folder = folder
        self.journal = journal
        self.settings = settings
        self.seed = seed
        self.saved_at, self.saved_step = time.monotonic(), 0
        self.cost = 0.0  # seconds that the last save took
        self.signum = 0
        self.random: list[dict[str, Any]] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes SIGTERM and SIGINT, as Lightning's own handlers would end a run without a checkpoint."""
        before = {signum: signal.signal(signum, self.interrupt) for signum in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        except SIGTERMException:  # Lightning's, of a signal that came before on_train_start
            raise Interrupted(signal.SIGTERM) from None
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def interrupt(self, signum: int, frame: Any) -> None:
        self.signum = signum

    def state_dict(self) -> dict[str, Any]:
        return {"random": parallel.gathered(random_state())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.random = state_dict["random"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):  # Lightning has put its own SIGTERM handler around this one
            signal.signal(signum, self.interrupt)
        self.saved_at, self.saved_step = time.monotonic(), pl_module.steps
        rank, world = parallel.rank(), parallel.world()
        if self.random is not None and len(self.random) == world:
            restore(self.random[rank])
        elif rank or self.random is not None:  # rank 0 goes on from the seed that the net was made with
            torch.manual_seed(self.seed + (rank << 32) + pl_module.steps)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        signum, due = divmod(parallel.highest(2 * self.signum + self.due(pl_module.steps), pl_module.device), 2)
        last = batch_idx + 1 == trainer.num_training_batches
        if (due or signum) and not last:
            began = time.monotonic()
            if self.journal is not None:
                self.journal.fsync()  # no checkpoint outlives a power cut that takes a point from before it
            trainer.save_checkpoint(self.folder / "any.ckpt", weights_only=False)
            self.saved_at, self.saved_step = time.monotonic(), pl_module.steps
            self.cost = self.saved_at - began
        if signum and (not last or batch_idx == 0):  # after the last block: in the next epoch
            raise Interrupted(signum)

    def due(self, step: int) -> bool:
        passed, settings = time.monotonic() - self.saved_at, self.settings
        if settings.checkpoint_steps is not None:
            return step - self.saved_step >= settings.checkpoint_steps
        return passed >= max(settings.checkpoint_seconds, self.cost / settings.checkpoint_share)


def random_state() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
        "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        "python": list(random.getstate()),
    }


def restore(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    for one in state["cuda"]:
        torch.cuda.set_rng_state(one)
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
