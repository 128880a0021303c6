"""ratchet doctor on packages, disk, closed folders and GPUs; and on servers and databases, away, silent and empty."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import lean
from tests.support import runs
from tests.support.trackers import free_port, postgresql, postgresql_missing, server

SMI = """#!/bin/sh
echo "NVIDIA H100 80GB HBM3, 81559, 81000"
"""


@pytest.fixture
def problems(project: Path):
    """problems(prefix, **env) → the problems that a process of its own finds, by name."""

    def call(*prefix: str, **env: str) -> dict[str, dict[str, str]]:
        command = [*prefix, sys.executable, "-m", "pipeline", "doctor", "--json"]
        done = subprocess.run(command, cwd=project, env=lean(**env), capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        found = json.loads(done.stdout)
        assert done.returncode == int(found["problems"] > 0)
        marked = [
            one for one in found["findings"] if one["mark"] != "ok" or one["name"] in ("GPU", "server", "experiment")
        ]
        return {one["name"]: one for one in marked}

    return call


def pretend(folder: Path, name: str, version: str) -> None:
    """As pip would leave a package of that version."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_compromised_and_unfit_packages_are_named(problems, tmp_path):
    pretend(tmp_path / "packages", "pytorch-lightning", "2.6.3")
    pretend(tmp_path / "packages", "torchmetrics", "0.11.4")
    found = problems(PYTHONPATH=str(tmp_path / "packages"))
    assert "2.6.3 is a compromised release" in found["pytorch-lightning"]["text"]
    assert "change those secrets" in found["pytorch-lightning"]["typed"]
    assert found["torchmetrics"]["text"] == "0.11.4; allowed is <2,>=1.8"
    assert found["torchmetrics"]["typed"] == 'pip install "torchmetrics<2,>=1.8"'


def test_a_gpu_that_torch_cannot_use_is_named(problems, tmp_path):
    """The driver's listing is made up: what torch can use is asked for real."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU that is here")
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / "nvidia-smi").write_text(SMI)
    (driver / "nvidia-smi").chmod(0o755)
    gpu = problems(PATH=os.pathsep.join([str(driver), lean()["PATH"]]))["GPU"]
    assert gpu["text"].startswith("NVIDIA H100 80GB HBM3, 81,559 MiB, 81,000 free; but torch")
    assert gpu["typed"]


def test_folders_that_are_closed_are_named(problems, project):
    (project / "data").mkdir()
    (project / "data").chmod(0o555)
    prefix = []
    if os.geteuid() == 0:  # who may write everywhere, unless that right is given up
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to give that up")
        prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    found = problems(*prefix)["folders"]
    (project / "data").chmod(0o755)
    assert found["text"] == f"{project}/data can't be written"
    assert found["typed"] == f"chmod u+rwx {project}/data"


def test_a_disk_that_is_nearly_full_is_a_problem(project, monkeypatch, capsys):
    from pipeline.__main__ import main

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project)
    full = shutil.disk_usage(project)._replace(free=100_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert main(["doctor"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "100.0 MB free" in line]
    assert line.split()[:2] == ["problem", "disk"]


def test_a_database_that_mlflow_would_fill_is_left_alone(problems, project, empty_database):
    """MLflow makes its default experiment anew as soon as it is asked anything."""
    file = project / "mlflow.db"
    shutil.copyfile(empty_database, file)
    with closing(sqlite3.connect(file)) as database:
        database.execute("delete from experiments where experiment_id = 0")
        database.commit()
    before = file.read_bytes()
    assert "attempt to write a readonly database" in problems()["server"]["text"]
    assert file.read_bytes() == before


def test_an_empty_database_stays_empty(problems):
    if missing := postgresql_missing():
        pytest.skip(missing)
    import psycopg2

    with postgresql() as database:
        place = database.uri.partition("://")[2]
        uri = f"postgresql+psycopg2://{place}"
        found = problems(MLFLOW_TRACKING_URI=uri)
        assert "is empty; the first run makes its tables" in found["server"]["text"]
        connection = psycopg2.connect(f"postgresql://{place}")
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from information_schema.tables where table_schema = 'public'")
            assert cursor.fetchone() == (0,)
        connection.close()
        database.crash()
        found = problems(MLFLOW_TRACKING_URI=uri)
        assert found["server"]["mark"] == "problem"
        assert "onnection refused" in found["server"]["text"]
        assert found["server"]["typed"].startswith("ratchet sync")


def test_a_server_that_never_answers_costs_seconds_and_one_that_is_away_none(problems):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # the kernel accepts; nobody answers
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        found = problems(MLFLOW_TRACKING_URI=f"http://me:hunter22@{place}")["server"]
        seconds = time.monotonic() - began
    assert found["text"] == f"http://me:***@{place} (MLFLOW_TRACKING_URI) has not answered within 4 seconds"
    assert found["typed"].startswith("ratchet sync")
    assert seconds < 25  # 4 of them wait, and the rest imports on a machine that is busy with other tests
    found = problems(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")["server"]
    assert (found["mark"], found["text"][-18:]) == ("problem", "Connection refused")


def test_a_server_and_its_registry_answer(problems, tmp_path, empty_database):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with server(tmp_path / "server", port, empty_database):
        found = problems(MLFLOW_TRACKING_URI=uri)
        assert found["server"]["text"] == f"{uri} (MLFLOW_TRACKING_URI) answers"
        assert found["experiment"]["text"] == "mnist is not there yet; the first run makes it"
        assert found["registry"]["text"] == "model mnist has no version yet"
        asked = runs.client(uri)
        asked.delete_experiment(asked.create_experiment("mnist"))
        deleted = problems(MLFLOW_TRACKING_URI=uri)["experiment"]
        assert deleted["mark"] == "problem"
        assert deleted["typed"] == f"MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id 1"
