"""ratchet lineage: from MLflow alone, which commit, data, settings and run made a version."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import lean
from tests.support import registered, runs
from tests.support.registered import git

LONG = "file:/nowhere/" + "x" * 8000 + "/{file}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    """With a champion; a mirror in its settings has an address of 8,000 characters."""
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("lineage") / "project")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["data"]["source"]["mirrors"].append({"url": LONG, "unpack": "none"})
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    git(project, "commit", "--quiet", "--all", "--message", "Another mirror")
    registered.register(project, "model.widths=[16]")
    return project


def told(project: Path, *arguments: str, **env: str) -> dict:
    return json.loads(registered.good(project, "lineage", *arguments, "--json", **env))


def test_everything_is_told_in_a_clone_without_data(project, tmp_path):
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", project, other], env=lean(), check=True)
    found = told(other, MLFLOW_TRACKING_URI=runs.store(project))
    spec = json.loads((project / "data/processed/spec.json").read_text())
    run = json.loads((project / "models/run.json").read_text())
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    (mlflow_run,) = runs.shipped_runs(runs.store(project))

    assert (found["uri"], found["aliases"]) == ("models:/mnist/1", ["challenger", "champion"])
    assert found["bundle"] == run["bundle_digest"]
    commit = git(project, "rev-parse", "HEAD")
    settings = yaml.safe_load((project / "params.lock.yaml").read_text())
    train = settings.pop("code")["train"]
    expected = {"commit": commit, "dirty": "false", "changed": [], "commit_trained": commit, "train": train}
    assert found["code"] == expected
    assert found["data"]["fingerprint"] == spec["fingerprint"]
    assert found["data"]["test_sha256"] == spec["splits"]["test"]["sha256"]
    assert {name: split["sha256"] for name, split in found["data"]["splits"].items()} == {
        name: split["sha256"] for name, split in spec["splits"].items()
    }
    assert found["settings"] == settings
    assert found["settings"]["data"]["source"]["mirrors"][1]["url"] == LONG
    assert found["config_hash"] == run["config_hash"]
    assert found["data"]["files"] == settings["data"]["source"]["files"]
    assert found["dvc"] == {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}
    assert (found["run"]["ratchet"], found["run"]["mlflow"]) == (run["run_id"], mlflow_run.info.run_id)
    assert (found["run"]["status"], found["run"]["reason"]) == ("FINISHED", "trained to its end")
    assert found["run"]["seconds"] > 0
    assert {"torch", "python", "pytorch-lightning", "mlflow"} <= found["packages"].keys()
    assert (found["machine"]["device"], found["machine"]["processes"]) == ("cpu", "1")
    assert (found["parents"], found["promoted"]) == ({}, [])
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert found["metrics"]["test/accuracy"] == pytest.approx(metrics["test/accuracy"], abs=1e-5)


def test_what_a_person_reads_and_who_promoted_it(project):
    asked = runs.client(runs.store(project))
    asked.delete_registered_model_alias("mnist", "champion")
    edited = ["gate.calibration_error=0.99", "model.widths=[16]"]
    registered.good(project, "compose", *edited)
    said = runs.called(project, "promote", RATCHET_ACTOR="ada")
    assert said.returncode == 0, said.stdout + said.stderr
    text = registered.good(project, "lineage", "models:/mnist@challenger")
    for line in ("models:/mnist/1, challenger and champion", "promoted by ada", "as committed", "parents     none"):
        assert line in text
    assert "model.widths=[16]" in text


def test_uncommitted_code_is_listed_and_sums_of_another_training_are_left_out(project):
    (project / "pipeline/models/new.py").write_text("")
    (project / "pipeline/train.py").write_text((project / "pipeline/train.py").read_text() + "\n")
    try:
        registered.good(project, "train", "model.widths=[8]", "tracking.wait_seconds=0")  # not by DVC
        registered.good(project, "evaluate", "model.widths=[8]")
        registered.good(project, "register", "model.widths=[8]")
    finally:
        (project / "pipeline/models/new.py").unlink()
        git(project, "checkout", "--quiet", "pipeline")
    found = told(project, "models:/mnist@challenger")
    assert found["code"]["dirty"] == "true"
    assert found["code"]["changed"] == ["pipeline/train.py", "pipeline/models/new.py"]
    assert found["dvc"] == {}


@pytest.mark.parametrize("uri", ["models:/mnist/77", "models:/mnist@nobody", "models:/other/1", "mnist"])
def test_a_version_that_is_not_there_is_told_with_those_that_are(project, uri):
    done = runs.called(project, "lineage", uri)
    assert done.returncode == 1
    assert uri in done.stderr
    assert "Type" in done.stderr
    if uri.startswith("models:/mnist"):
        assert "of mnist there are: 1, " in done.stderr
