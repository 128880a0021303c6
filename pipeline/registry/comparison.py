"""Challenger and champion, fetched from the registry and asked the same rows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline.evaluation import paired
from pipeline.evaluation.metric_names import is_of_class, of_class
from pipeline.kinds.kind import of
from pipeline.registry import versions
from pipeline.registry.provenance import found_run
from pipeline.store.held_out import HeldOut

if TYPE_CHECKING:
    from pipeline.models.bundle import Bundle

WARM, TIMED = 10, 200  # single records
LONGEST = 2.0  # seconds that they may take


@dataclass(frozen=True)
class Measured:
    """A version by itself."""

    version: Any  # of MLflow
    task: str
    values: np.ndarray | None  # (N,) what each row adds to the gate's metric
    latency_ms: float  # 95% of single records are answered within
    timed: int  # so many of them
    size_mb: float
    encoder: Mapping[str, Any] = field(default_factory=dict)
    logged: Mapping[str, float] = field(default_factory=dict)  # its run's metrics; its tags have none of single classes

    @property
    def metrics(self) -> dict[str, float]:
        """As `ratchet evaluate` found them on this test split, those of the classes left out."""
        tags = self.version.tags.items()
        return {name: float(value) for name, value in tags if name.startswith(("test/", "baseline/"))}

    def metric(self, name: float | str) -> float | None:
        """A number as it is; else as `ratchet evaluate` found it on this test split."""
        if not isinstance(name, str):
            return name
        if is_of_class(name):
            return self.logged.get(of_class(name, self.encoder["labels"]))
        return float(self.version.tags[name]) if name in self.version.tags else None


@dataclass(frozen=True)
class Comparison:
    test: HeldOut
    challenger: Measured
    champion: Measured

    @property
    def task(self) -> str:
        return self.challenger.task

    @property
    def values(self) -> np.ndarray:
        """(N, 2): challenger, champion."""
        both = [cast("np.ndarray", one.values) for one in (self.challenger, self.champion)]  # a gate has a metric
        return np.stack(both, axis=1)


def measured(client: Any, version: Any, test: HeldOut, metric: str | None) -> Measured:
    """`metric` None: the rows are not scored."""
    from pipeline.models.bundle import Bundle

    folder = versions.fetched(client, version)
    bundle = Bundle.load(folder)
    times = latencies(bundle, test)
    run = found_run(client, version.run_id)
    return Measured(
        version=version,
        task=bundle.encoder["task"],
        values=None if metric is None else paired.by_row(bundle, test, metric),
        latency_ms=float(np.quantile(times, 0.95) * 1000),
        timed=len(times),
        size_mb=size(folder) / 1e6,
        encoder=bundle.encoder,
        logged=run.data.metrics if run else {},
    )


def asked(client: Any, one: Measured, other: HeldOut, metric: str) -> Measured:
    """The same version on other rows."""
    from pipeline.models.bundle import Bundle

    bundle = Bundle.load(versions.fetched(client, one.version))
    return replace(one, values=paired.by_row(bundle, other, metric))


def latencies(bundle: "Bundle", test: HeldOut) -> list[float]:
    """Seconds for a record at a time, raw record to answer, after some that warm up."""
    times: list[float] = []
    end = time.perf_counter() + LONGEST
    while len(times) < WARM + TIMED and (len(times) < 2 * WARM or time.perf_counter() < end):
        row = len(times) % len(test)
        record = of(bundle.encoder).known(bundle.encoder, test.records[row : row + 1])
        start = time.perf_counter()
        bundle.predict(record)
        times.append(time.perf_counter() - start)
    return times[WARM:]


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
