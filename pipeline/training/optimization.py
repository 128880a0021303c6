"""Optimisers and schedules, by the names that conf/ gives them; a rate is a function of the step, and so no state."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pipeline.config.schema import Config

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}

Rate = Callable[[int, Sequence[float]], float]  # of the step and the monitored values of the epochs so far


def build_optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters. Those that need no gradient are left out."""
    arguments = config.optimizer.model_dump(exclude={"name", "l1"})
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return OPTIMIZERS[config.optimizer.name](trained, fused=True, **arguments)


def l1_weights(network: nn.Module, l1: float) -> list[Tensor]:
    """The weights that `l1` is on: matrices and kernels, no biases and norms; none where it is 0."""
    return [weight for weight in network.parameters() if weight.requires_grad and weight.ndim > 1] if l1 else []


def add_l1(weights: list[Tensor], l1: float) -> None:
    """Adds the gradient of l1 × Σ|w| to that of the loss."""
    for weight in weights:
        weight.grad.add_(weight.detach().sign(), alpha=l1)


def learning_rate(config: Config, steps_per_epoch: int) -> Rate:
    schedule, lr = config.schedule, config.optimizer.lr
    total = steps_per_epoch * config.training.max_epochs
    if schedule.name == "step":
        return lambda step, monitored: lr * schedule.factor ** (step // (schedule.every * steps_per_epoch))
    if schedule.name == "cosine":
        start = round(schedule.warmup * total)
        return lambda step, monitored: (
            lr * (step + 1) / start
            if step < start
            else lr * between(1.0, schedule.floor, (step - start) / max(1, total - start))
        )
    if schedule.name == "one_cycle":
        top = max(1, round(schedule.warmup * total))
        return lambda step, monitored: (
            lr
            * (
                between(schedule.start, 1.0, step / top)
                if step < top
                else between(1.0, schedule.end, (step - top) / max(1, total - top))
            )
        )
    if schedule.name == "plateau":
        sign = 1 if config.training.mode == "max" else -1
        least = config.training.early_stopping.min_delta
        return lambda step, monitored: (
            lr * schedule.factor ** plateaus([sign * value for value in monitored], schedule.patience, least)
        )
    return lambda step, monitored: lr


def between(first: float, last: float, done: float) -> float:
    """Half a cosine from `first` to `last`."""
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def plateaus(values: Sequence[float], patience: int, least: float) -> int:
    """How often more than `patience` epochs in a row did not better the best value by more than `least`."""
    number, best, waited = 0, -math.inf, 0
    for value in values:
        best, waited = (value, 0) if value > best + least else (best, waited + 1)
        if waited > patience:
            number, waited = number + 1, 0
    return number
