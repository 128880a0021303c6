"""Settings that are well-formed alone and impossible beside one another: refused before any data is read."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pipeline.config.data import AnyData
from pipeline.config.model import AnyModel
from pipeline.config.section import choices
from pipeline.kinds.kind import Kind, by_name
from pipeline.tasks import task as tasks
from pipeline.tasks.task import Task

Problem = tuple[str, Any, str]  # key, given, allowed


def impossible(settings: dict[str, Any]) -> list[Problem]:
    """(key, given, allowed) of each; `settings` need not be valid in any other way."""
    parts = (of_training, of_trainer, of_data_and_model, of_encoder, of_task, of_minimum)
    return [problem for part in parts for problem in part(settings)]


def at(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def word(settings: Any, key: str) -> str | None:
    """A name, or None where something else stands."""
    found = at(settings, key)
    return found if isinstance(found, str) else None


def of_training(settings: dict[str, Any]) -> Iterator[Problem]:
    patience, epochs = at(settings, "training.early_stopping.patience"), at(settings, "training.max_epochs")
    if isinstance(patience, int) and isinstance(epochs, int) and patience >= epochs:
        allowed = f"fewer than training.max_epochs = {epochs}, or it can never stop early"
        yield "training.early_stopping.patience", patience, allowed
    batch, accumulate = at(settings, "training.batch_size"), at(settings, "training.accumulate")
    if isinstance(batch, int) and isinstance(accumulate, int) and accumulate > 0 and batch % accumulate:
        yield "training.accumulate", accumulate, f"a divisor of training.batch_size = {batch}"


def of_trainer(settings: dict[str, Any]) -> Iterator[Problem]:
    node, nodes = at(settings, "trainer.node"), at(settings, "trainer.nodes")
    if isinstance(node, int) and isinstance(nodes, int) and node >= nodes > 0:
        yield "trainer.node", node, f"0 to trainer.nodes - 1 = {nodes - 1}"
    if isinstance(nodes, int) and nodes > 1 and at(settings, "cv") is not None:
        yield "cv", at(settings, "cv"), "null with trainer.nodes > 1: the folds are trained on one node"
    place = at(settings, "trainer.rendezvous")
    if isinstance(place, str) and not re.fullmatch(r"[^\s:]+:\d+", place):
        yield "trainer.rendezvous", place, "HOST:PORT of node 0, such as 10.0.0.5:29400"


def of_data_and_model(settings: dict[str, Any]) -> Iterator[Problem]:
    kind, model = word(settings, "data.kind"), word(settings, "model.name")
    data, nets = choices(AnyData, "kind").get(kind or ""), choices(AnyModel, "name")
    records = data.records if data else None
    known = by_name(records) if records else Kind
    if records and model in nets and records != nets[model].takes:
        able = ", ".join(name for name, net in nets.items() if net.takes == records)
        yield "model.name", model, f"a net for the {records} records of {at(settings, 'data.name')}: {able}"
    augmentation = at(settings, "training.augmentation")
    if records and not known.augmented and isinstance(augmentation, dict) and any(augmentation.values()):
        yield "training.augmentation", augmentation, f"all 0: it is for pictures, and these are {records} records"
    bucket = at(settings, "training.bucket")
    if records and not known.bucketed and bucket is not None:
        yield "training.bucket", bucket, f"null: it is for texts, and these are {records} records"
    if records and not known.folds and at(settings, "cv") is not None:
        yield "cv", at(settings, "cv"), "null: each user's last items are validation and test, so there are no folds"
    split = at(settings, "data.prepare.split") or at(settings, "data.prepare")
    shares = [at(split, name) for name in ("validation", "test")]
    if all(isinstance(share, float) for share in shares) and sum(shares) >= 1:
        yield "data.prepare validation and test", shares, "shares whose sum is below 1, or nothing is left to train on"


def of_encoder(settings: dict[str, Any]) -> Iterator[Problem]:
    model, encoder = word(settings, "model.name"), word(settings, "pretrained.name")
    if model == "bert" and encoder == "none":
        yield "pretrained.name", encoder, "a pretrained encoder: minilm, or hub with pretrained.path"
    if model in choices(AnyModel, "name") and model != "bert" and encoder not in ("none", None):
        yield "pretrained.name", encoder, f"none: model {model} uses no pretrained encoder; model bert does, on texts"


def task_of(settings: dict[str, Any]) -> Task | None:
    """None where data.prepare names no task that there is, which is told of by itself."""
    data = choices(AnyData, "kind").get(word(settings, "data.kind") or "")
    name = (data and data.task) or word(settings, "data.prepare.task")
    return tasks.by_name(name) if name in tasks.names() else None


def of_task(settings: dict[str, Any]) -> Iterator[Problem]:
    task = task_of(settings)
    if task is None:
        return
    if task.constant is None and at(settings, "gate.over_baseline") is True:
        yield "gate.over_baseline", True, f"false: a {task.name} has no majority class and no mean"
    for key, names in (("loss.name", "losses"), ("training.monitor", "monitors"), ("gate.metric", "gates")):
        given, allowed = word(settings, key), getattr(task, names)
        everywhere = {name for one in tasks.names() for name in getattr(tasks.by_name(one), names)}
        if given in everywhere and given not in allowed:
            yield key, given, f"for {task.name}: {', '.join(allowed)}"


def of_minimum(settings: dict[str, Any]) -> Iterator[Problem]:
    """Names that no metric can have; which classes there are is known when there is data."""
    minimum, task = at(settings, "gate.minimum"), task_of(settings)
    if not isinstance(minimum, dict) or task is None:
        return
    known = [f"test/{name}" for name in task.metrics]
    known += [f"baseline/{name}/{metric}" for name in task.baselines for metric in task.metrics]
    of_class = tuple(f"test/{name}/" for name in task.by_class)
    for name in (name for pair in minimum.items() for name in pair if isinstance(name, str)):
        if name not in known and not (of_class and name.startswith(of_class) and name not in of_class):
            yield "gate.minimum", name, listed(task) + nearest(name, [*known, *of_class])


def nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    label = name.split("/", 2)[-1] if near and near[0].endswith("/") else ""
    return f". Did you mean {near[0]}{label}?" if near else ""


def listed(task: Task) -> str:
    classes = f", test/{'|'.join(task.by_class)}/CLASS" if task.by_class else ""
    simple = f"baseline/{'|'.join(task.baselines)}/METRIC"
    return f"the metrics for {task.name} are test/{'|'.join(task.metrics)}{classes} and {simple}"
