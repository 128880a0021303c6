"""Baselines that do better than the net: said wherever its scores are shown."""

from collections.abc import Mapping

from pipeline.tasks.metrics import sign
from pipeline.tasks.task import by_name


def beaten(metrics: Mapping[str, float], task: str) -> str:
    """A sentence, or an empty one; `metrics` as in reports/metrics.json: test/NAME and baseline/BASELINE/NAME."""
    metric = by_name(task).headline
    own = metrics.get(f"test/{metric}")
    if own is None:
        return ""
    way = sign(metric)
    better = {
        name.split("/")[1]: value
        for name, value in metrics.items()
        if name.startswith("baseline/") and name.endswith(f"/{metric}") and way * value > way * own
    }
    if not better:
        return ""
    found = ", ".join(f"{name} {value:.4g}" for name, value in sorted(better.items(), key=lambda one: -way * one[1]))
    return (
        f"A baseline is better than this net, which has {metric} {own:.4g}: {found}. Make it better before it is used"
    )
