"""Names of metrics: which of them are better when lower, and class labels as parts of them, which MLflow restricts."""

import re

LOWER_IS_BETTER = frozenset({"loss", "calibration_error", "mae", "rmse", "median_absolute_error"})
REFUSED = re.compile(r"[^\w.\- ]")  # MLflow's rule where it is strictest (Windows); a "/" would make another level
LONGEST = 150  # of MLflow's 250 characters for a whole name


def metric_names(labels: list[str]) -> list[str]:
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
