"""A net and what stands before and behind it, as one module: the store's tensors in, outputs of the task out."""

import importlib
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pipeline.config.model import AnyModel
from pipeline.config.section import choices
from pipeline.project.errors import DataError
from pipeline.tasks import task as tasks

AT_ONCE = 4 << 20  # bytes of inputs: what a net makes of a picture takes a hundred times as much


class Pretrainable(Protocol):
    """A net that begins with weights of others."""

    def load_pretrained(self, weights: dict[str, Tensor]) -> None: ...


def rows_at_once(inputs: Tensor, most: int) -> int:
    """Of `inputs` (N, …), where no gradients are kept: `most`, or fewer of wide ones."""
    return max(1, min(most, AT_ONCE // max(1, inputs[:1].nbytes)))


class Network(nn.Module):
    """Scales on the device, so that pixels are stored, moved and served as bytes: four times less than floats."""

    def __init__(self, net: nn.Module, scaling: dict[str, float] | None, binary: bool):
        super().__init__()
        self.net = net
        self.scaling = scaling
        self.binary = binary

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, …) as in the store → (B, classes or items) logits, or (B, 1) standardised values in a regression."""
        outputs = self.net(self.scaled(inputs))
        # A single output z is the logits (0, z): their softmax is its sigmoid, so all that follows sees two classes
        return pad(outputs, (1, 0)) if self.binary else outputs

    def scaled(self, inputs: Tensor) -> Tensor:
        if self.scaling is None:
            return inputs
        inputs = inputs * self.scaling["multiply"]  # bytes by a number: float32
        if self.scaling["add"]:
            inputs += self.scaling["add"]
        return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs


def build(settings: dict[str, Any], encoder: dict[str, Any], loss: str) -> Network:
    """The net that `settings["name"]` names: pipeline/models/NAME.py and its `build(settings, encoder, outputs)`."""
    if settings["name"] not in (nets := choices(AnyModel, "name")):
        raise DataError(f"{settings['name']!r} is no net; this version of Ratchet knows: {', '.join(nets)}")
    module = importlib.import_module(f"pipeline.models.{settings['name']}")
    outputs = 1 if loss == "binary" else tasks.of(encoder).width(encoder)
    return Network(module.build(settings, encoder, outputs), encoder.get("scaling"), loss == "binary")
