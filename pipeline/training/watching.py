"""A trial of a sweep tells its worker the score of each epoch, and stops where the worker says so."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import AuthenticationError
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from pipeline.training import parallel
from pipeline.training.channel import Watcher
from pipeline.training.stops import Pruned


class Watched(Checkpoint):  # after the recorder: an epoch is journalled before anybody stops it
    def __init__(self, watcher: Watcher, monitor: str):
        """Of several processes the first one asks, and all of them stop together."""
        self.monitor = monitor
        with ending_with_the_worker():
            self.connection = watcher.connect() if parallel.rank() == 0 else None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        epoch, stop = trainer.current_epoch + 1, None
        if self.connection is not None:
            with ending_with_the_worker():
                self.connection.send(("epoch", (epoch, trainer.callback_metrics[self.monitor].item())))
                stop = self.connection.recv()
        if parallel.of_first(stop) and trainer.max_epochs is not None and epoch < trainer.max_epochs:
            raise Pruned(epoch)


@contextmanager
def ending_with_the_worker() -> Iterator[None]:
    """A worker that has gone is no failure of its trial: another one goes on with it, from the checkpoint."""
    try:
        yield
    except (EOFError, OSError, AuthenticationError):
        os._exit(1)
