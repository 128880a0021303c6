"""What nets are built of: activations, norms, initialisations, a stack of dense layers."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU}
INITIALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier": nn.init.xavier_uniform_,  # Glorot and Bengio, 2010
    "kaiming": nn.init.kaiming_normal_,  # He et al., 2015, arXiv:1502.01852
    "orthogonal": nn.init.orthogonal_,  # Saxe et al., 2014, arXiv:1312.6120
}


def dense(features: int, settings: dict[str, Any]) -> tuple[list[nn.Module], int]:
    """The layers of settings["widths"], each linear → norm → activation → dropout; and the features that leave."""
    norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    layers: list[nn.Module] = []
    for width in settings["widths"]:
        layers.append(nn.Linear(features, width))
        if settings["norm"] != "none":
            layers.append(norms[settings["norm"]](width))
        layers.append(ACTIVATIONS[settings["activation"]]())
        if settings["dropout"]:
            layers.append(nn.Dropout(settings["dropout"]))
        features = width
    return layers, features


def initialise(net: nn.Module, init: str) -> None:
    """Sets the weights of linear and convolution layers, and zero biases; "default" leaves torch's own."""
    if init == "default":
        return
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            INITIALISATIONS[init](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
