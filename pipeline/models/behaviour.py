"""The past items' embeddings, averaged in several learned ways → dense layers → a score for each item."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear

from pipeline.models.layers import dense, initialise

SPREAD = 0.1  # deviation of fresh embeddings: a mean of them starts small beside the biases


class Behaviour(nn.Module):
    """After Covington et al., 2016, "Deep neural networks for YouTube recommendations", whose mean has one weighting.

    Each weighting starts as a half-life: an item counts half as much as one that is so many items later. One half-life
    near 1 sees the last item, one near the window all of them alike. The embeddings score the items too (Inan et al.,
    2017, arXiv:1611.01462): half the weights, and a rare item's vector learns wherever it stands.
    """

    def __init__(self, items: int, window: int, settings: dict[str, Any]):
        super().__init__()
        self.window = window
        self.items = nn.Embedding(items + 1, settings["embedding"], padding_idx=0)
        nn.init.normal_(self.items.weight, std=SPREAD)
        nn.init.zeros_(self.items.weight[0].detach())
        age = torch.arange(window - 1, -1, -1.0)  # (W,) items since
        half_lives = torch.tensor(settings["half_lives"], dtype=torch.float32)
        self.log_weights = nn.Parameter(-math.log(2) * age / half_lives[:, None])  # (H, W)
        layers, features = dense(len(half_lives) * settings["embedding"], settings)
        if features != settings["embedding"]:
            layers.append(nn.Linear(features, settings["embedding"]))
        self.dense = nn.Sequential(*layers)
        self.bias = nn.Parameter(torch.zeros(items))
        initialise(self.dense, settings["init"])

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = inputs[:, -self.window :]  # (B, L), shorter where no history fills the window
        there = (inputs > 0)[:, None]  # (B, 1, L)
        logits = self.log_weights[:, -inputs.shape[1] :].masked_fill(~there, -1e9)  # (B, H, L)
        weights = logits.softmax(2) * there  # an empty history stays 0
        return linear(self.dense(self.means(inputs, weights)), self.items.weight[1:], self.bias)  # (B, items)

    def means(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """(B, L) and (B, H, L) → (B, H·D), without an embedding for each of a batch's items in memory."""
        if torch.compiler.is_exporting():  # ONNX has no such bags
            return (weights @ self.items(inputs)).flatten(1)
        batch, ways, length = weights.shape
        bags = inputs[:, None].expand(-1, ways, -1).reshape(-1, length)  # (B·H, L)
        means = embedding_bag(
            bags, self.items.weight, mode="sum", per_sample_weights=weights.flatten(0, 1), padding_idx=0
        )
        return means.view(batch, -1)


def build(settings: dict[str, Any], encoder: dict[str, Any], outputs: int) -> nn.Module:
    """`settings` as in conf/model/behaviour.yaml; inputs are item index + 1, the latest last, 0 = none."""
    return Behaviour(outputs, encoder["window"], settings)
