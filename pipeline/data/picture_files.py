"""Which files of a folder of class folders are pictures to learn from, and why the others are not."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.data.splits import Unusable
from pipeline.project.errors import DataError

FEWEST = 3  # pictures of a class: one for each split
STRAY, UNREADABLE = "in no class folder", "no picture that can be read"
COPY, CLASH = "the same picture as another", "the same picture as one of another class"
RARE = f"of a class of fewer than {FEWEST} pictures"


@dataclass(frozen=True)
class Sifted:
    labels: list[str]
    targets: dict[int, int]  # usable file → index of its class; files by their places in the sorted names
    unusable: list[Unusable]  # the others


def sift(names: Sequence[str], key_of: Callable[[int], bytes]) -> Sifted:
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
    return Sifted(labels, targets, unusable)


def class_of(name: str) -> str:
    return name.partition("/")[0]
