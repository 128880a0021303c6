"""A project that is moved or copied, and one whose tracking server is another or was emptied: all is found again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.tracking import relocation
from tests import runs
from tests.registered import good
from tests.trackers import free_port, server

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
    return {str(file): file.stat().st_mtime_ns for file in project.rglob("*") if file.is_file()}


def picture(project: Path) -> str:
    from PIL import Image

    Image.new("L", (28, 28)).save(project / "digit.png")
    return "digit.png"


@pytest.mark.parametrize("name", ["second", "mein Projekt é", "数据 %20"])
def test_a_moved_project_goes_on_and_makes_no_old_folder(whole, tmp_path, name):
    old = shutil.copytree(whole, tmp_path / "old")
    good(old, "history")  # so it lies there
    new = old.rename(tmp_path / name)
    told = json.loads(runs.called(new, "doctor", "--json").stdout)["findings"]
    assert [one["typed"] for one in told if one["name"] == "moved" and str(old) in one["text"]] == ["ratchet sync"]
    done = runs.called(new, "sync")
    assert (done.returncode, done.stdout.startswith("nothing waits: 1 runs")) == (0, True), done.stderr
    assert f"this project lay at {old} before" in done.stderr
    assert "1 predictions" in good(new, "predict", picture(new))
    assert json.loads(good(new, "lineage", "--json"))["settings"]["seed"] == 0
    good(new, "train", "seed=1", *LITTLE)
    good(new, "evaluate")
    good(new, "register", "seed=1", *LITTLE)
    assert runs.called(new, "promote").returncode in (0, 1)  # decided, and not: could not
    assert not old.exists()
    told = json.loads(runs.called(new, "doctor", "--json").stdout)["findings"]
    assert not [one for one in told if one["name"] == "moved"]


def test_a_copy_leaves_the_original_as_it_is(whole, tmp_path):
    original = shutil.copytree(whole, tmp_path / "original")
    good(original, "history")
    before = files(original)
    copy = shutil.copytree(original, tmp_path / "copy")
    good(copy, "train", "seed=1", *LITTLE)
    good(copy, "evaluate")
    good(copy, "register", "seed=1", *LITTLE)
    assert "1 predictions" in good(copy, "predict", picture(copy))
    assert champion(copy) == 1
    assert {file: time for file, time in files(original).items() if not file.endswith(".lock")} == {
        file: time for file, time in before.items() if not file.endswith(".lock")
    }


def test_a_project_behind_a_link_is_where_it_was(whole, tmp_path):
    real = shutil.copytree(whole, tmp_path / "real")
    good(real, "history")
    moved = real.rename(tmp_path / "elsewhere")
    real.symlink_to(moved)
    assert relocation.former(moved / "mlflow.db") == []
    assert "1 predictions" in good(real, "predict", picture(moved))


def test_the_experiments_of_another_project_stay_its_own(whole, tmp_path):
    """It ships to this one's database, and has none of its own."""
    host, guest = (shutil.copytree(whole, tmp_path / name) for name in ("host", "guest"))
    good(guest, "history")
    shutil.copyfile(guest / "mlflow.db", host / "mlflow.db")
    (guest / "mlflow.db").unlink()
    assert relocation.former(host / "mlflow.db") == []


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


def test_a_store_that_was_removed_is_made_anew(whole, tmp_path):
    project = shutil.copytree(whole, tmp_path / "project")
    good(project, "history")
    (project / "mlflow.db").unlink()
    said = good(project, "promote")
    assert "so it was registered" in said
    assert champion(project) == 1
    (project / "mlflow.db").unlink()
    assert "has nothing of 1 runs that were shipped to it: they are sent anew" in good(project, "sync")
    assert [run.info.status for run in runs.shipped_runs(runs.store(project))] == ["FINISHED"]
    assert good(project, "sync").startswith("nothing waits")


def test_a_deleted_champion_is_no_hindrance_to_the_next(whole, tmp_path):
    """Also where its bundle is the one in models/: DVC has nothing to do, and the gate judges it anew."""
    project = shutil.copytree(whole, tmp_path / "project")
    good(project, "history")
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


def test_an_alias_that_was_deleted_stops_no_prediction(whole, tmp_path):
    project = shutil.copytree(whole, tmp_path / "project")
    good(project, "history")
    runs.client(runs.store(project)).delete_registered_model_alias("mnist", "champion")
    done = runs.called(project, "predict", picture(project))
    assert (done.returncode, "1 predictions" in done.stdout) == (0, True), done.stderr
    assert "To put it back, type: ratchet rollback --to 1" in done.stderr


def test_a_deleted_experiment_says_what_restores_it(whole, tmp_path, monkeypatch):
    project = shutil.copytree(whole, tmp_path / "project")
    good(project, "history")
    client = runs.client(runs.store(project))
    client.delete_experiment(client.get_experiment_by_name("mnist").experiment_id)
    client.delete_registered_model("mnist")
    done = runs.called(project, "promote")
    assert done.returncode == 2
    assert "mlflow experiments restore --experiment-id 1" in done.stderr
    assert "when the server is back" not in done.stderr.lower()
    client.restore_experiment("1")
    assert "promoted: mnist version 1 is champion" in good(project, "promote")
