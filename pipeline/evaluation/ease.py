"""What needs no net in recommendation: the most popular items, and EASE."""

import torch
from torch import Tensor

from pipeline.evaluation.ranking import CELLS
from pipeline.evaluation.scoring import OutputsOf

PENALTY = 100.0  # λ
MOST_ITEMS = 5000  # beyond, the inverse of an items × items matrix takes more than seconds


def presence(histories: Tensor, items: int) -> Tensor:
    """(B, items) float32: 1 where the item stands in the history, (B, L) of index + 1, 0 empty."""
    table = torch.zeros(len(histories), items + 1)
    return table.scatter_(1, histories.long(), 1.0)[:, 1:]


def ease(histories: Tensor, items: int) -> OutputsOf:
    """Embarrassingly shallow autoencoders (Steck 2019, arXiv:1905.03375): one linear map, in closed form."""
    together = torch.zeros(items, items, dtype=torch.float64)
    for part in histories.split(max(1, CELLS // items)):
        table = presence(part, items).double()
        together += table.T @ table  # (items, items): histories that hold both
    inverse = torch.linalg.inv(together + PENALTY * torch.eye(items, dtype=torch.float64))
    weights = -inverse / inverse.diagonal()  # of each column: what the other items say of it
    weights.fill_diagonal_(0.0)
    weights = weights.float()
    return lambda inputs: presence(inputs, items) @ weights
