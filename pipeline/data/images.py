"""A folder of class folders of pictures: CLASS/picture.png. Each is read, turned upright and resized once."""

from pathlib import Path

import numpy as np

from pipeline.config.schema import Config
from pipeline.data import pictures
from pipeline.data.assignment import assign
from pipeline.data.splits import NAMES, Fold, Prepared, Split, Unusable
from pipeline.encoders import image
from pipeline.project.errors import DataError


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """Rows are numbered in the order of the sorted paths. Unreadable pictures and copies are set apart."""
    settings = config.data.prepare
    shape = (settings.channels, *settings.size)
    files = sorted(file for file in raw.rglob("*") if file.is_file())
    classes = sorted({file.relative_to(raw).parts[0] for file in files if file.parent != raw})
    if len(classes) < 2:
        raise DataError(
            f"{config.data.source.folder} holds pictures of {len(classes)} classes; two are needed at least.\n"
            "Put the pictures of each class into a folder of its name, then type: ratchet init --data FOLDER"
        )
    images = np.zeros((len(files), *shape), np.uint8)
    targets = np.zeros(len(files), np.int64)
    problems: dict[int, str] = {}
    first: dict[bytes, int] = {}
    for row, file in enumerate(files):
        if file.parent == raw:
            problems[row] = "it lies in no class folder"
            continue
        try:
            images[row] = image.read(file.read_bytes(), shape)
        except DataError as error:
            problems[row] = str(error)
            continue
        targets[row] = classes.index(file.relative_to(raw).parts[0])
        if (same := first.setdefault(images[row].tobytes(), row)) != row:
            problems[row] = f"the same picture as {files[same].relative_to(raw)}"
    splits = divided(images, targets, files, raw, problems, config, fold)
    return pictures.prepared(splits, classes, shape, settings.scaling, settings.max_quarantined)


def divided(
    images: np.ndarray,
    targets: np.ndarray,
    files: list[Path],
    raw: Path,
    problems: dict[int, str],
    config: Config,
    fold: Fold | None,
) -> dict[str, Split]:
    """Stratified splits of the usable rows; the others are counted with train."""
    settings = config.data.prepare
    rows = np.array([row for row in range(len(files)) if row not in problems], np.int64)
    part = assign(targets[rows], settings.validation, settings.test, fold=fold)
    unusable = [
        Unusable(row, f"{files[row].relative_to(raw)}: {reason}", files[row].read_bytes())
        for row, reason in problems.items()
    ]
    splits = {}
    for number, name in enumerate(NAMES):
        chosen = rows[part == number]
        splits[name] = Split(images[chosen], targets[chosen], chosen, unusable if name == "train" else [])
    return splits
