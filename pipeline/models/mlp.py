"""A multilayer perceptron on flattened inputs."""

import math
from typing import Any

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


class MLP(nn.Module):
    def __init__(self, features: int, classes: int, widths: list[int], activation: str, dropout: float):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for width in widths:
            layers += [nn.Linear(features, width), ACTIVATIONS[activation]()]
            layers += [nn.Dropout(dropout)] if dropout else []
            features = width
        self.layers = nn.Sequential(*layers, nn.Linear(features, classes))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)  # (B, …) → (B, classes)


def build(settings: dict[str, Any], encoder: dict[str, Any]) -> nn.Module:
    """`settings` as in conf/model/mlp.yaml."""
    arguments = {key: value for key, value in settings.items() if key != "name"}
    return MLP(math.prod(encoder["shape"]), len(encoder["labels"]), **arguments)
