"""A net for tables: numbers as they are, a learned vector for each category, then dense layers."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.models.layers import dense, initialise


class TableNet(nn.Module):
    def __init__(self, numbers: int, categories: list[int], settings: dict[str, Any], outputs: int):
        super().__init__()
        self.numbers = numbers
        # half as many dimensions as values, up to the setting
        sizes = [min(settings["embedding"], -(-values // 2)) for values in categories]
        self.embeddings = nn.ModuleList(map(nn.Embedding, categories, sizes))
        hidden, features = dense(numbers + sum(sizes), settings)
        self.dense = nn.Sequential(*hidden, nn.Linear(features, outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, numbers + categories), as kinds/table/encoder.py writes them → (B, outputs)."""
        numbers, codes = inputs[:, : self.numbers], inputs[:, self.numbers :].long()
        vectors = [embedding(codes[:, place]) for place, embedding in enumerate(self.embeddings)]
        return self.dense(torch.cat([numbers, *vectors], dim=1))


def build(settings: dict[str, Any], encoder: dict[str, Any], outputs: int) -> nn.Module:
    """`settings` as in conf/model/table.yaml; inputs (B, numbers + categories) → (B, outputs)."""
    categories = [len(column["values"]) + 1 for column in encoder["columns"] if column["type"] == "category"]
    net = TableNet(encoder["shape"][0] - len(categories), categories, settings, outputs)
    initialise(net, settings["init"])
    with torch.no_grad():
        for weight in net.embeddings.parameters():
            # Small beside the scaled numbers; a value that train never saw, code 0, begins as none at all
            weight.mul_(0.1)
            weight[0] = 0
    return net
