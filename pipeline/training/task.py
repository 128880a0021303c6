"""The one LightningModule: loss, metrics, optimiser and schedule around a plain network.

Lightning's own loop costs over a millisecond a step, a third of a step of a small net. So what Lightning sees as a
batch is a block of several optimiser steps, which run here back to back.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from pipeline.config.schema import Config
from pipeline.models.network import Network
from pipeline.project.errors import TrainingError
from pipeline.training.optimization import build_optimizer, learning_rate


class Task(pl.LightningModule):
    automatic_optimization = False

    def __init__(self, network: Network, config: Config, classes: int, rows: int):
        """`rows`: of the training split, for the length of the schedule and the means of an epoch."""
        super().__init__()
        if config.training.compile:
            network.compile()
        self.network = network
        self.config = config
        self.rows = rows
        self.learning_rate = learning_rate(config, rows)
        self.steps = 0  # optimiser steps so far
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        # Sums over the epoch so far, in the checkpoint: a resumed epoch reports the same means.
        self.register_buffer("train_sums", torch.zeros(2, dtype=torch.float64))  # loss, right
        self.register_buffer("val_loss", torch.zeros((), dtype=torch.float64))

    def configure_optimizers(self) -> Any:
        return build_optimizer(self.network, self.config)

    def training_step(self, block: tuple[Tensor, Tensor], index: int) -> dict[str, Any]:
        """One optimiser step for each batch of the block; their losses (K,) and learning rates."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        size = self.config.training.batch_size
        losses, logits, rates = [], [], []
        for inputs, targets in zip(block[0].split(size), block[1].split(size), strict=True):
            rates.append(self.learning_rate(self.steps + len(rates)))
            for group in optimizer.param_groups:
                group["lr"] = rates[-1]
            optimizer.zero_grad()
            loss, outputs = self.forward_and_backward(inputs, targets)
            if self.config.training.gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.training.gradient_clip)
            optimizer.step()
            losses.append(loss)
            logits.append(outputs)
        means = torch.stack(losses)  # (K,)
        self.require_finite(means)
        self.add_up(means, torch.cat(logits), block[1])
        self.steps += len(losses)
        return {"losses": means, "rates": rates}

    def add_up(self, means: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Adds a block's losses (K,) and right answers, of logits (B, classes), to those of the epoch."""
        counts = torch.full_like(means, self.config.training.batch_size)
        counts[-1] = len(targets) - self.config.training.batch_size * (len(means) - 1)
        self.train_sums[0] += (means * counts).double().sum()
        self.train_sums[1] += (logits.argmax(dim=1) == targets).sum()

    def forward_and_backward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the gradient of the batch's mean loss, in as many parts as training.accumulate says: loss, logits."""
        accumulate = self.config.training.accumulate
        if accumulate == 1:
            return self.part(inputs, targets, 1.0)
        parts = [
            self.part(some, labels, len(labels) / len(targets))
            for some, labels in zip(inputs.chunk(accumulate), targets.chunk(accumulate), strict=True)
        ]
        return sum(loss for loss, _ in parts), torch.cat([logits for _, logits in parts])

    def part(self, inputs: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        with self.autocast():
            logits = self.network(inputs)  # (B, classes)
        loss = cross_entropy(logits.float(), targets)
        loss = loss if share == 1.0 else loss * share
        loss.backward()
        return loss.detach(), logits.detach()

    def autocast(self) -> AbstractContextManager:
        """Not Lightning's, which spans a block: it would keep the first step's casts of the weights for the others."""
        if self.config.training.precision == "32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def require_finite(self, losses: Tensor) -> None:
        """`losses` (K,) of the steps from self.steps on; one wait for the device, however many they are."""
        bad = losses.isfinite().logical_not()
        if bad.any():
            first = int(bad.nonzero()[0])
            lr = self.config.optimizer.lr
            raise TrainingError(
                f"the loss is {losses[first].item()} at step {self.steps + first} of epoch {self.current_epoch + 1}; "
                f"training stopped and these weights are not kept.\nGiven optimizer.lr={lr:g}; "
                f"try a tenth: optimizer.lr={lr / 10:g}, or training.gradient_clip=1.0"
            )

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        inputs, targets = batch
        with self.autocast():
            logits = self.network(inputs)
        self.val_loss += cross_entropy(logits.float(), targets, reduction="sum")
        self.val_accuracy.update(logits, targets)

    def on_validation_epoch_end(self) -> None:
        loss = self.val_loss / len(self.trainer.val_dataloaders.targets)
        self.require_finite(loss.reshape(1))
        self.log_dict({"val/loss": loss.float(), "val/accuracy": self.val_accuracy.compute()})
        self.val_accuracy.reset()
        self.val_loss.zero_()

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.epoch = self.current_epoch

    def on_train_epoch_end(self) -> None:
        loss, accuracy = self.train_sums / self.rows
        self.log_dict({"train/epoch_loss": loss.float(), "train/accuracy": accuracy.float()})
        self.train_sums.zero_()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["global_step"] = self.steps  # Lightning counts steps of its own optimisers alone

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps = checkpoint["global_step"]
