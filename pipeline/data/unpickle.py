"""Arrays out of a pickle that nobody vouches for: a pickle is a program, and this runs none of it but NumPy's part."""

import pickle
from typing import Any, BinaryIO

import numpy as np
from numpy._core.multiarray import _reconstruct

from pipeline.project.errors import DataError

ADMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,  # as NumPy 1 spelled it
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}
MALFORMED = (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, MemoryError)


class ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise DataError(
                f"the pickle asks for {module}.{name}, which could run code; only NumPy arrays are admitted.\n"
                "Nothing of it was run. Name another mirror in data.source.mirrors"
            )
        return ADMITTED[module, name]


class Capped:
    """A stream that refuses to give more than `most` bytes, whatever its file unpacks to."""

    def __init__(self, file: BinaryIO, most: int):
        self.file, self.most, self.left = file, most, most

    def read(self, size: int = -1) -> bytes:
        return self.counted(self.file.read(size if 0 <= size <= self.left else self.left + 1))

    def readline(self) -> bytes:
        return self.counted(self.file.readline(self.left + 1))

    def counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise DataError(f"the pickle unpacks to more than the {self.most:,} bytes that are allowed")
        return data


def load(file: BinaryIO, most: int) -> Any:
    """What the pickle in `file` holds: arrays, numbers, text and collections of them; DataError on anything else."""
    # "bytes", since an array pickled by Python 2 is a str there: its buffer is used as it is, and copied by "latin1"
    unpickler = ArrayUnpickler(Capped(file, most), encoding="bytes")
    try:
        return unpickler.load()
    except MALFORMED as error:
        raise DataError(f"the pickle is malformed: {type(error).__name__}: {error}") from None
