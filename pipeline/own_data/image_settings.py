"""What `ratchet init` proposes for a folder of class folders of pictures: the params.yaml, and what was seen.

Every file's bytes are known by their sums. The headers of LOOKED_AT files at most are read, and as many of those are
decoded as DECODED allows, just as preprocess will: what it will refuse is known here.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from pipeline.config.data import FileSum
from pipeline.datasets.images import FEWEST, UNREADABLE, Usable, class_of, find_usable
from pipeline.fetch import folders
from pipeline.kinds.image import picture
from pipeline.own_data.table_settings import SHOWN, Proposal, of_task
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.store.splits import by_kind, least_share

LOOKED_AT = 5000  # files
DECODED = 2_000_000_000  # pixels, half a minute or so
SMALLEST, LARGEST = 24, 64  # pixels of a side; images_cnn needs 22
TURNED = (5, 6, 7, 8)  # EXIF's orientations that lie on their side
ORIENTATION = 0x0112  # of EXIF
CAMERAS = ("JPEG", "MPO")  # of others Pillow decodes the whole picture to look for EXIF
SORT = "Sort the pictures as FOLDER/CLASS/picture.png, then type: ratchet init --data FOLDER"


@dataclass(frozen=True)
class Header:
    """Of a picture that can be opened."""

    height: int
    width: int
    grey: bool
    transparent: bool  # it may be: it has an alpha channel or a transparent colour
    deep: bool  # more than 8 bits for a shade


def of_images(path: Path, name: str) -> Proposal:
    if not path.is_dir():
        raise DataError(f"{path} is no folder; pictures come as FOLDER/CLASS/picture.png")
    folders.refuse_inside(paths.RAW, path)
    files = folders.sums(path)
    names = sorted(files, key=lambda file: Path(file))  # as preprocess numbers them
    headers = look(path, names)
    defaults = yaml.safe_load((paths.CONF / "data/images.yaml").read_text(encoding="utf-8"))["prepare"]
    channels = 1 if all(one.grey for one in headers.values()) else 3
    prepare: dict[str, Any] = {"size": size_of(headers.values()), "channels": channels}
    encoder = {"shape": [prepare["channels"], *prepare["size"]], "background": defaults["background"]}
    decoded = within_budget(headers)
    found = find_usable(names, keys(path, names, files, headers, decoded, encoder))
    refuse_too_few(path, found, names)
    whole = len(decoded) == len(headers) and len(names) <= LOOKED_AT
    share = share_unusable(found, names, decoded, whole)
    if share > defaults["max_quarantined"]:
        prepare["max_quarantined"] = share
    source = {"folder": str(path), "files": len(files), "sha256": folders.digest_of(files)}
    params = {
        "scenario": "images_cnn",
        "seed": 0,
        "data": {"kind": "images", "name": name, "source": source, "prepare": prepare},
        **of_task("classification"),
    }
    lines = [
        *counted(path, names, found),
        *apart(found, len(names), prepare, defaults, whole, len(decoded)),
        *seen(headers, len(names), prepare, defaults),
        f"task: classification of {len(found.labels)} classes",
        "split: 70% train, 15% validation, 15% test, of each class alike",
    ]
    return Proposal(params, "\n".join(lines))


def look(path: Path, names: Sequence[str]) -> dict[int, Header]:
    """Of those of LOOKED_AT files, evenly over all, that are pictures by their headers and lie in a class folder."""
    headers = {}
    for row in evenly([row for row, name in enumerate(names) if "/" in name], LOOKED_AT):
        try:
            with picture.opened(path / names[row]) as one:
                sides = (one.height, one.width)
                turned = one.format in CAMERAS and one.getexif().get(ORIENTATION) in TURNED
                height, width = sides[::-1] if turned else sides
                deep = one.mode in ("I", "F") or one.mode.startswith("I;16")
                grey = deep or one.mode in ("1", "L", "LA")
                headers[row] = Header(height, width, grey, one.has_transparency_data, deep)
        except DataError:  # find_usable() says why
            continue
    return headers


def evenly(rows: Sequence[int], most: int) -> list[int]:
    if len(rows) <= most:
        return list(rows)
    return [rows[place] for place in np.linspace(0, len(rows) - 1, most).astype(int)]


def size_of(headers: Any) -> list[int]:
    """Height and width: the medians within bounds."""
    middle = np.median([(one.height, one.width) for one in headers] or [(LARGEST, LARGEST)], axis=0)
    return [int(np.clip(side, SMALLEST, LARGEST)) for side in middle]


def within_budget(headers: Mapping[int, Header]) -> set[int]:
    """Which pictures are decoded: all, or evenly as many as DECODED pixels are, by their mean."""
    pixels = sum(one.height * one.width for one in headers.values())
    return set(evenly(list(headers), max(1, int(len(headers) * min(1.0, DECODED / max(1, pixels))))))


def keys(
    path: Path,
    names: Sequence[str],
    files: Mapping[str, FileSum],
    headers: Mapping[int, Header],
    decoded: set[int],
    encoder: dict[str, Any],
) -> Callable[[int], bytes]:
    """For find_usable(): by the pixels as preprocess has them, or by the file's sum where it is not decoded."""
    known: dict[str, bytes] = {}  # a file's sum → its key: equal files are decoded once
    bar = tqdm(total=len(decoded), desc=f"looking at {path.name}"[:40], unit="file", disable=None, leave=False)

    def key_of(row: int) -> bytes:
        summed = files[names[row]].sha256
        if summed not in known:
            if row in decoded:
                pixels = picture.read(path / names[row], encoder)
                known[summed] = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
            else:
                if row not in headers and len(names) <= LOOKED_AT:
                    with picture.opened(path / names[row]):
                        pass  # or DataError
                known[summed] = summed.encode()
        bar.update(row in decoded)
        return known[summed]

    return key_of


def refuse_too_few(path: Path, found: Usable, names: Sequence[str]) -> None:
    if len(found.labels) >= 2:
        return
    counts = Counter(class_of(name) for name in names if "/" in name)
    given = ", ".join(f"{label}: {count}" for label, count in sorted(counts.items())[:20]) or "none"
    faults = "\n".join(["", *by_kind({str(path): found.unusable})])
    raise DataError(
        f"{path} must hold a folder of at least {FEWEST} usable pictures for each of 2 classes or more; found {given}."
        f"{faults}\n{SORT}"
    )


def share_unusable(found: Usable, names: Sequence[str], decoded: set[int], whole: bool) -> float:
    """Of all files; where not all were decoded, as many more as among those that were, and one in a hundred."""
    bad: float = len(found.unusable)
    if not whole:
        torn = sum(one.row in decoded and one.kind == UNREADABLE for one in found.unusable)
        bad += torn / max(1, len(decoded)) * (len(names) - len(decoded)) + len(names) / 100
    return min(1.0, least_share(bad / len(names)))


def counted(path: Path, names: Sequence[str], found: Usable) -> list[str]:
    """The classes; in = kept + set apart."""
    usable = Counter(found.labels[target] for target in found.targets.values())
    said = f"{path.name}: {len(names):,} files = {len(found.targets):,} pictures + {len(found.unusable):,} set apart"
    lines = [said, f"  {'class':<30} {'pictures':>9}"]
    lines += [f"  {label:<30} {count:>9,}" for label, count in sorted(usable.items())[:SHOWN]]
    return lines + ([f"  … and {len(usable) - SHOWN:,} classes more"] if len(usable) > SHOWN else [])


def apart(
    found: Usable, files: int, prepare: dict[str, Any], defaults: dict[str, Any], whole: bool, decoded: int
) -> list[str]:
    """What preprocess will set apart, and whether it is allowed to."""
    lines = []
    if not whole:
        lines.append(f"only {decoded:,} of {files:,} files were looked at to the last pixel: preprocess may find more")
    if found.unusable:
        lines.append("set apart by preprocess, and not learned from:")
        lines += by_kind({"the folder": found.unusable})
    if "max_quarantined" in prepare:
        lines.append(
            f"data.prepare.max_quarantined is set to {prepare['max_quarantined']} in {paths.PARAMS}, so that it goes "
            f"on without them; it is {defaults['max_quarantined']} otherwise. Look at them first"
        )
    return lines


def seen(headers: Mapping[int, Header], files: int, prepare: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Sizes, and what becomes of them; transparent and deep pictures."""
    sides = np.array([(one.height, one.width) for one in headers.values()])
    low, middle, high = (times(np.quantile(sides, share, axis=0)) for share in (0, 0.5, 1))
    of = "" if files <= LOOKED_AT else f" of {files:,}"
    colours = "grey" if prepare["channels"] == 1 else "in colour"
    lines = [
        f"sizes: {len(headers):,}{of} pictures looked at, {low} to {high}, {middle} in the median (height × width)",
        f"each picture is resized to {times(prepare['size'])}, {colours}",
    ]
    if (middle_sides := np.median(sides, axis=0)).max() > LARGEST:
        larger = [int(min(side, 2 * LARGEST)) for side in middle_sides]
        lines.append(
            f"  at most {LARGEST} pixels a side, so that a CPU trains it in minutes. To see finer detail, at the cost "
            f"of time and memory\n  in proportion to the pixels, change in {paths.PARAMS}: "
            f"data: {{prepare: {{size: {larger}}}}}"
        )
    if clear := sum(one.transparent for one in headers.values()):
        ground = defaults["background"]
        name = "white" if ground == [255, 255, 255] else f"the colour {ground}"
        lines.append(
            f"{clear:,} pictures have transparent parts, or room for them: they are laid on {name}. For another colour "
            f"(red, green, blue)\n  add in {paths.PARAMS}: data: {{prepare: {{background: [0, 0, 0]}}}}"
        )
    if deep := sum(one.deep for one in headers.values()):
        lines.append(f"{deep:,} pictures have more than 8 bits for a shade: they are scaled to 8 by their depth")
    return lines


def times(sides: Any) -> str:
    return "×".join(f"{int(side):,}" for side in sides)
