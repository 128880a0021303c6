"""A project that is moved or copied, and one whose tracking server is another or was emptied: all is found again."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.tracking import relocation
from tests.conftest import lean
from tests.support import runs
from tests.support.registered import good
from tests.support.trackers import free_port, server

LITTLE = ["model.widths=[16]", "tracking.wait_seconds=30"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    """Version 1 is champion; all of it is in the project's own store."""
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("moved") / "first")
    for verb in (["compose", *LITTLE], ["train", "--locked"], ["evaluate", "--locked"], ["register", "--locked"]):
        good(project, *verb)
    good(project, "promote")
    return project


def champion(project: Path, **env: str) -> int:
    uri = env.get("MLFLOW_TRACKING_URI", runs.store(project))
    return int(runs.client(uri).get_model_version_by_alias("mnist", "champion").version)


def files(project: Path) -> dict[str, int]:
    found = (file for file in project.rglob("*") if file.is_file() and file.suffix != ".lock")
    return {str(file): file.stat().st_mtime_ns for file in found}


def picture(project: Path) -> str:
    from PIL import Image

    Image.new("L", (28, 28)).save(project / "digit.png")
    return "digit.png"


@pytest.fixture
def lay(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """lay(folder): the project as if it had been made there, not yet seen by this process's MLflow."""

    def lay(folder: Path) -> Path:
        shutil.copytree(whole, folder)
        monkeypatch.chdir(folder)
        relocation.settle(folder / "mlflow.db")
        return folder

    return lay


def apart(project: Path, *verbs: str) -> subprocess.CompletedProcess[str]:
    """Verbs one after the other in a process of their own: MLflow remembers what it once had read of a run."""
    code = "import sys; from pipeline.__main__ import main; print([main(verb.split()) for verb in sys.argv[1:]])"
    command = [sys.executable, "-c", code, *verbs]
    environment = lean(PYTHONPATH=str(project))
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=600)


def moved(project: Path) -> list[str]:
    """What `ratchet doctor` finds about it."""
    told = json.loads(runs.called(project, "doctor", "--json").stdout)["findings"]
    return [one["text"] for one in told if one["name"] == "moved"]


@pytest.mark.parametrize("how", ["move", "copy"])
def test_a_project_that_lies_elsewhere_goes_on_and_leaves_the_old_place_alone(lay, tmp_path, how):
    old, new = lay(tmp_path / "old"), tmp_path / "mein Projekt é 数据"
    before = files(old)
    if how == "copy":
        shutil.copytree(old, new)
    else:
        old.rename(new)
    assert moved(new) == [f"runs name {old}, where this project lay; the next command mends it"]
    more = ["train seed=1 model.widths=[16] tracking.wait_seconds=30", "evaluate", "register seed=1 model.widths=[16]"]
    done = apart(new, "sync", f"predict {picture(new)}", "lineage --json", *more, "promote")
    assert done.stdout.endswith(("[0, 0, 0, 0, 0, 0, 0]\n", "[0, 0, 0, 0, 0, 0, 1]\n")), done.stdout + done.stderr
    assert done.stdout.startswith("nothing waits: 1 runs are at")
    assert f"this project lay at {old} before: 4 locations in {new}/mlflow.db are set anew" in done.stderr
    assert "1 predictions" in done.stdout
    assert '"seed": 0' in done.stdout
    assert moved(new) == []
    assert files(old) == (before if how == "copy" else {})


def test_doctor_tells_of_an_environment_that_was_made_elsewhere(project, monkeypatch):
    script = project / ".venv/bin/ratchet"
    script.parent.mkdir(parents=True)
    for made, right in ((project / ".venv", True), (project.parent / "other/.venv", False)):
        script.write_text(f"#!{made}/bin/python\n")
        assert bool(moved(project)) is not right


def test_a_project_behind_a_link_is_where_it_was(lay, tmp_path):
    real = lay(tmp_path / "real")
    moved = real.rename(tmp_path / "elsewhere")
    real.symlink_to(moved)
    assert relocation.former(moved / "mlflow.db") == []


def test_the_experiments_of_another_project_stay_its_own(lay, tmp_path):
    """It ships to this one's database, and has none of its own."""
    host, guest = lay(tmp_path / "host"), lay(tmp_path / "guest")
    (guest / "mlflow.db").rename(host / "mlflow.db")
    assert relocation.former(host / "mlflow.db") == []
    assert relocation.former(lay(tmp_path / "third") / "mlflow.db") == []


@pytest.fixture(scope="module")
def emptied(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    port = free_port()
    with server(tmp_path_factory.mktemp("server") / "mlflow", port, empty_database):
        yield f"http://127.0.0.1:{port}"


def test_promote_registers_at_a_server_that_has_nothing(whole, tmp_path, emptied):
    project = shutil.copytree(whole, tmp_path / "project")
    there, version = {"MLFLOW_TRACKING_URI": emptied}, (project / "reports/version.json").read_bytes()
    dry = runs.called(project, "promote", "--dry-run", **there)
    assert (dry.returncode, "Type: ratchet register" in dry.stderr) == (2, True)
    said = good(project, "promote", **there)
    assert "so it was registered: mnist version 1 → alias challenger" in said
    assert "promoted: mnist version 1 is champion" in said
    assert champion(project, **there) == 1
    assert "config.yaml" in {one.path for one in artifacts(emptied)}
    assert (project / "reports/version.json").read_bytes() == version  # else `dvc status` would call it changed
    assert "is champion already" in good(project, "promote", **there)


def artifacts(uri: str) -> list:
    (run,) = runs.shipped_runs(uri)
    return runs.client(uri).list_artifacts(run.info.run_id)


def test_a_store_that_was_removed_is_made_anew(lay, tmp_path):
    project = lay(tmp_path / "project")
    (project / "mlflow.db").unlink()
    done = apart(project, "promote")
    assert "so it was registered: mnist version 1" in done.stdout
    assert "promoted: mnist version 1 is champion" in done.stdout
    (project / "mlflow.db").unlink()
    done = apart(project, "sync", "sync")
    assert "has nothing of 1 runs that were shipped to it: they are sent anew" in done.stdout
    assert "nothing waits" in done.stdout.splitlines()[-2]
    with closing(sqlite3.connect(project / "mlflow.db")) as connection:
        assert connection.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]


def test_a_deleted_champion_is_no_hindrance_to_the_next(lay, tmp_path):
    """Also where its bundle is the one in models/: DVC has nothing to do, and the gate judges it anew."""
    project = lay(tmp_path / "project")
    runs.client(runs.store(project)).delete_model_version("mnist", "1")
    done = runs.called(project, "promote")
    assert done.returncode == 0, done.stderr
    assert "version 1, the champion of mnist, is not in MLflow any more; none takes its place (entry 2)" in done.stderr
    assert "promoted: mnist version 2 is champion" in done.stdout
    assert champion(project) == 2
    runs.client(runs.store(project)).delete_registered_model("mnist")
    done = runs.called(project, "predict", picture(project))
    assert "none takes its place (entry 4)" in done.stderr
    assert "Type: dvc repro && ratchet promote" in done.stderr
    assert "promoted: mnist version 1 is champion" in good(project, "promote")
    assert runs.called(project, "history").stderr == ""


def test_an_alias_that_was_deleted_stops_no_prediction(lay, tmp_path):
    project = lay(tmp_path / "project")
    runs.client(runs.store(project)).delete_registered_model_alias("mnist", "champion")
    done = runs.called(project, "predict", picture(project))
    assert (done.returncode, "1 predictions" in done.stdout) == (0, True), done.stderr
    assert "To put it back, type: ratchet rollback --to 1" in done.stderr


def test_a_deleted_experiment_says_what_restores_it(lay, tmp_path):
    project = lay(tmp_path / "project")
    client = runs.client(runs.store(project))
    client.delete_experiment(client.get_experiment_by_name("mnist").experiment_id)
    client.delete_registered_model("mnist")
    done = runs.called(project, "promote")
    assert done.returncode == 2
    assert "mlflow experiments restore --experiment-id 1" in done.stderr
    assert "when the server is back" not in done.stderr.lower()
    client.restore_experiment("1")
    assert "promoted: mnist version 1 is champion" in good(project, "promote")
