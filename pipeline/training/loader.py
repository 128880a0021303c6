"""Batches of data that fits in memory: one gather for each tensor, no per-sample Python, no collate."""

from collections.abc import Iterator

import torch
from torch import Tensor


class BatchLoader:
    """Yields (inputs, targets) of blocks of `steps` batches, in an order that is a pure function of (seed, epoch).

    With `seed` None it is that of the data. Every sample comes once an epoch; the last batch may be smaller. With
    `lengths` (N,), batches hold rows of like length: the order is sorted within windows of `bucket` batches, and the
    batches are shuffled again.
    """

    def __init__(
        self,
        tensors: dict[str, Tensor],
        batch_size: int,
        steps: int = 1,
        seed: int | None = None,
        lengths: Tensor | None = None,
        bucket: int = 1,
    ):
        self.inputs, self.targets = tensors["inputs"], tensors["targets"]
        self.size = batch_size
        self.batch_size = batch_size * steps
        self.seed = seed
        self.lengths = lengths
        self.bucket = bucket
        self.epoch = 0
        self.position = 0  # blocks of this epoch that were handed out

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def order(self, seed: int) -> Tensor:
        """(N,) rows."""
        generator = torch.Generator().manual_seed((seed << 32) + self.epoch)
        order = torch.randperm(len(self.targets), generator=generator)
        if self.lengths is None:
            return order
        whole = len(order) // self.size * self.size  # the smaller batch stays the last
        windows = torch.split(order[:whole], self.size * self.bucket)
        alike = [window[self.lengths[window].argsort(stable=True)] for window in windows]
        batches = torch.cat([*alike, order[:0]]).view(-1, self.size)
        return torch.cat([batches[torch.randperm(len(batches), generator=generator)].view(-1), order[whole:]])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.position >= len(self):  # the epoch before was consumed to its last batch
            self.position = 0
        order = None if self.seed is None else self.order(self.seed).to(self.inputs.device)
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
