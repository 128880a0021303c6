"""MNIST: pictures of digits in IDX files. LeCun, Cortes and Burges; CC BY-SA 3.0."""

import gzip
import hashlib
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.data import FileSum, MnistData, of_kind
from pipeline.config.schema import Config
from pipeline.datasets import pictures
from pipeline.fetch import unpickle
from pipeline.project.errors import DataError
from pipeline.project.paths import RAW_AGAIN
from pipeline.store.splits import Fold, Prepared, Split, Unusable, boundary

SIDE = 28
SHAPE = (1, SIDE, SIDE)
CLASSES = [str(digit) for digit in range(10)]
PICTURES, LABELS = 0x0803, 0x0801  # IDX magic: unsigned bytes, 3 or 1 dimensions
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MOST_PICKLED = 1 << 28  # bytes of the unpacked pickle; 70,000 pictures in float32 take 220 MB
STEP = 2000  # rows at a time where a wider type is needed
AGAIN = f"Type: {RAW_AGAIN}"


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """The published splits; validation is the end of the published train split, or a stratified fold of it."""
    data = of_kind(config.data, MnistData)
    files, settings = data.source.files, data.prepare
    names = {name for pair in FILES.values() for name in pair}
    if lacking := sorted(names - files.keys()):
        raise DataError(f"data.source.files has no sum for {', '.join(lacking)}; MNIST is the four {sorted(names)}")
    published = {part: read(raw, part, files) for part in FILES}
    images, labels = published["train"]
    held_out = validation(labels, settings.validation, fold)
    rows = {"train": np.flatnonzero(~held_out), "val": np.flatnonzero(held_out)}
    splits = {name: sieve(images, labels, chosen) for name, chosen in rows.items()}
    splits["test"] = sieve(*published["test"], np.arange(len(published["test"][1])))
    return pictures.prepared(splits, CLASSES, SHAPE, settings.scaling, settings.max_quarantined)


def validation(labels: np.ndarray, number: int, fold: Fold | None) -> np.ndarray:
    """Which rows of the published train split are validated on: (N,) bool."""
    held_out = np.zeros(len(labels), bool)
    if fold is None:
        held_out[boundary(len(labels), number) :] = True
        return held_out
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(fold.number, shuffle=True, random_state=0).split(labels, labels)
    held_out[list(folds)[fold.index][1]] = True
    return held_out


def read(raw: Path, part: str, files: Mapping[str, FileSum]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 28, 28) and labels (N,), uint8, of one published split."""
    picture_file, label_file = (raw / name for name in FILES[part])
    pictures = read_idx(picture_file, files[picture_file.name], PICTURES)
    labels = read_idx(label_file, files[label_file.name], LABELS)
    if len(pictures) != len(labels):
        raise DataError(
            f"{picture_file} has {len(pictures):,} pictures and {label_file} {len(labels):,} labels; "
            f"they must be as many.\n{AGAIN}"
        )
    return pictures, labels


def read_idx(path: Path, wanted: FileSum, magic: int) -> np.ndarray:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `ratchet download` fetches it.\nType: dvc repro download") from None
    given = hashlib.sha256(content).hexdigest()
    if given != wanted.sha256:
        raise DataError(
            f"{path} was altered: {len(content):,} bytes, SHA-256 {given};\n"
            f"expected {wanted.bytes:,} bytes, SHA-256 {wanted.sha256}.\n{AGAIN}"
        )
    dimensions = magic & 0xFF
    header = 4 * (1 + dimensions)
    found, *shape = struct.unpack_from(f">{1 + dimensions}I", content.ljust(header, b"\0"))
    right = found == magic and shape[1:] == [SIDE, SIDE][: dimensions - 1]
    if not right or len(content) != header + math.prod(shape):
        raise DataError(
            f"{path} is no IDX file of this kind: magic {found:#06x}, dimensions {shape}, {len(content):,} bytes;\n"
            f"expected magic {magic:#06x}, dimensions {['N', SIDE, SIDE][:dimensions]}, and {header} bytes + their "
            f"product.\nCorrect data.source.files, then type: dvc repro download"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def sieve(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Split:
    """The given rows; a label that is no digit and a picture of one grey are set apart."""
    images, labels = pictures.taken(images, rows), pictures.taken(labels, rows)
    foreign = labels >= len(CLASSES)
    blank = images.max((1, 2), initial=0) == images.min((1, 2), initial=255)
    bad = foreign | blank
    unusable = []
    for place in np.flatnonzero(bad):
        label = f"label {labels[place]} is not one of 0 to 9"
        reason = label if foreign[place] else "the picture is blank, of one grey"
        record = labels[place].tobytes() + images[place].tobytes()  # the label's byte, then the 784 pixels
        unusable.append(Unusable(int(rows[place]), reason, record))
    if unusable:
        images, labels, rows = images[~bad], labels[~bad], rows[~bad]
    return Split(images.reshape(-1, *SHAPE), labels.astype(np.int64), rows, unusable)


def from_pickle(path: Path) -> dict[str, Iterable[bytes]]:
    """The four IDX files, in chunks, of a gzipped pickle of train, val and test, each (pixel / 256, labels)."""
    try:
        with gzip.open(path) as file:
            parts = unpickle.load(file, MOST_PICKLED)
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"the pickle is no whole gzip file: {error}") from None
    if not is_mnist(parts):
        raise DataError("the pickle does not hold three pairs of arrays, (N, 784) floats and (N,) integers")
    train, val, test = parts
    split_files = {"train": [train, val], "test": [test]}  # the published train split is both
    files: dict[str, Iterable[bytes]] = {}
    for part, pairs in split_files.items():
        picture_file, label_file = FILES[part]
        files[picture_file] = picture_chunks([pixels for pixels, _ in pairs])
        files[label_file] = label_chunks([labels for _, labels in pairs])
    return files


def is_mnist(parts: Any) -> bool:
    def is_pair(pair: Any) -> bool:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(one, np.ndarray) for one in pair)):
            return False
        pixels, labels = pair
        kinds = pixels.dtype.kind == "f" and labels.dtype.kind in "iu"
        return kinds and pixels.shape[1:] == (SIDE * SIDE,) and labels.shape == pixels.shape[:1]

    return isinstance(parts, list | tuple) and len(parts) == 3 and all(is_pair(pair) for pair in parts)


def picture_chunks(arrays: list[np.ndarray]) -> Iterator[bytes]:
    yield struct.pack(">4I", PICTURES, sum(len(array) for array in arrays), SIDE, SIDE)
    for array in arrays:
        for start in range(0, len(array), STEP):
            yield as_bytes(np.rint(array[start : start + STEP] * 256))


def label_chunks(arrays: list[np.ndarray]) -> Iterator[bytes]:
    yield struct.pack(">2I", LABELS, sum(len(array) for array in arrays))
    yield from (as_bytes(array) for array in arrays)


def as_bytes(values: np.ndarray) -> bytes:
    if not ((values >= 0) & (values <= 255)).all():
        raise DataError("the pickle holds values that are no bytes, 0 to 255")
    return values.astype(np.uint8).tobytes()
