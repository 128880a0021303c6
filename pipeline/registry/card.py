"""The model card: what a version is and is not for, what it was made of, what it scores, and where it is weakest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.config.checking import flatten
from pipeline.config.schema import HASHED, Config
from pipeline.datasets import vocabulary
from pipeline.evaluation.beaten import beaten
from pipeline.project import paths
from pipeline.project.spreadsheets import unguarded
from pipeline.project.tables import number
from pipeline.registry.card_pages import Part
from pipeline.tasks.task import by_name

PREDICTIONS, SLICES, FIGURES = (paths.REPORTS / name for name in ("predictions.parquet", "slices.csv", "figures"))


@dataclass(frozen=True)
class Champion:
    """What the version is compared with: the settings of its run, or None where MLflow has them no more."""

    version: str
    fingerprint: str
    settings: Mapping[str, Any] | None


def card(
    config: Config,
    spec: dict[str, Any],
    metrics: dict[str, float],
    run: dict[str, Any],
    tags: dict[str, str],
    settings: Mapping[str, Any],
    champion: Champion | None,
) -> list[Part]:
    """`metrics` as values.read gives them: test/NAME, test/NAME/CLASS and baseline/BASELINE/NAME; `run` as in
    models/run.json; `settings` are those of the run."""
    said = config.registry
    unstated = f"Not stated. It was made of the data {spec['data']} as described here; any other use is not tested."
    measured = (
        "Measured on this test split alone: expect less on data that was collected otherwise, or later. An interval is "
        "of these test rows: it does not say what another training would give."
    )
    return [
        Part("Task", task(spec)),
        Part("Intended use", said.intended_use or unstated),
        Part("Limits", "\n\n".join(filter(None, (said.limits, measured)))),
        *warnings(spec, metrics),
        scores(metrics, spec["task"]),
        weakest(metrics),
        slices(),
        differences(settings, spec["fingerprint"], champion),
        data(spec),
        raw(settings["data"]["source"]),
        training(run, tags),
        again(said.model, tags),
        Part("Figures", figures=sorted(FIGURES.glob("*.png"))),
    ]


def task(spec: dict[str, Any]) -> str:
    what = by_name(spec["task"]).described(spec)
    return f"{what}; from {spec['kind']} data, inputs {tuple(spec['inputs']['shape'])} of {spec['inputs']['dtype']}."


def warnings(spec: dict[str, Any], metrics: dict[str, float]) -> list[Part]:
    """What speaks against using it."""
    found = list(filter(None, (beaten(metrics, spec["task"]), vocabulary.warning(spec["statistics"]))))
    return [Part("Warnings", "\n\n".join(found))] if found else []


def scores(metrics: dict[str, float], task: str) -> Part:
    """The model beside its baselines, on the same rows."""
    certain = by_name(task).intervals(PREDICTIONS)
    baselines = dict.fromkeys(name.split("/")[1] for name in sorted(metrics) if name.startswith("baseline/"))
    names = [name.partition("/")[2] for name in metrics if name.startswith("test/") and name.count("/") == 1]
    names = sorted(set(names) - {"count"}, key=lambda name: (name not in certain, name))
    rows = [
        (
            name,
            number(metrics[f"test/{name}"]),
            " to ".join(map(number, certain.get(name, ()))),
            *(number(metrics.get(f"baseline/{one}/{name}")) for one in baselines),
        )
        for name in names
    ]
    said = f"{metrics['test/count']:,.0f} rows of the test split. 95% intervals by resampling them."
    return Part("Metrics", said, ("metric", "model", "95% interval", *baselines), rows)


def weakest(metrics: dict[str, float]) -> Part:
    """The classes by recall, the lowest first."""
    recalls = {name.rpartition("/")[2]: value for name, value in metrics.items() if name.startswith("test/recall/")}
    rows = [
        (name, *(number(metrics.get(f"test/{metric}/{name}")) for metric in ("recall", "precision", "f1")))
        for name in sorted(recalls, key=lambda name: (recalls[name], name))
    ]
    return Part("Classes, the weakest first", head=("class", "recall", "precision", "f1"), rows=rows)


def slices() -> Part:
    """As evaluate sorted them: the worst first, those of few rows last."""
    table = unguarded(pl.read_csv(SLICES, infer_schema_length=None, schema_overrides={"value": pl.String}))
    scores = [name for name in table.columns[4:] if not table[name].is_null().all()]
    rows = [
        (f"{one['column']}: {one['value']}", f"{one['rows']:,}", *(number(one[score]) for score in scores))
        for one in table.to_dicts()
    ]
    return Part("Slices, the weakest first", head=("slice", "rows", *scores), rows=rows)


def differences(settings: Mapping[str, Any], fingerprint: str, champion: Champion | None) -> Part:
    title = "Settings that differ from the champion's"
    if champion is None:
        return Part(title, "There was no champion when this version was registered.")
    if champion.settings is None:
        return Part(title, f"The settings of version {champion.version} are not in MLflow any more.")
    here, there = leaves(settings) | {"data": fingerprint}, leaves(champion.settings) | {"data": champion.fingerprint}
    rows = [
        (key, *("–" if key not in side else str(side[key]) for side in (there, here)))
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
    ]
    same = "" if rows else f"None: the settings and the data are those of version {champion.version}."
    return Part(title, same, ("setting", f"version {champion.version}", "this version"), rows)


def leaves(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of what decides the model; the raw files are told apart by the data's fingerprint."""
    chosen = {key: value for key, value in settings.items() if key in HASHED | {"scenario"}}
    return {key: value for key, value in flatten(chosen) if not key.startswith(("data.source", "pretrained.source"))}


def data(spec: dict[str, Any]) -> Part:
    rows = [
        (name, f"{split['rows']:,}", f"{split['quarantined']:,}", split["sha256"])
        for name, split in sorted(spec["splits"].items())
    ]
    counts = spec["counts"]
    said = f"{spec['data']}, fingerprint {spec['fingerprint']}: {counts['in']:,} rows read, "
    said += f"{counts['quarantined']:,} quarantined."
    if use := spec.get("feedback"):
        said += f" {use['joined']:,} rows of train are labels from use; {use['held_back']:,} more were held back."
    return Part("Data", said, ("split", "rows", "quarantined", "SHA-256"), rows)


def raw(source: Mapping[str, Any]) -> Part:
    if "folder" in source:
        return Part("Raw data", f"A folder of {source['files']:,} files, SHA-256 {source['sha256']}.")
    rows = [(name, str(about["sha256"])) for name, about in sorted(source["files"].items())]
    return Part("Raw data", head=("file", "SHA-256"), rows=rows)


def training(run: dict[str, Any], tags: dict[str, str]) -> Part:
    best = run["best"]
    rows = [
        ("best", f"{best['monitor']} {number(best['value'])}, after epoch {best['epoch']} of {len(run['history'])}"),
        ("scenario", tags["scenario"]),
        ("config hash", run["config_hash"]),
        ("run", run["run_id"]),
        ("bundle", run["bundle_digest"]),
        ("commit", f"{tags['git.commit']}{', with changes' if tags['git.dirty'] == 'true' else ''}"),
    ]
    return Part("Training", head=("", ""), rows=rows)


def again(model: str, tags: dict[str, str]) -> Part:
    said = "N is the number of this version. The first makes it again and compares the bytes; the others do it by hand."
    if tags["git.commit"] == "none":
        return Part("How to make it again", "Git could not say which commit made it: it can't be made again for sure.")
    commands = [f"ratchet reproduce models:/{model}/N", f"git checkout {tags['git.commit']}", "dvc repro"]
    return Part("How to make it again", said, commands=commands)
