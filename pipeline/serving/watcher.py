"""Which champion of a model is served: fetched, tried and kept in .ratchet/served/MODEL, where each worker looks.

    champion.json      {"model", "version", "digest", "problem", "looked"}
    DIGEST/bundle/     of the champion and of the one before
    DIGEST/example.json

One process asks MLflow, workers read files: an outage of MLflow, or a champion that can't be loaded, stops neither them
nor a new start.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.kinds.kind import of
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import RatchetError, RegistryError
from pipeline.project.files import follow_umask, quoted, write_json
from pipeline.project.secrets import redact

POINTER, EXAMPLE, BUNDLE = "champion.json", "example.json", "bundle"


def folder(name: str, *parts: str) -> Path:
    return paths.state("served", name, *parts)


def pointer(name: str) -> dict[str, Any] | None:
    """What is to be served; None before anything was."""
    file = folder(name, POINTER)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def watch(name: str, seconds: float) -> None:
    """Looks for a new champion for ever."""
    while True:
        time.sleep(seconds)
        look(name)


def look(name: str) -> dict[str, Any]:
    """Asks MLflow once, and lays out a new champion; what goes wrong is a problem, and the one before stays."""
    before = pointer(name)
    kept = {key: (before or {}).get(key) for key in ("model", "version", "digest")}
    try:
        found = {**kept, **laid_out(name)}
        problem = found.pop("problem")
    except RatchetError as error:
        found, problem = kept, redact(str(error))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the one before is served
        found, problem = kept, redact(f"the champion can't be loaded: {type(error).__name__}: {error}")
    if problem and problem != (before or {}).get("problem"):
        print(f"ratchet serve: {problem}", file=sys.stderr, flush=True)
    state = {**found, "problem": problem, "looked": time.time()}
    write_json(folder(name, POINTER), state)
    return state


def laid_out(name: str) -> dict[str, Any]:
    """The champion, whose files are here and can be loaded; `problem`: that its alias in MLflow stands elsewhere."""
    from pipeline.registry import champion, versions
    from pipeline.registry.provenance import DIGEST
    from pipeline.tracking import mlflow_store

    with mlflow_store.answering("ratchet serve", "The champion before, if there is one, is served meanwhile."):
        client = mlflow_store.client()
        version, state = champion.current(client, name)
        if version is None:
            raise RegistryError(
                f"{name} has no champion at {mlflow_store.shown_uri()}.\nType: dvc repro && ratchet promote"
            )
        digest = version.tags.get(DIGEST, "")
        place = folder(name, digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name("served.lock")):
            if not (place / EXAMPLE).is_file():
                fetch(client, version, place, versions.fetched)
            tried(place, digest)
            prune(place.parent, keep={digest, (pointer(name) or {}).get("digest")})
    problem = state and state.drift
    return {"model": name, "version": int(version.version), "digest": digest, "problem": problem}


def fetch(client: Any, version: Any, place: Path, fetched: Any) -> None:
    """All of it, or nothing."""
    import mlflow

    with whole(place) as temporary:
        shutil.copytree(fetched(client, version), temporary / BUNDLE)
        uri = f"models:/{version.name}/{version.version}/input_example.json"
        example = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(temporary))
        os.replace(example, temporary / EXAMPLE)


@contextmanager
def whole(place: Path) -> Iterator[Path]:
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        follow_umask(temporary)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def tried(place: Path, digest: str) -> None:
    """Loads it and lets it predict its own examples; RatchetError if that is not what was registered."""
    bundle = Bundle.load(place / BUNDLE)
    if bundle.digest != digest:
        raise RegistryError(f"{place} holds the bundle {bundle.digest}.\nType: rm -r {quoted(place)}")
    bundle.predict(examples(place, bundle.encoder))


def examples(place: Path, encoder: dict[str, Any]) -> list[Any]:
    """Raw records as pipeline/kinds/KIND/encoder.py takes them, of what the version was registered with."""
    return of(encoder).of_example(json.loads((place / EXAMPLE).read_text(encoding="utf-8")))


def prune(place: Path, keep: set[str | None]) -> None:
    for one in place.iterdir():
        if one.is_dir() and one.name not in keep:
            shutil.rmtree(one, ignore_errors=True)
