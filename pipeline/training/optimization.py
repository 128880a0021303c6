"""Optimisers and schedules, by the names that conf/ gives them."""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR

from pipeline.config.schema import Config
from pipeline.models.network import Network

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def build_optimizer(network: Network, config: Config) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters."""
    arguments = config.optimizer.model_dump(exclude={"name"})
    return OPTIMIZERS[config.optimizer.name](network.parameters(), fused=True, **arguments)


def build_schedule(optimizer: torch.optim.Optimizer, config: Config, rows: int) -> LambdaLR:
    """The learning rate by optimiser step, over the `rows` of max_epochs epochs."""
    schedule = config.schedule
    if schedule.name == "constant":
        return LambdaLR(optimizer, lambda step: 1.0)
    total = -(-rows // config.training.batch_size) * config.training.max_epochs
    warmup = round(schedule.warmup * total)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, share)
