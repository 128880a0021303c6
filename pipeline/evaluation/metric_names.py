"""Class labels as parts of the names of metrics, which MLflow restricts."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.tasks.task import by_name

REFUSED = re.compile(r"[^\w.\- ]")  # MLflow's rule where it is strictest (Windows); a "/" would make another level
SHOWN = 20  # classes that a message names
LONGEST = 150  # of MLflow's 250 characters for a whole name


def metric_names(labels: Sequence[str]) -> list[str]:
    """A safe and unique name for each label, in order: `<=50K` → `__50K`; names that fall together get a number."""
    names: list[str] = []
    taken: set[str] = set()
    for label in labels:
        name = plain = safe(label)
        number = 1
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name)
        names.append(name)
    return names


def safe(label: str) -> str:
    name = REFUSED.sub("_", label).strip()[:LONGEST]
    return "_" if name in ("", ".", "..") else name


def of_class(metric: str, labels: Sequence[str]) -> str:
    """By the name that it has in reports/: test/recall/<=50K, as a person writes it, is test/recall/__50K."""
    split, name, label = metric.split("/", 2) if is_of_class(metric) else ("", "", "")
    return f"{split}/{name}/{metric_names(labels)[labels.index(label)]}" if label in labels else metric


def is_of_class(metric: str) -> bool:
    return metric.startswith("test/") and metric.count("/") > 1


def without_class(minimum: Mapping[str, float | str], encoder: Mapping[str, Any]) -> str | None:
    """What is wrong with a gate.minimum that names metrics of classes that there are not."""
    labels = encoder["labels"] if by_name(encoder["task"]).classes else []
    known = {*labels, *metric_names(labels)}
    asked = [name for pair in minimum.items() for name in pair if isinstance(name, str) and is_of_class(name)]
    wrong = [name for name in asked if name.split("/", 2)[2] not in known]
    if not wrong:
        return None
    some = ", ".join(labels[:SHOWN]) + (f" and {len(labels) - SHOWN:,} more" if len(labels) > SHOWN else "")
    return f"gate.minimum names {', '.join(wrong)}, and there is no such class; the classes are {some}"
