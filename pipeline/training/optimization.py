"""Optimisers and schedules, by the names that conf/ gives them; a rate is a function of the step, and so no state."""

import math
from collections.abc import Callable

import torch

from pipeline.config.schema import Config
from pipeline.models.network import Network

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def build_optimizer(network: Network, config: Config) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters."""
    arguments = config.optimizer.model_dump(exclude={"name"})
    return OPTIMIZERS[config.optimizer.name](network.parameters(), fused=True, **arguments)


def learning_rate(config: Config, rows: int) -> Callable[[int], float]:
    """The learning rate as a function of the optimiser step, over max_epochs epochs of `rows` rows."""
    schedule, lr = config.schedule, config.optimizer.lr
    if schedule.name == "constant":
        return lambda step: lr
    total = -(-rows // config.training.batch_size) * config.training.max_epochs
    warmup = round(schedule.warmup * total)

    def at(step: int) -> float:
        if step < warmup:
            return lr * (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        return lr * (schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * done)) / 2)

    return at
