"""A folder of class folders of pictures: CLASS/picture.png. Each is read, turned upright and resized once."""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.config.schema import Config
from pipeline.data import pictures
from pipeline.data.assignment import assign
from pipeline.data.picture_files import FEWEST, Sifted, sift
from pipeline.data.splits import NAMES, Fold, Prepared, Split, by_kind
from pipeline.kinds.image import picture
from pipeline.project.errors import DataError


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """Rows are numbered in the order of the sorted paths. What picture_files.py finds unusable is set apart."""
    settings = config.data.prepare
    encoder = {"shape": [settings.channels, *settings.size], "background": settings.background}
    files = sorted(file for file in raw.rglob("*") if file.is_file())
    images = np.zeros((len(files), *encoder["shape"]), np.uint8)

    def key_of(row: int) -> bytes:
        images[row] = picture.read(files[row], encoder)
        return hashlib.blake2b(images[row], digest_size=16).digest()

    found = sift([file.relative_to(raw).as_posix() for file in files], key_of)
    if len(found.labels) < 2:
        raise DataError(too_few(config.data.source.folder, found))
    splits = divided(images, found, settings.validation, settings.test, fold)
    done = pictures.prepared(splits, found.labels, tuple(encoder["shape"]), settings.scaling, settings.max_quarantined)
    done.encoder["background"] = settings.background
    return done


def too_few(folder: str, found: Sifted) -> str:
    faults = "\n".join(["", *by_kind({folder: found.unusable})])
    return (
        f"{folder} has {len(found.labels)} classes of {FEWEST} usable pictures or more; two are needed at least."
        f"{faults}\nPut the pictures of each class into a folder of its name, then type: ratchet init --data FOLDER"
    )


def divided(images: np.ndarray, found: Sifted, validation: float, test: float, fold: Fold | None) -> dict[str, Split]:
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
