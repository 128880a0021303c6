"""The gate: absolute thresholds for the first champion, and no step back for the ones after it.

The paired comparison of two models on one test split will replace the second part.
"""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    name: str
    given: float | None
    needed: float | None
    source: str

    @property
    def passed(self) -> bool:
        return self.given is not None and self.needed is not None and self.given >= self.needed


def conditions(
    minimum: dict[str, float | str], challenger: dict[str, str], champion: dict[str, str] | None
) -> list[Condition]:
    """What the challenger must reach; `challenger` and `champion` are the tags of the two versions."""

    def given(metric: str) -> float | None:
        return float(challenger[metric]) if metric in challenger else None

    def needed(metric: str, least: float | str) -> Condition:
        if isinstance(least, str):
            return Condition(metric, given(metric), given(least), least)
        return Condition(metric, given(metric), least, "conf")

    found = [needed(metric, least) for metric, least in sorted(minimum.items())]
    if champion is not None:
        found += [
            Condition(metric, given(metric), float(champion[metric]), "champion")
            for metric in sorted(minimum)
            if metric in champion
        ]
    return found


def comparable(challenger: dict[str, str], champion: dict[str, str] | None) -> bool:
    """Scores of two test splits can't be compared."""
    return champion is None or challenger.get("data.test_sha256") == champion.get("data.test_sha256")


def table(found: list[Condition]) -> str:
    rows = [
        f"{each.name:<18} {shown(each.given):>8} {shown(each.needed):>8}  "
        f"{'passed' if each.passed else 'failed'}  ({each.source})"
        for each in found
    ]
    return "\n".join([f"{'condition':<18} {'given':>8} {'needed':>8}", *rows])


def shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4f}"


def as_report(found: list[Condition]) -> list[dict[str, Any]]:
    return [asdict(each) | {"passed": each.passed} for each in found]
