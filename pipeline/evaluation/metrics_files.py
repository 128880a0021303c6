"""reports/metrics.json, what people compare, and reports/classes.json, the same of each class; together all values."""

from pathlib import Path

from pipeline.project import paths
from pipeline.project.files import read_json, write_json

METRICS, CLASSES = paths.REPORTS / "metrics.json", paths.REPORTS / "classes.json"


def is_headline(metric: str) -> bool:
    """Not of a single class: there may be thousands."""
    return metric.startswith("baseline/") or metric.count("/") == 1


def write(values: dict[str, float]) -> None:
    write_json(METRICS, {name: value for name, value in values.items() if is_headline(name)})
    write_json(CLASSES, {name: value for name, value in values.items() if not is_headline(name)})


def read(project: Path = Path()) -> dict[str, float]:
    """test/NAME, test/NAME/CLASS and baseline/BASELINE/NAME; reports of old have all of them in metrics.json."""
    metrics, classes = project / METRICS, project / CLASSES
    return (read_json(classes, "evaluate") if classes.is_file() else {}) | read_json(metrics, "evaluate")
