"""A folder of class folders of pictures: CLASS/picture.png. Each is read, turned upright and resized once."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config.data import ImagesData, of_kind
from pipeline.config.schema import Config
from pipeline.datasets import pictures
from pipeline.kinds.image import picture
from pipeline.project.errors import DataError
from pipeline.store.assignment import assign
from pipeline.store.splits import NAMES, Fold, Prepared, Split, Unusable, by_kind

FEWEST = 3  # pictures of a class: one for each split
STRAY, UNREADABLE = "in no class folder", "no picture that can be read"
COPY, CLASH = "the same picture as another", "the same picture as one of another class"
RARE = f"of a class of fewer than {FEWEST} pictures"


@dataclass(frozen=True)
class Usable:
    labels: list[str]
    targets: dict[int, int]  # usable file → index of its class; files by their places in the sorted names
    unusable: list[Unusable]  # the others


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """Rows are numbered in the order of the sorted paths. What is no picture to learn from is set apart."""
    data = of_kind(config.data, ImagesData)
    settings, (height, width) = data.prepare, data.prepare.size
    shape = (settings.channels, height, width)
    encoder = {"shape": [*shape], "background": settings.background}
    files = sorted(file for file in raw.rglob("*") if file.is_file())
    images = np.zeros((len(files), *shape), np.uint8)

    def key_of(row: int) -> bytes:
        images[row] = picture.read(files[row], encoder)
        return hashlib.blake2b(images[row], digest_size=16).digest()

    found = find_usable([file.relative_to(raw).as_posix() for file in files], key_of)
    if len(found.labels) < 2:
        raise DataError(too_few(data.source.folder, found))
    splits = divided(images, found, settings.validation, settings.test, fold)
    done = pictures.prepared(splits, found.labels, shape, settings.scaling, settings.max_quarantined)
    done.encoder["background"] = settings.background
    return done


def too_few(folder: str, found: Usable) -> str:
    faults = "\n".join(["", *by_kind({folder: found.unusable})])
    return (
        f"{folder} has {len(found.labels)} classes of {FEWEST} usable pictures or more; two are needed at least."
        f"{faults}\nPut the pictures of each class into a folder of its name, then type: ratchet init --data FOLDER"
    )


def divided(images: np.ndarray, found: Usable, validation: float, test: float, fold: Fold | None) -> dict[str, Split]:
    """Stratified splits of the usable rows, parts of `images`, put into their order; the others count with train."""
    rows, targets = (np.array([*given], np.int64) for given in (found.targets.keys(), found.targets.values()))
    part = assign(targets, validation, test, fold=fold)
    chosen = {name: np.flatnonzero(part == number) for number, name in enumerate(NAMES)}
    arrange(images, rows[np.concatenate([*chosen.values()])])
    splits, start = {}, 0
    for name, places in chosen.items():
        unusable = found.unusable if name == "train" else []
        splits[name] = Split(images[start : start + len(places)], targets[places], rows[places], unusable)
        start += len(places)
    return splits


def arrange(array: np.ndarray, rows: np.ndarray) -> None:
    """array[:n] = array[rows], of n different ones, without a copy: each is swapped to its place."""
    at = np.arange(len(array))  # where the row that stood at this place is now
    holds = np.arange(len(array))  # which row stands at this place now
    for place, row in enumerate(rows.tolist()):
        source, moved = int(at[row]), int(holds[place])
        if source != place:
            array[[place, source]] = array[[source, place]]
            at[moved], holds[source] = source, moved
            at[row], holds[place] = place, row


def find_usable(names: Sequence[str], key_of: Callable[[int], bytes]) -> Usable:
    """`names`: CLASS/…/FILE, sorted. `key_of` a file: equal for equal pictures; DataError where it is none.

    The first of equal pictures is kept. A class that has too few pictures then is set apart as a whole.
    """
    faults: dict[int, tuple[str, str]] = {}  # file → kind and reason
    first: dict[bytes, int] = {}
    for row, name in enumerate(names):
        if "/" not in name:
            faults[row] = STRAY, "it lies in no class folder"
            continue
        try:
            same = first.setdefault(key_of(row), row)
        except DataError as error:
            faults[row] = UNREADABLE, str(error)
            continue
        if same != row:
            kind = COPY if class_of(name) == class_of(names[same]) else CLASH
            faults[row] = kind, f"the same picture as {names[same]}"
    counts = Counter(class_of(name) for row, name in enumerate(names) if row not in faults)
    for row, name in enumerate(names):
        if row not in faults and counts[class_of(name)] < FEWEST:
            said = f"its class has {counts[class_of(name)]} usable pictures; {FEWEST} are needed"
            faults[row] = RARE, said
    labels = sorted(label for label, count in counts.items() if count >= FEWEST)
    targets = {row: labels.index(class_of(name)) for row, name in enumerate(names) if row not in faults}
    # The file itself stays in data/raw
    unusable = [
        Unusable(row, f"{names[row]}: {reason}", names[row].encode(), kind)
        for row, (kind, reason) in sorted(faults.items())
    ]
    return Usable(labels, targets, unusable)


def class_of(name: str) -> str:
    return name.partition("/")[0]
