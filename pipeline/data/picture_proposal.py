"""What `ratchet init` proposes for a folder of class folders of pictures: the params.yaml, and what was seen."""

from collections import Counter
from pathlib import Path

import numpy as np

from pipeline.data import folders
from pipeline.data.proposal import SHOWN, Proposal, of_task
from pipeline.project import paths
from pipeline.project.errors import DataError

LOOKED_AT = 200  # pictures whose size and colours are looked at
SMALLEST, LARGEST = 24, 64  # pixels of a side; images_cnn needs 22


def of_images(path: Path, name: str) -> Proposal:
    if not path.is_dir():
        raise DataError(f"{path} is no folder; pictures come as FOLDER/CLASS/picture.png")
    folders.refuse_inside(paths.RAW, path)
    files = folders.sums(path)
    classes = Counter(file.split("/")[0] for file in files if "/" in file)
    if len(classes) < 2 or min(classes.values()) < 3:
        counted = ", ".join(f"{label}: {count}" for label, count in sorted(classes.items())[:20]) or "none"
        raise DataError(
            f"{path} must hold a folder of at least 3 pictures for each of 2 classes or more; found {counted}.\n"
            "Sort the pictures as FOLDER/CLASS/picture.png, then type: ratchet init --data FOLDER"
        )
    size, channels = look(path, sorted(files))
    source = {"folder": str(path), "files": len(files), "sha256": folders.digest_of(files)}
    params = {
        "scenario": "images_cnn",
        "seed": 0,
        "data": {"kind": "images", "name": name, "source": source, "prepare": {"size": size, "channels": channels}},
        **of_task("classification"),
    }
    listed = "\n".join(f"  {label:<30} {count:>9,}" for label, count in sorted(classes.items())[:SHOWN])
    colours = "grey" if channels == 1 else "in colour"
    shown = (
        f"{path.name}: {len(files):,} files\n  {'class':<30} {'pictures':>9}\n{listed}\n"
        f"task: classification of {len(classes)} classes\neach picture is resized to {size[0]}×{size[1]}, {colours}\n"
        "split: 70% train, 15% validation, 15% test, of each class alike"
    )
    return Proposal(params, shown)


def look(path: Path, files: list[str]) -> tuple[list[int], int]:
    """Height and width, the medians within bounds; and 1 channel if all that are looked at are grey, or 3."""
    from PIL import Image

    sizes, grey = [], True
    step = max(1, len(files) // LOOKED_AT)
    for file in files[::step][:LOOKED_AT]:
        try:
            with Image.open(path / file) as picture:
                sizes.append((picture.height, picture.width))
                grey = grey and picture.mode in ("1", "L", "LA", "I", "I;16", "F")
        except OSError:  # not a picture: preprocess sets it apart, with the reason
            continue
    if not sizes:
        raise DataError(f"{path}: none of {min(len(files), LOOKED_AT)} files that were looked at is a picture")
    sides = [int(np.clip(side, SMALLEST, LARGEST)) for side in np.median(sizes, axis=0)]
    return sides, 1 if grey else 3
