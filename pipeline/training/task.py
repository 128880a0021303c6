"""The one LightningModule: objective, optimiser and schedule around a network.

Lightning's own loop costs over a millisecond a step, a third of a step of a small net. So what Lightning sees as a
batch is a block of several optimiser steps, which run here back to back.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from pipeline.config.schema import Config
from pipeline.models.network import Network
from pipeline.project.errors import TrainingError
from pipeline.training import parallel
from pipeline.training.augmentation import augment
from pipeline.training.loader import BatchLoader
from pipeline.training.objective import Objective
from pipeline.training.optimization import add_l1, build_optimizer, l1_weights, learning_rate


class Task(pl.LightningModule):
    automatic_optimization = False
    train_sums: Tensor
    quality: Tensor
    val_loss: Tensor

    def __init__(self, network: Network, objective: Objective, config: Config, rows: int, bf16: bool):
        """`rows`: of the training split, for the length of the schedule and the means of an epoch."""
        super().__init__()
        if config.training.compile:
            network.compile()
        self.network = network
        self.objective = objective
        self.config = config
        self.rows = rows
        self.bf16 = bf16
        self.learning_rate = learning_rate(config, -(-rows // config.training.batch_size))
        self.steps = 0  # optimiser steps so far
        self.monitored: list[float] = []  # the monitored value of each epoch so far
        # Sums over the epoch so far, in the checkpoint: a resumed epoch reports the same means.
        self.register_buffer("train_sums", torch.zeros(2, dtype=torch.float64))  # loss, quality
        self.register_buffer("quality", torch.zeros((), dtype=torch.float64), persistent=False)  # of a block
        self.register_buffer("val_loss", torch.zeros((), dtype=torch.float64))

    def configure_model(self) -> None:
        if self.config.trainer.name == "fsdp" and parallel.world() > 1:
            mesh = cast("DeviceMesh", self.device_mesh)  # parallel.Shards has made it by now
            parallel.shard(self.network, mesh["data_parallel"])

    def configure_optimizers(self) -> Any:
        self.l1_weights = l1_weights(self.network, self.config.optimizer.l1)
        return build_optimizer(self.network, self.config)

    def training_step(self, block: tuple[Tensor, Tensor], index: int) -> dict[str, Any]:
        """One optimiser step for each batch of the block; their losses (K,) and learning rates."""
        # the one of configure_optimizers, as it is
        optimizer = cast("torch.optim.Optimizer", self.optimizers(use_pl_optimizer=False))
        size = self.config.training.batch_size
        losses: list[Tensor] = []
        rates: list[float] = []
        sizes: list[int] = []
        self.quality.zero_()
        for inputs, targets in zip(*(torch.split(tensor, size) for tensor in block), strict=True):
            rates.append(self.learning_rate(self.steps + len(rates), self.monitored))
            for group in optimizer.param_groups:
                group["lr"] = rates[-1]
            optimizer.zero_grad()
            losses.append(self.forward_and_backward(inputs, targets))
            sizes.append(len(targets))
            parallel.sum_gradients(self.network)
            add_l1(self.l1_weights, self.config.optimizer.l1)
            if self.config.training.gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.training.gradient_clip)
            optimizer.step()
        *summed, quality = parallel.total(torch.stack([*losses, self.quality]))
        means = torch.stack(summed)  # (K,)
        self.require_finite(means)
        self.train_sums += torch.stack([(means * torch.tensor(sizes, device=means.device)).sum(), quality])
        self.steps += len(losses)
        return {"losses": means, "rates": rates}

    def forward_and_backward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Adds the gradient of the batch's mean loss, in training.accumulate parts; returns that loss.

        Of this process's share alone: the sum over the processes is that of the batch.
        """
        accumulate = self.config.training.accumulate
        parts = zip(inputs.chunk(accumulate), targets.chunk(accumulate), strict=True)
        # of one part at least, so never sum's own 0
        return cast("Tensor", sum(self.part(some, wanted, len(targets)) for some, wanted in parts))

    def part(self, inputs: Tensor, targets: Tensor, batch: int) -> Tensor:
        """`batch`: rows of the whole batch."""
        (inputs, targets), count = parallel.share(inputs, targets)
        if self.config.training.augmentation.on:
            inputs = augment(inputs, self.config.training.augmentation)
        with self.autocast():
            outputs = self.network(inputs)  # (B, outputs)
        outputs, targets = outputs[:count].float(), targets[:count]
        loss = self.objective.losses(outputs, targets).sum() / batch
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.quality += self.objective.qualities(outputs.detach(), targets)
        return loss.detach().double()

    def autocast(self) -> AbstractContextManager[Any]:
        """Not Lightning's, which spans a block: it would keep the first step's casts of the weights for the others."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

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
        (inputs, targets), count = parallel.share(*batch)
        with self.autocast():
            outputs = self.network(inputs)
        outputs, targets = outputs[:count].float(), targets[:count]
        self.val_loss += self.objective.losses(outputs, targets).double().sum()
        if count:
            self.objective.update(outputs, targets, inputs)

    def on_validation_epoch_end(self) -> None:
        rows = len(cast("BatchLoader", self.trainer.val_dataloaders).targets)  # fit.py's
        loss = parallel.total(self.val_loss) / rows
        self.require_finite(loss.reshape(1))
        values = {"val/loss": loss.float(), **self.objective.compute()}
        self.log_dict(values)
        if (monitor := self.config.training.monitor) not in values:
            raise TrainingError(
                f"{monitor} is not defined on these {rows} rows of validation.\n"
                "Choose another: training.monitor=val/loss"
            )
        self.monitored.append(values[monitor].item())
        self.val_loss.zero_()

    def on_train_epoch_start(self) -> None:
        cast("BatchLoader", self.trainer.train_dataloader).epoch = self.current_epoch

    def on_train_epoch_end(self) -> None:
        loss, quality = self.train_sums / self.rows
        self.log_dict({"train/epoch_loss": loss.float(), f"train/{self.objective.quality}": quality.float()})
        self.train_sums.zero_()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["global_step"] = self.steps  # Lightning counts steps of its own optimisers alone
        checkpoint["monitored"] = self.monitored

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.steps, self.monitored = checkpoint["global_step"], checkpoint["monitored"]
