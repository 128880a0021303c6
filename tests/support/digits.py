"""Tiny real data: scikit-learn's 8×8 handwritten digits, made into the four IDX files of MNIST.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI 1998; CC BY 4.0.
"""

import hashlib
import importlib.util
import struct
from functools import cache
from pathlib import Path

import numpy as np

TRAIN, TEST = 1200, 300
NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@cache
def published() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pictures (N, 28, 28) and labels (N,), uint8, of train and test; no picture stands in them twice."""
    # Read as a file, since importing scikit-learn takes longer than a test
    package = Path(importlib.util.find_spec("sklearn").submodule_search_locations[0])
    table = np.loadtxt(package / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.int64)  # (1797, 64 + label)
    _, first = np.unique(table[:, :64], axis=0, return_index=True)
    table = table[np.sort(first)]
    small = (table[:, :64] * 255 // 16).astype(np.uint8).reshape(-1, 8, 8)
    pictures = np.pad(np.kron(small, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))  # (N, 28, 28)
    labels = table[:, 64].astype(np.uint8)
    end = TRAIN + TEST
    return {"train": (pictures[:TRAIN], labels[:TRAIN]), "test": (pictures[TRAIN:end], labels[TRAIN:end])}


def idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def idx_files(splits: dict[str, tuple[np.ndarray, np.ndarray]] | None = None) -> dict[str, bytes]:
    """The four files, by name; of other splits than the published ones to test what is refused."""
    files = {}
    for part, arrays in (splits or published()).items():
        files |= {name: idx(array) for name, array in zip(NAMES[part], arrays, strict=True)}
    return files


def sums(files: dict[str, bytes]) -> dict[str, dict[str, int | str]]:
    """What data.source.files says of them."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
