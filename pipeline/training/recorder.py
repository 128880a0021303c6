"""What a training leaves behind while it runs: points in the journal, a row for each epoch, the best weights."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from safetensors.torch import save_file

from pipeline.config.schema import Training
from pipeline.tracking.journal import Journal
from pipeline.training import parallel
from pipeline.training.files import drop_weights_before, named


class Recorder(Checkpoint):  # Lightning calls a Checkpoint's hooks last, when all metrics of the epoch are in
    def __init__(self, folder: Path, journal: Journal | None, training: Training, every: int):
        """`journal`: None in all but the first of several processes."""
        self.folder = folder
        self.journal = journal
        self.monitor = training.monitor
        self.sign = 1 if training.mode == "max" else -1
        self.every = every
        self.best: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        self.began = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.history = state_dict["best"], state_dict["history"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.began = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.journal is None:
            return
        first = pl_module.steps - len(outputs["rates"]) + 1
        losses = outputs["losses"].tolist()
        for step, loss, rate in zip(range(first, pl_module.steps + 1), losses, outputs["rates"], strict=True):
            if step % self.every == 0:
                self.journal.metrics(step, {"train/loss": loss, "train/lr": rate})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        value = trainer.callback_metrics[self.monitor].item()
        if self.best is not None and self.sign * value <= self.sign * self.best["value"]:
            return
        state = parallel.whole_state(pl_module.network)
        file = None
        if parallel.rank() == 0:
            saved = named(self.folder, pl_module.steps, ".safetensors", lambda file: save_file(state, file))
            drop_weights_before(saved)
            file = saved.name
        self.best = {
            "epoch": trainer.current_epoch + 1,
            "step": pl_module.steps,
            "monitor": self.monitor,
            "value": value,
            "file": parallel.of_first(file),
        }

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        values = {name: tensor.item() for name, tensor in sorted(trainer.callback_metrics.items())}
        seconds = time.monotonic() - self.began
        if self.journal is None:
            return
        self.journal.metrics(pl_module.steps, values | {"time/epoch_seconds": seconds})
        values["train/loss"] = values.pop("train/epoch_loss")  # over the epoch: the journal's train/loss is by step
        self.history.append({"epoch": trainer.current_epoch + 1, "step": pl_module.steps, **values})
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {shown}  {seconds:.1f} s", flush=True)
