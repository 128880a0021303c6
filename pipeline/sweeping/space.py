"""What a sweep searches in, in Hydra's grammar: choice, range, interval, tag(log, …), comma lists, lists and groups."""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep, Transformer
from hydra.errors import HydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from pipeline.config.checking import report
from pipeline.config.composition import options
from pipeline.project.errors import ConfigError

Point = dict[str, Any]
Distribution = CategoricalDistribution | FloatDistribution | IntDistribution
PLAIN = (bool, int, float, type(None))
MOST = 10_000  # points of a grid
GRAMMAR = "choice(a,b), range(1,5), interval(0.1,1), tag(log,interval(0.001,0.1)) or a,b"


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched."""

    key: str
    text: str  # as it was given
    distribution: Distribution
    points: list[Any] | None  # all values, where they can be counted

    def suggest(self, trial: Trial) -> Any:
        one = self.distribution
        if isinstance(one, CategoricalDistribution):
            return trial.suggest_categorical(self.key, one.choices)
        if isinstance(one, IntDistribution):
            return trial.suggest_int(self.key, one.low, one.high, step=one.step, log=one.log)
        return trial.suggest_float(self.key, one.low, one.high, step=one.step, log=one.log)

    def ends(self) -> list[Any]:
        """Values that between them meet every limit that a setting can have."""
        if self.points is not None:
            return self.points
        one = cast("FloatDistribution | IntDistribution", self.distribution)  # an interval's
        return [one.low, one.high]


def split(arguments: Sequence[str], ready: Mapping[str, Any]) -> tuple[list[Dimension], list[str]]:
    """(the dimensions of `ready` and of the arguments, which win; the arguments with a single value)."""
    parsed = [(parse(f"{key}={value}"), f"{key}={value}") for key, value in ready.items()]
    parsed += [(parse(text), text) for text in arguments]
    fixed = [text for override, text in parsed if not override.is_sweep_override()]
    if wrong := [text for text in fixed if text not in arguments]:
        raise ConfigError(f"sweep.space: {wrong[0]!r} is a single value; a space is one of {GRAMMAR}")
    known = {override.key_or_group: (override, text) for override, text in parsed if override.is_sweep_override()}
    given = {parse(text).key_or_group for text in fixed}
    if both := [key for key in given & known.keys() if known[key][1] in arguments]:
        raise ConfigError(f"{', '.join(both)}: given as a value and as a space; give one of them")
    return [dimension(*one) for key, one in known.items() if key not in given], fixed


def parse(text: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(f"{error}\nA space is given as key={GRAMMAR}; a setting as key=value") from None
    if override.is_delete() or override.is_add() or override.is_force_add():
        raise ConfigError(f"{text!r}: nothing is added to the settings or taken from them; give it as key=value")
    return override


def dimension(override: Override, given: str) -> Dimension:
    key, text = override.key_or_group, given.partition("=")[2]
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return Dimension(key, text, interval(value), None)
        if isinstance(value, RangeSweep):
            points = list(value.range())
            return Dimension(key, text, stepped(value, points), points)
        points = choices(override, cast("ChoiceSweep | Glob", value))  # split() gives only what is searched
    except ValueError as error:
        raise ConfigError(report([(key, text, str(error), [])])) from None
    return Dimension(key, text, CategoricalDistribution(points), points)


def interval(value: IntervalSweep) -> Distribution:
    low, high = cast("float", value.start), cast("float", value.end)  # the grammar asks for both
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError("an interval needs a lower end below its upper end; for one value type key=value")
    log = logarithmic(value.tags)
    if log and low <= 0:
        raise ValueError("tag(log, …) needs an interval above 0")
    kind: Callable[..., Distribution] = IntDistribution if isinstance(low, int) else FloatDistribution
    return kind(low, high, log=log)


def stepped(value: RangeSweep, points: list[Any]) -> Distribution:
    several(points)
    if value.step < 0:
        raise ValueError("a range that is searched goes upwards: range(low, high, step)")
    log = logarithmic(value.tags)
    whole = all(isinstance(point, int) for point in points)
    if log and not (whole and value.step == 1 and points[0] > 0):
        raise ValueError("tag(log, range(…)) needs whole numbers above 0 and a step of 1; or take interval(…)")
    kind: Callable[..., Distribution] = IntDistribution if whole else FloatDistribution
    return kind(points[0], points[-1], step=value.step, log=log)


def choices(override: Override, value: ChoiceSweep | Glob) -> list[Any]:
    """Numbers as they are; lists and words as Hydra's grammar writes them."""
    if isinstance(value, Glob):
        return several(value.filter(options(override.key_or_group)))
    logarithmic(value.tags - {"log"})
    found = []
    for point in override.sweep_iterator(transformer=Transformer.identity):
        plain = isinstance(point, PLAIN) and not (isinstance(point, float) and not math.isfinite(point))
        found.append(point if plain else Transformer.encode(point))
    if len({repr(point) for point in found}) < len(found):
        raise ValueError("a value stands there twice")
    return several(found)


def several(points: list[Any]) -> list[Any]:
    if len(points) < 2:
        raise ValueError("a space needs two points at least; for one value type key=value")
    return points


def logarithmic(tags: set[str]) -> bool:
    if unknown := tags - {"log"}:
        raise ValueError(f"no such tag {', '.join(sorted(unknown))}; the only one is log")
    return "log" in tags


def grid(dimensions: Sequence[Dimension]) -> list[Point] | None:
    """Every point of the space, the last setting changing fastest; None where they can't be counted."""
    points = [one.points for one in dimensions if one.points is not None]
    if len(points) < len(dimensions):
        return None
    size = math.prod(map(len, points))
    if size > MOST:
        raise ConfigError(f"the grid has {size:,} points, {MOST:,} at most are taken.\nType: sweep.sampler=tpe")
    keys = [one.key for one in dimensions]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*points)]


def overrides(point: Mapping[str, Any]) -> list[str]:
    """A trial's settings in Hydra's grammar; words are in it already."""
    return [f"{key}={value if isinstance(value, str) else written(value)}" for key, value in point.items()]


def written(value: Any) -> str:
    """A value from a Python file; JSON is Hydra's grammar too, but for mappings."""
    if isinstance(value, dict):
        raise ConfigError(f"{value!r} is several settings: give each by its own dotted name")
    return repr(value) if isinstance(value, float) else json.dumps(value)
