"""A net and the scaling of its inputs, as one module: the store's tensors in, logits out."""

import importlib
from typing import Any

from torch import Tensor, nn


class Network(nn.Module):
    """Scales on the device, so that pixels are stored, moved and served as bytes: four times less than floats."""

    def __init__(self, net: nn.Module, scaling: dict[str, float] | None):
        super().__init__()
        self.net = net
        self.scaling = scaling

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, …) as in the store → (B, classes) logits."""
        if self.scaling is not None:
            inputs = inputs * self.scaling["multiply"]  # bytes by a number: float32
            if self.scaling["add"]:
                inputs += self.scaling["add"]
        return self.net(inputs)


def build(settings: dict[str, Any], encoder: dict[str, Any]) -> Network:
    """The net that `settings["name"]` names: pipeline/models/NAME.py and its `build(settings, encoder)`."""
    module = importlib.import_module(f"pipeline.models.{settings['name']}")
    return Network(module.build(settings, encoder), encoder.get("scaling"))
