"""Champions that nobody trained, laid where a service looks: its form is tested without MLflow and without training."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.models import bundle
from pipeline.models.network import build
from tests.conftest import REPOSITORY
from tests.support import runs
from tests.support.services import Service, serving
from tests.test_model_api import made

NETS = {"image": "mlp", "behaviour": "behaviour", "text": "bert"} | dict.fromkeys(
    ("table", "regression", "odd", "drop"), "table"
)


@contextmanager
def served(project: Path, kinds: list[str]) -> Iterator[tuple[Service, dict[str, str]]]:
    """A service of the first of the kinds, and the digests that `swap` can point to; MLflow is away."""
    digests = {kind: lay(project, kind) for kind in kinds}
    point(project, digests[kinds[0]])
    with serving(project, "serving.watch_seconds=600", MLFLOW_TRACKING_URI="http://127.0.0.1:9") as service:
        yield service, digests


def lay(project: Path, kind: str, factor: float = 1.0) -> str:
    """On the tiny data of test_model_api.py, weights times `factor`; returns the bundle's digest."""
    folder = project.parent / kind
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        encoder, examples = json.loads(json.dumps(made(kind, folder)))
    net = yaml.safe_load((REPOSITORY / f"conf/model/{NETS[kind]}.yaml").read_text(encoding="utf-8"))
    loss = "mse" if encoder["task"] == "regression" else "cross_entropy"
    torch.manual_seed(0)
    weights = {name: factor * one for name, one in build(net, encoder, loss).state_dict().items()}
    identity = {"config_hash": "0" * 64, "data_fingerprint": "0" * 64}
    digest = bundle.save(folder / "bundle", weights, net, loss, encoder, identity)
    if encoder["kind"] != "image":
        examples = table(encoder, examples)
    (folder / "example.json").write_text(json.dumps(examples), encoding="utf-8")
    place = project / ".ratchet/served/mnist" / digest
    place.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(place)
    return digest


def table(encoder: dict[str, Any], examples: list[Any]) -> dict[str, Any]:
    """As MLflow writes examples that are no arrays."""
    column = {"text": encoder.get("column"), "behaviour": "items"}.get(encoder["kind"])
    rows = [{column: one} if column and not isinstance(one, dict) else one for one in examples]
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def point(project: Path, digest: str) -> None:
    state = {"model": "mnist", "version": 1, "digest": digest, "problem": None, "looked": time.time()}
    temporary = project / ".ratchet/served/mnist/next.json"
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(temporary.with_name("champion.json"))


def swap(service: Service, project: Path, digest: str) -> None:
    point(project, digest)
    runs.eventually(lambda: service.health()["digest"] == digest, pause=0.05)
