"""What a project holds that an earlier version made: read as it is. `python -m benchmarks.upgrade` tries a whole one.

tests/kept/ holds the settings as commit e93f63a wrote them; the bundle and the journal here are written as it did.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.config import lock
from pipeline.models.bundle import Bundle
from pipeline.project.files import sha256
from pipeline.tracking.journal import Journal
from tests.support import runs

KEPT = Path(__file__).parent / "kept"
RUN = "457ac6a79ff04c2389206359ad87fb18"
DESCRIPTION = {
    "config_hash": "fe0f5cd8a62cc380fead15d1ad7dfdb591e87b63cacffff0c52a5f5abbaf1541",
    "data_fingerprint": "c2570f1cf1a12d1f402d53d6928817bca68df7d7bba64128210af068f0df5ce6",
    "encoder": {
        "dtype": "uint8",
        "kind": "image",
        "labels": ["dark", "light"],
        "scaling": {"add": 0.0, "multiply": 0.00392156862745098},
        "shape": [1, 2, 2],
        "task": "classification",
    },
    "format": 2,
    "inputs": {"dtype": "uint8", "shape": ["N", 1, 2, 2]},
    "loss": "cross_entropy",
    "net": {"activation": "relu", "dropout": 0.0, "init": "default", "name": "mlp", "norm": "none", "widths": [1]},
    "versions": {"python": "3.11.7", "torch": "2.13.0+cpu"},
}
LINES = """\
{"kind": "run", "experiment": "mnist", "name": "mnist_mlp-fe0f5cd", "time": 1796097376372, "parent": null}
{"kind": "status", "value": "RUNNING", "time": 1796097376373, "reason": ""}
{"kind": "params", "values": {"scenario": "mnist_mlp", "seed": "0", "optimizer.lr": "0.001"}}
{"kind": "metrics", "step": 16, "time": 1796097377000, "values": {"val/accuracy": 0.565, "val/loss": 1.946}}
{"kind": "metrics", "step": 32, "time": 1796097378000, "values": {"val/accuracy": 0.65, "val/loss": 1.7}}
{"kind": "status", "value": "FINISHED", "time": 1796097379000, "reason": "trained to its end"}
"""


NEURON = {
    "net.1.weight": torch.ones(1, 4),
    "net.1.bias": torch.zeros(1),
    "net.3.weight": torch.tensor([[0.0], [1.0]]),
    "net.3.bias": torch.tensor([1.0, 0.0]),
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """One neuron that adds four pixels up: more than a whole white one is light."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    save_file(NEURON, folder / "weights.safetensors")
    described = DESCRIPTION | {"weights_sha256": sha256(folder / "weights.safetensors")}
    (folder / "bundle.json").write_text(json.dumps(described, indent=2, sort_keys=True))
    return folder


def test_a_bundle_answers_as_it_did(bundle):
    pixels = np.array([[[[255, 255], [0, 0]]], [[[51, 0], [0, 0]]]], np.uint8)
    light, dark = Bundle.load(bundle).predict(pixels)
    assert (light["label"], dark["label"]) == ("light", "dark")
    assert light["probabilities"] == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])  # logits 1 and 2
    assert dark["probabilities"][1] == pytest.approx(1 / (1 + np.exp(0.8)))  # 1 and 0.2


def test_locked_settings_without_digests_of_code_are_taken_and_their_hash_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(KEPT / "params.lock.yaml", "params.lock.yaml")
    config = lock.load()
    then = Path("params.lock.yaml").read_text().split("# config hash ")[1].split()[0]
    assert config.is_of(then)
    assert config.hash != then
    lock.write(config)
    assert lock.load() == config


def test_a_run_is_listed_gone_on_with_and_shipped(project, called, ratchet):
    folder = project / ".ratchet/journal" / RUN
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text(LINES)
    done = called("runs")
    assert done.returncode == 0, done.stderr
    assert "mnist_mlp-fe0f5cd" in done.stdout
    assert "FINISHED" in done.stdout
    with Journal.later(RUN, "mnist", "mnist_mlp-fe0f5cd") as journal:
        journal.metrics(32, {"test/accuracy": 0.6})
    assert (folder / "journal.jsonl").read_text().startswith(LINES)
    done = ratchet("sync")
    assert done.returncode == 0, done.stderr
    (run,) = runs.shipped_runs(runs.store(project))
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"val/accuracy": 0.65, "val/loss": 1.7, "test/accuracy": 0.6}
