"""Baselines that do better than the net: said wherever its scores are shown."""

from collections.abc import Mapping

from pipeline.evaluation.names import LOWER_IS_BETTER

HEADLINE = {"classification": "accuracy", "regression": "rmse", "ranking": "ndcg_10"}


def beaten(metrics: Mapping[str, float], task: str) -> str:
    """A sentence, or an empty one; `metrics` as in reports/metrics.json: test/NAME and baseline/BASELINE/NAME."""
    metric = HEADLINE[task]
    own = metrics.get(f"test/{metric}")
    if own is None:
        return ""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    better = {
        name.split("/")[1]: value
        for name, value in metrics.items()
        if name.startswith("baseline/") and name.endswith(f"/{metric}") and sign * value > sign * own
    }
    if not better:
        return ""
    found = ", ".join(f"{name} {value:.4g}" for name, value in sorted(better.items(), key=lambda one: -sign * one[1]))
    return (
        f"A baseline is better than this net, which has {metric} {own:.4g}: {found}. Make it better before it is used"
    )
