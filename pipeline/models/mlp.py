"""A multilayer perceptron on flattened inputs."""

import math
from typing import Any

from torch import nn

from pipeline.models.layers import dense, initialise


def build(settings: dict[str, Any], encoder: dict[str, Any], outputs: int) -> nn.Module:
    """`settings` as in conf/model/mlp.yaml; inputs (B, …) → (B, outputs)."""
    hidden, features = dense(math.prod(encoder["shape"]), settings)
    net = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(features, outputs))
    initialise(net, settings["init"])
    return net
