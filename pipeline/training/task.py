"""The one LightningModule: loss, metrics, optimiser and schedule around a plain network."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from pipeline.config.schema import Config
from pipeline.models.network import Network
from pipeline.project.errors import TrainingError


class Task(pl.LightningModule):
    def __init__(self, network: Network, config: Config, classes: int):
        super().__init__()
        self.network = network
        if config.training.compile:
            network.compile()
        self.config = config
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        # Sums over the epoch so far, in the checkpoint: a resumed epoch reports the same means.
        self.register_buffer("train_sums", torch.zeros(2, dtype=torch.float64))  # loss, right
        self.register_buffer("val_loss", torch.zeros((), dtype=torch.float64))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        inputs, targets = batch
        logits = self.network(inputs)  # (B, classes)
        loss = cross_entropy(logits, targets)
        with torch.no_grad():
            right = (logits.argmax(dim=1) == targets).sum()
            self.train_sums += torch.stack((loss.detach().double() * len(targets), right.double()))
        if loss.device.type == "cpu":
            self.require_finite(loss)
        return loss

    def require_finite(self, loss: Tensor) -> None:
        """Called each step on the CPU; on a GPU, where it would wait for the device, at each logged point."""
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.global_step} of epoch {self.current_epoch}; training stopped "
                f"and no weights of it are kept.\nGiven optimizer.lr={self.config.optimizer.lr}; "
                f"try a tenth: optimizer.lr={self.config.optimizer.lr / 10:g}, or training.gradient_clip=1.0"
            )

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        inputs, targets = batch
        logits = self.network(inputs)
        self.val_loss += cross_entropy(logits.float(), targets, reduction="sum")
        self.val_accuracy.update(logits, targets)

    def on_validation_epoch_end(self) -> None:
        loss = self.val_loss / self.val_accuracy.tp.new_tensor(self.trainer.val_dataloaders.targets.shape[0])
        self.require_finite(loss)
        self.log_dict({"val/loss": loss.float(), "val/accuracy": self.val_accuracy.compute()})
        self.val_accuracy.reset()
        self.val_loss.zero_()

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.epoch = self.current_epoch

    def on_train_epoch_end(self) -> None:
        loss, accuracy = self.train_sums / self.trainer.train_dataloader.targets.shape[0]
        self.require_finite(loss)
        self.log_dict({"train/epoch_loss": loss.float(), "train/accuracy": accuracy.float()})
        self.train_sums.zero_()

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = build_optimizer(self.network, self.config)
        if self.config.schedule.name == "constant":
            return {"optimizer": optimizer}
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def rate(self, step: int) -> float:
        """The share of the learning rate at an optimiser step: linear warm-up, then half a cosine."""
        schedule = self.config.schedule
        total = self.trainer.estimated_stepping_batches
        warmup = round(schedule.warmup * total)
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, total - warmup)
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def build_optimizer(network: Network, config: Config) -> torch.optim.Optimizer:
    """The optimiser that config.optimizer.name names; fused, one kernel for all parameters, where Lightning allows it.

    Under autocast Lightning refuses to clip the gradients of a fused optimiser.
    """
    classes = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    arguments = config.optimizer.model_dump(exclude={"name"})
    fused = config.training.precision == "32" or config.training.gradient_clip is None
    return classes[config.optimizer.name](network.parameters(), fused=fused, **arguments)
