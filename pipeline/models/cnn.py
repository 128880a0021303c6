"""A convolutional net: convolutions and poolings, then dense layers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pipeline.models.layers import ACTIVATIONS, dense, initialise
from pipeline.project.errors import ConfigError


def build(settings: dict[str, Any], encoder: dict[str, Any], outputs: int) -> nn.Module:
    """`settings` as in conf/model/cnn.yaml; inputs (B, C, H, W) → (B, outputs)."""
    channels, *size = encoder["shape"]
    layers: list[nn.Module] = []
    for layer in settings["layers"]:
        if layer == "pool":
            pool(layers, size, settings)
        else:
            layers += convolution(channels, layer, size, settings)
            channels = layer
    hidden, features = dense(channels * size[0] * size[1], settings)
    net = nn.Sequential(*layers, nn.Flatten(), *hidden, nn.Linear(features, outputs))
    initialise(net, settings["init"])
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it


def convolution(channels: int, wanted: int, size: list[int], settings: dict[str, Any]) -> list[nn.Module]:
    """Convolution → norm → activation; `size` becomes that of what leaves."""
    shrink(size, lambda side: side - settings["kernel"] + 1, settings)
    norms: dict[str, list[nn.Module]] = {
        "none": [],
        "batch": [nn.BatchNorm2d(wanted)],
        "layer": [nn.GroupNorm(1, wanted)],
    }
    return [
        nn.Conv2d(channels, wanted, settings["kernel"]),
        *norms[settings["norm"]],
        ACTIVATIONS[settings["activation"]](),
    ]


def pool(layers: list[nn.Module], size: list[int], settings: dict[str, Any]) -> None:
    """Before a ReLU that is the last layer: bit for bit the same values and gradients, and a quarter of its work."""
    shrink(size, lambda side: side // 2, settings)
    layers.insert(len(layers) - (bool(layers) and isinstance(layers[-1], nn.ReLU)), nn.MaxPool2d(2))


def shrink(size: list[int], smaller: Callable[[int], int], settings: dict[str, Any]) -> None:
    size[:] = [smaller(side) for side in size]
    if min(size) < 1:
        raise ConfigError(
            f"model.layers={settings['layers']} with model.kernel={settings['kernel']} leaves nothing of the picture.\n"
            "Give fewer layers, fewer poolings, or a smaller kernel"
        )
