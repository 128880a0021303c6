"""What the newest version was asked, and what it answered, beside the data that it was made of."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pipeline.config.schema import Config
from pipeline.feedback_loop import features
from pipeline.feedback_loop.comparing import Compared, compared
from pipeline.feedback_loop.store import Prediction, Store
from pipeline.kinds.encoding import encode, raw
from pipeline.kinds.kind import of
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.store import processed as data
from pipeline.tasks import task as tasks

LIVE, REFERENCE, ANSWERED = 10_000, 20_000, 2_000  # rows at most: of use, of train, and those that the model is asked
FEWEST = 50  # predictions
RISK = 0.01  # of finding any drift where there is none


@dataclass(frozen=True)
class Drift:
    version: int | None = None
    live: int = 0  # predictions that were compared
    unusable: int = 0  # that this data's encoder can't read
    inputs: list[Compared] = field(default_factory=list)
    answers: list[Compared] = field(default_factory=list)
    learned: list[Compared] = field(default_factory=list)  # the inputs beside the labels from use that train holds
    psi: float = 0.0
    notes: list[str] = field(default_factory=list)  # what was not compared, and why

    @property
    def drifted(self) -> list[Compared]:
        return [*self.differing(self.inputs), *self.differing(self.answers)]

    @property
    def new(self) -> list[Compared]:
        """Of what has drifted, what the version has not learned of use already."""
        if not self.learned:
            return self.drifted
        unlike = {one.name for one in self.differing(self.learned)}
        return [one for one in self.differing(self.inputs) if one.name in unlike]

    def differing(self, some: list[Compared]) -> list[Compared]:
        """Both are needed: the index of few rows is large by chance, and of many rows any difference is certain."""
        risk = RISK / max(1, len(self.inputs) + len(self.answers))
        return [one for one in some if one.psi >= self.psi and one.p <= risk]


def drift(config: Config, store: Store) -> Drift:
    """Notes say what can't be compared: too few predictions, no data/processed, no bundle of that version."""
    given = store.newest(config.registry.model, LIVE)
    if len(given) < FEWEST:
        return Drift(notes=[f"{len(given)} predictions of the newest version; drift is judged from {FEWEST} on"])
    version = given[0].version
    if not (paths.PROCESSED / data.SPEC).is_file():
        missing = f"{paths.PROCESSED} is not here, so nothing is known of the training data; type: dvc repro preprocess"
        return Drift(version, notes=[missing])
    spec, encoder = data.load_spec(), data.load_encoder()
    usable = list(readable(encoder, given))
    if len(usable) < FEWEST:
        said = f"only {len(usable)} of the newest {len(given):,} records are such as {paths.PROCESSED} holds"
        return Drift(version, unusable=len(given) - len(usable), notes=[said])
    records, answers = zip(*usable, strict=True)
    popular = popularity(encoder, spec)
    notes: list[str] = []
    inputs, learned = of_inputs(encoder, spec, list(records), popular)
    return Drift(
        version=version,
        live=len(usable),
        unusable=len(given) - len(usable),
        inputs=inputs,
        answers=of_answers(encoder, spec, given[0], list(answers), popular, notes),
        learned=learned,
        psi=config.feedback.psi,
        notes=notes,
    )


def readable(encoder: dict[str, Any], given: list[Prediction]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(record as the encoder takes it, answer) of those that it can."""
    for one in given:
        try:
            record = raw(encoder, one.kind, one.record)
            encode(encoder, [record])
        except DataError:
            continue  # counted as unusable
        yield record, json.loads(one.answer)


def popularity(encoder: dict[str, Any], spec: dict[str, Any]) -> np.ndarray:
    """(items + 1,) the share of train's choices that each item is; index 0 is no item. Of other tasks: empty."""
    if not tasks.of(encoder).history:
        return np.empty(0)
    targets = data.load_split("train", spec)["targets"].numpy()
    return np.append(0, np.bincount(targets, minlength=len(encoder["labels"])) / len(targets))


def of_inputs(
    encoder: dict[str, Any], spec: dict[str, Any], records: list[Any], popular: np.ndarray
) -> tuple[list[Compared], list[Compared]]:
    """Beside train; and beside the labels from use that it holds, if those are enough."""
    split = data.load_split("train", spec)
    train, used = split["inputs"].numpy(), split["rows"].numpy() < 0
    alike = of(encoder).like_use
    whole = train if alike == "train" else data.load_split(alike, spec)["inputs"].numpy()
    now = features.of_inputs(encoder, encode(encoder, records), popular)

    def beside(rows: np.ndarray) -> list[Compared]:
        before = features.of_inputs(encoder, sample(rows, REFERENCE), popular)
        return [compared(name, before[name], now[name]) for name in before]

    return beside(whole), beside(train[used]) if used.sum() >= FEWEST else []


def of_answers(
    encoder: dict[str, Any],
    spec: dict[str, Any],
    newest: Prediction,
    answers: list[dict[str, Any]],
    popular: np.ndarray,
    notes: list[str],
) -> list[Compared]:
    """Against what the same version says of validation rows, which it has not learned."""
    bundle = bundle_of(newest.digest)
    if bundle is None or bundle.encoder != encoder:
        there = "is not on this machine" if bundle is None else f"was made of other data than {paths.PROCESSED}"
        notes.append(f"the predictions are not compared: version {newest.version} {there}")
        return []
    rows = torch.from_numpy(sample(data.load_split("val", spec)["inputs"].numpy(), ANSWERED))
    parts, task = torch.split(rows, 500), tasks.of(encoder)
    said = [one for part in parts for one in task.answers(bundle.outputs(part), part, encoder)]
    before = features.of_answers(encoder, said, popular)
    now = features.of_answers(encoder, answers, popular)
    return [compared(name, before[name], now[name]) for name in before]


def bundle_of(digest: str) -> Bundle | None:
    """As it was served, or as it was trained, here."""
    for folder in (paths.BUNDLE, *paths.state("served").glob(f"**/{digest}/bundle")):
        try:
            bundle = Bundle.load(folder)
        except DataError:
            continue  # absent or altered: it is not that one
        if bundle.digest == digest:
            return bundle
    return None


def sample(rows: np.ndarray, most: int) -> np.ndarray:
    """Evenly spaced."""
    return rows[:: -(-len(rows) // most)] if len(rows) > most else rows
