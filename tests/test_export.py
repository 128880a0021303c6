"""`ratchet export onnx`: what onnxruntime gives, without torch and without Ratchet, is what the bundle gives."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from pipeline.models import bundle, network
from pipeline.models.bundle import Bundle
from pipeline.project.files import digest, write_json
from tests.conftest import REPOSITORY, Ratchet, lean
from tests.support import registered, runs
from tests.test_model_api import made

FILES = {"model.onnx", "encoder.json", "encoding.py", "answers.py", "example.py"}
DENSE = {"widths": [8], "dropout": 0.1}
CASES = {
    "mlp": ("image", "mlp", "cross_entropy", {**DENSE, "norm": "batch"}),
    "cnn": ("image", "cnn", "cross_entropy", {**DENSE, "layers": [4, "pool", 8, "pool", 8], "norm": "layer"}),
    "cnn_small": ("image", "cnn", "cross_entropy", {**DENSE, "layers": [4, "pool"], "activation": "gelu"}),
    "table": ("table", "table", "binary", DENSE),
    "regression": ("regression", "table", "mse", {**DENSE, "norm": "layer"}),
    "behaviour": ("behaviour", "behaviour", "cross_entropy", {**DENSE, "embedding": 8}),
    "bert": ("text", "bert", "cross_entropy", {"tune": "lora"}),
}
LARGER = "0.0001 is allowed"


def laid(folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Any]]:
    """A project's folder with a bundle of random weights, and data/processed as far as an export reads it."""
    kind, name, loss, changes = CASES[case]
    (folder / "raw").mkdir(parents=True)
    monkeypatch.chdir(folder / "raw")
    encoder, examples = json.loads(json.dumps(made(kind, folder / "raw")))
    settings = yaml.safe_load((REPOSITORY / f"conf/model/{name}.yaml").read_text()) | changes
    (folder / "conf").mkdir()
    (folder / "dvc.yaml").touch()
    spec = {"examples": examples}
    write_json(folder / "data/processed/spec.json", {**spec, "fingerprint": digest(spec)})
    torch.manual_seed(0)
    net = network.build(settings, encoder, loss)
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    identity = {"data_fingerprint": digest(spec), "config_hash": "0"}
    bundle.save(folder / "models/bundle", state, settings, loss, encoder, identity)
    return folder, examples


def export(project: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return runs.called(project, "export", "onnx", "--bundle", "models/bundle", *more)


def example(folder: Path) -> list[Any]:
    """What example.py prints; it may import neither torch nor Ratchet."""
    command = [sys.executable, "-X", "importtime", str(folder / "example.py"), str(folder / "records.json")]
    done = subprocess.run(command, cwd=folder, env=lean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "onnxruntime" in imported
    assert not imported & {"torch", "pipeline", "polars", "mlflow"}
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_same(given: Any, wanted: Any) -> None:
    """Words the same, numbers to 0.0001 of their size; of a ranked list what was not seen."""
    if isinstance(wanted, dict):
        assert given.keys() == wanted.keys()
        if "scores" in wanted:
            new = sum(score > float("-inf") for score in wanted["scores"])
            wanted = {name: values[:new] for name, values in wanted.items()}
        given, wanted = list(given.values()), list(wanted.values())
    if isinstance(wanted, list):
        assert len(given) == len(wanted)
        for one, other in zip(given, wanted, strict=True):
            assert_same(one, other)
    else:
        assert given == (pytest.approx(wanted, rel=1e-4, abs=1e-4) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_alone_answers_as_the_bundle_does(tmp_path: Path, monkeypatch, case: str) -> None:
    project, examples = laid(tmp_path / "project", case, monkeypatch)
    done = export(project)
    assert done.returncode == 0, done.stderr
    assert "largest difference to torch" in done.stdout
    assert done.stderr == ""  # the exporter's chatter stays inside
    folder = project / "models/onnx"
    assert {one.name for one in folder.iterdir()} == {*FILES, "records.json"}
    found = Bundle.load(project / "models/bundle")
    assert_same(example(folder), found.predict(examples))

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (inputs,) = session.get_inputs()
    free = 2 if CASES[case][0] in ("text", "behaviour") else 1
    assert [isinstance(size, str) for size in inputs.shape] == [place < free for place in range(len(inputs.shape))]
    for count in (1, 5):
        shape = [count, *inputs.shape[1:]] if free == 1 else [count, 3]
        ids = np.ones(shape, found.encoder["dtype"])
        (outputs,) = session.run(None, {inputs.name: ids})
        np.testing.assert_allclose(outputs, found.outputs(torch.from_numpy(ids)), atol=1e-4)


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    project, _ = laid(tmp_path / "project", "table", monkeypatch)
    mine = project / "mine"
    mine.mkdir()
    (mine / "model.onnx").write_text("somebody's own")
    done = export(project, "--to", "mine")
    assert done.returncode == 1
    assert "is no earlier export" in done.stderr
    assert "--to" in done.stderr
    assert (mine / "model.onnx").read_text() == "somebody's own"

    assert export(project).returncode == 0
    (project / "models/onnx/model.onnx").write_text("cut")
    (project / "data/processed/spec.json").unlink()  # the examples are not known any more
    assert export(project).returncode == 0
    onnxruntime.InferenceSession(project / "models/onnx/model.onnx")
    assert {one.name for one in (project / "models/onnx").iterdir()} == FILES
    assert {one.name for one in (project / "models").iterdir()} == {"bundle", "onnx"}


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    project, _ = laid(tmp_path / "project", "table", monkeypatch)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = export(project)
    assert done.returncode == 1
    assert "an export needs onnxscript" in done.stderr
    assert "pip install 'ratchet-ml[onnx]'" in done.stderr


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("outputs + 0.001 * torch.compiler.is_exporting()", LARGER),
        ("outputs if torch.compiler.is_exporting() else outputs * float('nan')", LARGER),
        ("outputs if outputs.sum() > 0 else -outputs", "the network can't be exported"),
    ],
)
def test_a_network_that_onnx_gives_otherwise_is_refused(
    tmp_path: Path, monkeypatch, project: Path, ratchet: Ratchet, odd: str, said: str
) -> None:
    other, _ = laid(tmp_path / "other", "table", monkeypatch)
    for name in ("models", "data"):
        shutil.copytree(other / name, project / name)
    net = project / "pipeline/models/network.py"
    net.write_text(net.read_text().replace("return pad(outputs", f"outputs = {odd}\n        return pad(outputs"))
    done = ratchet("export", "onnx", "--bundle", "models/bundle")
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.startswith("ratchet export: error: ")
    assert done.stderr.count("\n") < 5
    assert {one.name for one in (project / "models").iterdir()} == {"bundle"}


def test_the_champion_or_any_version_is_fetched_from_the_registry(prepared: Path) -> None:
    for width in (8, 16):
        registered.good(prepared, "compose", f"model.widths=[{width}]", "training.max_epochs=1")
        for verb in ("train", "evaluate", "register"):
            registered.good(prepared, verb, "--locked")
        if width == 8:
            runs.client(runs.store(prepared)).set_registered_model_alias("mnist", "champion", "1")
            shutil.copytree(prepared / "models/bundle", prepared / "champion")
    assert "mnist version 1 → " in registered.good(prepared, "export", "onnx")
    assert "mnist version 2 → " in registered.good(prepared, "export", "onnx", "--version", "2", "--to", "second")
    for folder, place in (("models/onnx", "champion"), ("second", "models/bundle")):
        records = json.loads((prepared / folder / "records.json").read_text())
        assert_same(example(prepared / folder), Bundle.load(prepared / place).predict(np.array(records, np.uint8)))
    done = runs.called(prepared, "export", "onnx", "--version", "9")
    assert done.returncode == 1
    assert "of mnist there are: 1, 2" in done.stderr
