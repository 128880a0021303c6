"""Optimisers and schedules, by the names that conf/ gives them; a rate is a function of the step, and so no state."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from pipeline.config.schema import Config, Constant, Cosine, OneCycle, Plateau, Step
from pipeline.project.errors import ConfigError
from pipeline.tasks.metrics import sign

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

Rate = Callable[[int, Sequence[float]], float]  # of the step and the monitored values of the epochs so far


def build_optimizer(network: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters. Those that need no gradient are left out."""
    arguments = config.optimizer.model_dump(exclude={"name", "l1"})
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return OPTIMIZERS[known("optimizer", config.optimizer.name, OPTIMIZERS)](trained, fused=True, **arguments)


def l1_weights(network: nn.Module, l1: float) -> list[Tensor]:
    """The weights that `l1` is on: matrices and kernels, no biases and norms; none where it is 0."""
    return [weight for weight in network.parameters() if weight.requires_grad and weight.ndim > 1] if l1 else []


def add_l1(weights: list[Tensor], l1: float) -> None:
    """Adds the gradient of l1 × Σ|w| to that of the loss."""
    for weight in weights:
        gradient = cast("Tensor", weight.grad)  # each of them is in the loss
        gradient.add_(weight.detach().sign(), alpha=l1)


def learning_rate(config: Config, steps_per_epoch: int) -> Rate:
    return SCHEDULES[known("schedule", config.schedule.name, SCHEDULES)](config.schedule, config, steps_per_epoch)


def known(group: str, name: str, made: Mapping[str, Any]) -> str:
    """The name; ConfigError where conf/ has one that nothing here is made for: it is never taken for another."""
    if name not in made:
        raise ConfigError(f"{group} {name!r} is in conf/, and nothing makes it; there are {', '.join(made)}")
    return name


def constant(schedule: Constant, config: Config, steps_per_epoch: int) -> Rate:
    return lambda step, monitored: config.optimizer.lr


def step(schedule: Step, config: Config, steps_per_epoch: int) -> Rate:
    """× factor every so many epochs."""
    lr = config.optimizer.lr
    return lambda step, monitored: lr * schedule.factor ** (step // (schedule.every * steps_per_epoch))


def cosine(schedule: Cosine, config: Config, steps_per_epoch: int) -> Rate:
    """A straight line up, then half a cosine down to `floor`."""
    lr, total = config.optimizer.lr, steps_per_epoch * config.training.max_epochs
    start = round(schedule.warmup * total)

    def rate(step: int, monitored: Sequence[float]) -> float:
        if step < start:
            return lr * (step + 1) / start
        return lr * between(1.0, schedule.floor, (step - start) / max(1, total - start))

    return rate


def one_cycle(schedule: OneCycle, config: Config, steps_per_epoch: int) -> Rate:
    """Half a cosine up, and half a one down."""
    lr, total = config.optimizer.lr, steps_per_epoch * config.training.max_epochs
    top = max(1, round(schedule.warmup * total))

    def rate(step: int, monitored: Sequence[float]) -> float:
        if step < top:
            return lr * between(schedule.start, 1.0, step / top)
        return lr * between(1.0, schedule.end, (step - top) / max(1, total - top))

    return rate


def plateau(schedule: Plateau, config: Config, steps_per_epoch: int) -> Rate:
    """× factor whenever the monitored value has not become better for some epochs."""
    lr, way = config.optimizer.lr, sign(config.training.monitor)
    least = config.training.early_stopping.min_delta
    return lambda step, monitored: (
        lr * schedule.factor ** plateaus([way * value for value in monitored], schedule.patience, least)
    )


# Any: the settings of config.schedule that have the name
SCHEDULES: dict[str, Callable[[Any, Config, int], Rate]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "plateau": plateau,
}


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
