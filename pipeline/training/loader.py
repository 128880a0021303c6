"""Batches of data that fits in memory: one gather for each tensor, no per-sample Python, no collate."""

from collections.abc import Iterator

import torch
from torch import Tensor


class BatchLoader:
    """Yields (inputs, targets) of `batch_size` rows, in an order that is a pure function of (seed, epoch).

    With `seed` None it is that of the data. Every sample comes once an epoch; the last batch may be smaller.
    """

    def __init__(self, tensors: dict[str, Tensor], batch_size: int, seed: int | None = None):
        self.inputs, self.targets = tensors["inputs"], tensors["targets"]
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.position = 0  # batches of this epoch that were handed out

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def order(self) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed << 32) + self.epoch)
        return torch.randperm(len(self.targets), generator=generator)  # (N,)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.position >= len(self):  # the epoch before was consumed to its last batch
            self.position = 0
        order = None if self.seed is None else self.order().to(self.inputs.device)
        while self.position < len(self):
            rows = slice(self.position * self.batch_size, (self.position + 1) * self.batch_size)
            self.position += 1
            if order is None:
                yield self.inputs[rows], self.targets[rows]
            else:
                chosen = order[rows]
                yield self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]
