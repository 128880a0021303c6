"""ratchet lineage [URI] [--json]: which commit, data, settings and run made a version, and who promoted it.

URI: models:/NAME/3 or models:/NAME@challenger; nothing: this project's champion. MLflow alone is asked, so it works in
any clone, without the data. `ratchet reproduce` makes the version again.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from pipeline.config.checking import flatten
from pipeline.project.tables import duration, number
from pipeline.registry import provenance, uris
from pipeline.tracking import mlflow_store
from pipeline.tracking.recorded import as_json


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "ratchet lineage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("uri", nargs="?", metavar="URI")
    parser.add_argument("--json", action="store_true", help="for scripts: everything, in one object")
    options = parser.parse_args(arguments)
    with mlflow_store.answering("ratchet lineage"):
        client = mlflow_store.client()
        told = provenance.read(client, uris.named(client, options.uri))
    print(as_json(told) if options.json else "\n".join(f"{label:<11} {text}" for label, text in lines(told)))


def lines(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(label, text); a label stands on the first of its lines alone."""
    yield "version", f"{told['uri']}, {' and '.join(told['aliases']) or 'no alias'}, registered {told['registered']}"
    yield "bundle", told["bundle"]
    yield from labelled("champion", told["promoted"] or ["never promoted"])
    yield from labelled("code", code(told["code"]))
    yield from labelled("data", data(told["data"]))
    yield from labelled(
        "dvc.lock", [f"{path}  {md5}" for path, md5 in told["dvc"].items()] or ["not made by dvc repro"]
    )
    yield from labelled("run", run(told["run"]))
    yield "parents", listed(told["parents"]) or "none"
    yield "machine", listed(told["machine"])
    yield "packages", ", ".join(f"{name} {version}" for name, version in told["packages"].items())
    scores = (f"{name} {number(value)}" for name, value in told["metrics"].items() if name.startswith("test/"))
    yield "metrics", ", ".join(scores)
    yield "settings", f"config hash {told['config_hash']}"
    leaves = flatten(told["settings"] or {})
    yield from (("", f"{key}={value}") for key, value in leaves if not key.startswith(("data.source", "pretrained.so")))


def labelled(label: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    yield from zip([label, *[""] * (len(texts) - 1)], texts, strict=True)


def listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def code(about: dict[str, Any]) -> list[str]:
    """Settings are told apart: what matters of the files is the package."""
    state = {"true": "as committed but for files outside of pipeline/", "false": "as committed"}
    files = "with files that were not committed" if about["changed"] else state.get(about["dirty"], "no git")
    told = [f"commit {about['commit']}, {files}", *about["changed"]]
    if about["commit_trained"] not in (None, about["commit"]):
        told.append(f"trained at commit {about['commit_trained']}, registered at the other")
    if about["train"]:
        told.append(f"digest of what the stage train runs: {about['train']}")
    return told


def data(about: dict[str, Any]) -> list[str]:
    told = [f"{about['name'] or 'its name is not known'}, fingerprint {about['fingerprint']}"]
    told += [f"{name}: {split['rows']:,} rows, SHA-256 {split['sha256']}" for name, split in about["splits"].items()]
    told += [f"{name}: {one['bytes']:,} bytes, SHA-256 {one['sha256']}" for name, one in about["files"].items()]
    if use := about["feedback"]:
        given = ", ".join(f"version {version}: {count:,}" for version, count in use["versions"].items())
        told.append(
            f"labels from use: {use['joined']:,} in train, {use['held_back']:,} held back, "
            f"{use['unusable']:,} unusable; given on answers of {given}; SHA-256 {use['sha256']}"
        )
    if folder := about["folder"]:
        told.append(f"{folder['folder']}: {folder['files']:,} files, SHA-256 of their list {folder['sha256']}")
    return told


def run(about: dict[str, Any]) -> list[str]:
    if about["mlflow"] is None:
        return [f"{about['ratchet']}, which is not in MLflow any more"]
    took = "" if about["seconds"] is None else f", took {duration(about['seconds'])}"
    told = f"{about['ratchet']} ({about['name']}), in MLflow {about['mlflow']}"
    return [told, f"{about['status']}: {about['reason']}; began {about['began']}{took}"]
