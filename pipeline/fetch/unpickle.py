"""Arrays out of a pickle that nobody vouches for: a pickle is a program, and this runs none of it but NumPy's part."""

import pickle
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct

from pipeline.fetch.archives import Capped, Readable
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


def load(file: Readable, most: int) -> Any:
    """What the pickle in `file` holds: arrays, numbers, text and collections of them; DataError on anything else."""
    # "bytes", since an array pickled by Python 2 is a str there: its buffer is used as it is, and copied by "latin1"
    unpickler = ArrayUnpickler(Capped(file, most), encoding="bytes")
    try:
        return unpickler.load()
    except MALFORMED as error:
        raise DataError(f"the pickle is malformed: {type(error).__name__}: {error}") from None
