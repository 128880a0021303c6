"""An altered, truncated or exchanged bundle is refused by all who use it, and nothing pickled is uploaded."""

import json
import pickle
import pickletools
import shutil
import zipfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from pipeline.project.files import sha256
from tests.support import registered, runs
from tests.support.trackers import free_port, server

WEIGHTS = "weights.safetensors"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps its artifacts: a folder for each experiment."""
    return tmp_path_factory.mktemp("server") / "mlflow/files"


@pytest.fixture(scope="module")
def uri(files: Path, empty_database: Path) -> Iterator[str]:
    port = free_port()
    with server(files.parent, port, empty_database):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path, uri: str) -> Path:
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("tampered") / "project")
    registered.register(project, "model.widths=[16]", MLFLOW_TRACKING_URI=uri)
    return project


@pytest.fixture
def stored(project: Path, files: Path) -> Iterator[Path]:
    """The bundle's folder in the server's artifact store; whole again afterwards."""
    (bundle,) = files.glob("*/models/*/artifacts/artifacts/bundle")
    before = {file: file.read_bytes() for file in bundle.iterdir()}
    yield bundle
    for file, content in before.items():
        file.write_bytes(content)


def flip(bundle: Path) -> None:
    content = bytearray((bundle / WEIGHTS).read_bytes())
    content[-100] ^= 1
    (bundle / WEIGHTS).write_bytes(content)


def truncate(bundle: Path) -> None:
    (bundle / WEIGHTS).write_bytes((bundle / WEIGHTS).read_bytes()[:-64])


def remove(bundle: Path) -> None:
    (bundle / WEIGHTS).unlink()


def exchange(bundle: Path) -> None:
    """Weights of one's own, and the description that fits them."""
    weights = load_file(bundle / WEIGHTS)
    save_file({name: np.zeros_like(array) for name, array in weights.items()}, bundle / WEIGHTS)
    description = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(description | {"weights_sha256": sha256(bundle / WEIGHTS)}))


@pytest.mark.parametrize("tamper", [flip, truncate, remove, exchange])
def test_what_was_altered_in_the_store_is_refused(project, uri, stored, tmp_path, tamper):
    tamper(stored)
    (tmp_path / "new.png").write_bytes(b"")
    env = {"MLFLOW_TRACKING_URI": uri}
    asked = runs.client(uri)
    asked.delete_registered_model_alias("mnist", "champion")
    promoted = runs.called(project, "promote", **env)
    asked.set_registered_model_alias("mnist", "champion", "1")
    predicted = runs.called(project, "predict", str(tmp_path / "new.png"), **env)
    reproduced = runs.called(project, "reproduce", **env)
    for done, code in ((promoted, 2), (predicted, 1), (reproduced, 2)):
        assert done.returncode == code, done.stdout
        assert "mnist version 1 is not what was registered" in done.stderr
        assert "ratchet rollback" in done.stderr


@pytest.mark.parametrize("tamper", [flip, exchange])
def test_the_served_model_refuses_to_load(uri, stored, project, tamper, monkeypatch):
    import mlflow

    monkeypatch.chdir(project)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    assert len(mlflow.pyfunc.load_model("models:/mnist/1").predict(np.zeros((2, 1, 28, 28), np.uint8))) == 2
    tamper(stored)
    with pytest.raises(Exception, match=r"SHA-256|holds the bundle"):
        mlflow.pyfunc.load_model("models:/mnist/1")


@pytest.mark.parametrize("tamper", [flip, exchange])
def test_an_altered_bundle_is_not_registered(project, uri, tamper, tmp_path):
    copy = shutil.copytree(project, tmp_path / "project")
    for file in (copy / "models/bundle").iterdir():
        file.chmod(0o644)  # DVC makes what it keeps read-only
    tamper(copy / "models/bundle")
    done = runs.called(copy, "register", "registry.model=altered", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 1
    assert "dvc" in done.stderr
    assert runs.client(uri).search_registered_models("name='altered'") == []


def test_nothing_that_was_uploaded_is_pickled(project, files):
    """Of the run and the version: neither a whole file, nor one in an archive."""
    uploaded = [file for file in files.rglob("*") if file.is_file()]
    names = {file.name for file in uploaded}
    assert {"config.yaml", "data.json", "metrics.json", WEIGHTS, "MLmodel", "pyfunc.py"} <= names
    for file in uploaded:
        assert not is_pickled(file.read_bytes()), file


def test_a_pickle_is_known_by_its_bytes():

    buffer = BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    assert is_pickled(buffer.getvalue())
    assert all(is_pickled(pickle.dumps({"a": [1]}, protocol)) for protocol in range(6))
    assert not is_pickled(b'{"a": 1}')


def is_pickled(content: bytes) -> bool:
    """Whether it, or a file of the archive that it is, begins with what the unpickler would run to its end."""
    if zipfile.is_zipfile(BytesIO(content)):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return any(is_pickled(archive.read(name)) for name in archive.namelist())
    try:
        pickletools.dis(content, StringIO())
    except Exception:  # noqa: BLE001  whatever it meets
        return False
    return True
