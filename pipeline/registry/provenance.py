"""Where a version comes from: what `register` tags it with, and all that MLflow tells of it afterwards.

Settings and source files can be longer than a tag: they are in its run, whose config.yaml is the whole config.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.registry import ledger
from pipeline.tracking import revision

DIGEST = "bundle.digest"
LONGEST = 4000  # characters of a tag; older servers take 5,000
PARENTS = ("mlflow.parentRunId", "sweep.study", "sweep.trial")
MACHINE = ("device", "strategy", "processes", "threads", "precision", "accumulate")


def tags(config: Config, digest: str, run: dict[str, Any], spec: dict[str, Any]) -> dict[str, str]:
    """Of a new version; `digest` is its bundle's, `run` is run.json, `spec` is data/processed's."""
    import torch

    code = revision.commit()
    return {
        DIGEST: digest,
        "scenario": config.scenario,
        "config.hash": run["config_hash"],
        "data.fingerprint": run["data_fingerprint"],
        "data.test_sha256": spec["splits"]["test"]["sha256"],
        **({"data.feedback": json.dumps(spec["feedback"])} if "feedback" in spec else {}),
        "run_id": run["run_id"],
        **({"code.train": run["code"]} if "code" in run else {}),
        "cpu": torch.backends.cpu.get_cpu_capability(),  # its instructions decide the last bits
        "evaluation": json.dumps(config.evaluation.model_dump(mode="json")),  # may be others than when it was trained
        **code,
        "git.changed": "" if "git.problem" in code else changed(),
        **dvc_sums(),
    }


def changed() -> str:
    """Files of the package that differ from the commit, or are not in it, one a line."""
    status = revision.git("status", "--porcelain", "--untracked-files=all", "--", "pipeline") or ""
    found = [line.split(maxsplit=1)[1] for line in status.splitlines()]
    return "\n".join(found) if len("\n".join(found)) < LONGEST else f"{len(found):,} files"


def dvc_sums() -> dict[str, str]:
    """Those of dvc.lock, unless it tells of another training than models/: stages can be run without DVC."""
    sums = revision.dvc_sums()
    run = hashlib.md5(paths.RUN.read_bytes(), usedforsecurity=False).hexdigest()
    return sums if sums.get(f"dvc.{paths.RUN}") == run else {}


def read(client: Any, version: Any) -> dict[str, Any]:
    """All that made a ModelVersion, JSON-able; parts that MLflow does not have any more are None or empty."""
    tags, run = version.tags, found_run(client, version.run_id)
    recorded = run.data.tags if run else {}
    settings = stored_settings(client, version.run_id) if run else None
    aliases = client.get_registered_model(version.name).aliases
    entries = [each for each in ledger.read(client, version.name).changing if str(each.after) == str(version.version)]
    return {
        "uri": f"models:/{version.name}/{version.version}",
        "aliases": sorted(alias for alias, number in aliases.items() if str(number) == str(version.version)),
        "registered": ledger.shown(version.creation_timestamp),
        "bundle": tags.get(DIGEST),
        "code": {
            "commit": tags.get("git.commit"),
            "dirty": tags.get("git.dirty"),
            "changed": tags.get("git.changed", "").splitlines(),
            "commit_trained": recorded.get("git.commit"),
            "train": tags.get("code.train"),
        },
        "data": data(tags, settings, run),
        "dvc": part(tags, "dvc."),
        "config_hash": tags.get("config.hash"),
        "settings": settings,
        "run": about(run, tags.get("run_id")),
        "packages": part(recorded, "version."),
        "machine": {name: recorded[name] for name in MACHINE if name in recorded} | {"cpu": tags.get("cpu")},
        "parents": {name: recorded[name] for name in PARENTS if name in recorded} | answered(tags),
        "promoted": [
            f"again, since version {each.version} was {each.told}" if each.action == "lost" else each.told
            for each in entries
        ],
        "metrics": {name: float(value) for name, value in tags.items() if name.startswith(("test/", "baseline/"))},
        "evaluation": json.loads(tags.get("evaluation", "{}")),
    }


def answered(tags: dict[str, str]) -> dict[str, str]:
    """Versions on whose answers the labels from use were given that train got."""
    use = json.loads(tags.get("data.feedback", "null"))
    return {"labels on answers of versions": ", ".join(use["versions"])} if use else {}


def part(tags: dict[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}


def found_run(client: Any, run_id: str) -> Any | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def stored_settings(client: Any, run_id: str) -> dict[str, Any] | None:
    """The whole config that the run was trained with; None if its config.yaml is not in MLflow any more."""
    if all(each.path != "config.yaml" for each in client.list_artifacts(run_id)):
        return None
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        text = Path(client.download_artifacts(run_id, "config.yaml", folder)).read_text(encoding="utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def data(tags: dict[str, str], settings: dict[str, Any] | None, run: Any | None) -> dict[str, Any]:
    """Fingerprint, splits as {name: {rows, sha256, …}}, and the sums of the raw files, or those of their folder."""
    splits = {
        each.dataset.name.rpartition("-")[2]: json.loads(each.dataset.profile)
        for each in (run.inputs.dataset_inputs if run else ())
    }
    source = settings["data"]["source"] if settings else {}
    encoder = settings["pretrained"].get("source", {"files": {}})["files"] if settings else {}
    files = {} if "folder" in source else source.get("files", {})
    return {
        "name": settings["data"]["name"] if settings else None,
        "fingerprint": tags.get("data.fingerprint"),
        "test_sha256": tags.get("data.test_sha256"),
        "feedback": json.loads(tags.get("data.feedback", "null")),
        "splits": splits,
        "files": files | {f"encoder/{name}": one for name, one in encoder.items()},
        "folder": source if "folder" in source else None,
    }


def about(run: Any | None, run_id: str | None) -> dict[str, Any]:
    if run is None:
        return {"ratchet": run_id, "mlflow": None}
    began, ended = run.info.start_time, run.info.end_time
    return {
        "ratchet": run_id,
        "mlflow": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status + (" (deleted)" if run.info.lifecycle_stage == "deleted" else ""),
        "reason": run.data.tags.get("ratchet.reason"),
        "began": ledger.shown(began),
        "seconds": (ended - began) / 1000 if ended else None,
    }
