"""ratchet reproduce: a version made again from its commit, whatever the working tree has become; or what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import Ratchet, lean, use
from tests.support import digits, labelled, registered, runs
from tests.support.registered import git


@pytest.fixture(scope="module")
def moved_on(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    """A project with a champion of settings that no commit holds, whose data and labels are in DVC's cache alone."""
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("moved") / "project")
    use(project, digits.idx_files())
    git(project, "commit", "--quiet", "--all", "--message", "A mirror of its own")
    pictures, labels = (some[:50] for some in digits.published()["train"])
    given = [("image", labelled.png(labelled.turned(a)), str(b), {}) for a, b in zip(pictures, labels, strict=True)]
    labelled.fill(project, given)
    registered.good(project, "feedback", "--export")
    overrides = ["model.widths=[16]", "trainer.threads=1"]
    registered.good(project, "compose", *overrides)
    for verb in ("preprocess", "train"):
        registered.good(project, verb, "--locked")
    registered.good(project, "compose", *overrides, "evaluation.calibration_bins=7")
    assert registered.scored(project) == 1
    for folder in ("data", "models", "reports", ".ratchet/feedback", "../mirror"):
        shutil.rmtree(project / folder)
    params = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump(params | {"seed": 99, "model": {"widths": [8]}}))
    (project / "pipeline/models/mlp.py").write_text("raise RuntimeError('the code of a later commit')\n")
    git(project, "commit", "--quiet", "--all", "--message", "Moved on")
    return project


def tried(project: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return runs.called(project, "reproduce", *arguments, **env)


def test_a_champion_is_made_again_byte_for_byte_after_the_project_has_moved_on(moved_on):
    before = {file for file in moved_on.rglob("*") if ".git/" not in str(file)}
    done = tried(moved_on)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch 2/2" in done.stdout  # trained for real, though DVC's run-cache and the journal know this training
    assert "byte for byte" in done.stdout
    asked = runs.client(runs.store(moved_on))
    assert len(runs.shipped_runs(runs.store(moved_on))) == 1
    assert len(asked.search_model_versions("name='mnist'")) == 1
    left = {file for file in moved_on.rglob("*") if ".git/" not in str(file)} - before
    assert {file.name for file in left} <= {"scratch"}
    assert git(moved_on, "status", "--porcelain", "--untracked-files=no") == ""


def test_code_that_was_never_committed_is_named_and_the_first_difference_told(prepared, ratchet: Ratchet):
    code = prepared / "pipeline/training/optimization.py"
    code.write_text(code.read_text().replace("arguments = ", 'arguments = {"eps": 1e-4} | '))
    assert "pipeline/training/optimization.py" in git(prepared, "status", "--porcelain")
    registered.good(prepared, "compose", "model.widths=[16]")
    trained = ratchet("train", "--locked")
    assert trained.returncode == 0, trained.stderr
    registered.scored(prepared)
    done = tried(prepared)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "pipeline/training/optimization.py was not as committed" in done.stdout
    assert "first difference: the weights' SHA-256" in done.stdout
    assert "ratchet evaluate" not in done.stdout


def test_a_commit_that_is_nowhere_is_named(moved_on, tmp_path):
    uri = runs.store(moved_on)
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", moved_on.as_uri(), other], env=lean(), check=True)
    git(other, "remote", "remove", "origin")
    done = tried(other, "models:/mnist/1", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 2
    assert f"commit {git(moved_on, 'rev-parse', 'HEAD~1')} is missing" in done.stderr
    assert "git fetch" in done.stderr


def test_data_that_is_nowhere_is_told_with_all_the_places(moved_on, tmp_path):
    """The commit comes from the clone's origin; neither cache, remote nor mirror has the data."""
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", moved_on.as_uri(), other], env=lean(), check=True)
    (tmp_path / "storage").mkdir()
    registered.dvc(other, "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    done = tried(other, MLFLOW_TRACKING_URI=runs.store(moved_on))
    assert done.returncode == 2
    for place in (f"DVC's cache, {other / '.dvc/cache'}", f"DVC's storage, {tmp_path / 'storage'}", "mirror"):
        assert place in done.stderr, done.stderr


def test_an_altered_file_of_the_cache_is_not_trusted_and_the_remote_has_a_whole_one(moved_on, tmp_path):
    from pipeline.registry.rebuild import pulled

    cache, storage = moved_on / ".dvc/cache", tmp_path / "storage"
    listing = max(cache.rglob("*.dir"), key=lambda file: "ubyte" in file.read_text())
    raw = max((file for file in cache.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    shutil.copytree(cache, storage)
    before = raw.stat()
    os.chmod(raw, 0o644)
    whole = raw.read_bytes()
    raw.write_bytes(b"x" + whole[1:])
    os.utime(raw, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(raw, 0o444)
    md5 = f"{listing.parent.name}{listing.name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(moved_on)
        (problem,) = pulled(md5, tmp_path / "one")
        assert "DVC's cache" in problem
        (moved_on / ".dvc/config.local").write_text(f"['remote \"storage\"']\n    url = {storage}\n")
        assert pulled(md5, tmp_path / "other") == []
    os.chmod(raw, 0o644)
    raw.write_bytes(whole)
    (moved_on / ".dvc/config.local").unlink()
    assert {file.name for file in (tmp_path / "other").iterdir()} == {
        f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    }
