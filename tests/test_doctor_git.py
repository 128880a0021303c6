"""Git that is not there, damaged, distrustful or slow: what doctor says is typed, cures, and nothing is lost by it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.diagnosis import repository
from pipeline.diagnosis.finding import Finding, Look
from pipeline.tracking import revision
from tests.conftest import clone, lean
from tests.support import runs
from tests.support.registered import git

KEPT = (".git", ".dvc")  # all that these tests alter
Found = dict[str, Finding]
REMOTE = '[core]\n    analytics = false\n    remote = far\n["remote \\"far\\""]\n    url = /far\n'


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, project_files: list[str]) -> Path:
    """On a path with a space and a quote; with a remote, a file in DVC's cache, and two commits."""
    project = clone(tmp_path_factory.mktemp("git") / "anna's project", project_files)
    (project / ".dvc/config").write_text(REMOTE)
    (project / ".dvc/cache/files/md5/ab").mkdir(parents=True)
    (project / ".dvc/cache/files/md5/ab/cdef").write_text("cached")
    git(project, "commit", "--quiet", "--all", "--message", "A remote")
    git(project, "gc", "--quiet")
    for name in KEPT:
        shutil.copytree(project / name, project.with_name("whole") / name)
    return project.with_name("whole")


@pytest.fixture
def mine(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = whole.with_name("anna's project")
    for name in (*KEPT, ".ratchet"):
        shutil.rmtree(project / name, ignore_errors=True)
    (project / ".git").unlink(missing_ok=True)
    for name in KEPT:
        shutil.copytree(whole / name, project / name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # of a person whom git does not know
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return project


@pytest.fixture
def doctor(mine: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Found]:
    """doctor() → name → what is no "ok" of this section."""

    def call() -> Found:
        monkeypatch.chdir(mine)
        return {one.name: one for one in repository.repository(Look(deep=False)) if one.mark != "ok"}

    return call


def type_in(project: Path, typed: str, **env: str) -> None:
    command = typed.partition("   (")[0]
    done = subprocess.run(
        ["bash", "-c", command], cwd=project, env=lean(**env), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def files(project: Path) -> dict[str, bytes]:
    """All but git's own, and what is kept aside of that."""
    found = (one for one in project.rglob("*") if one.is_file())
    names = {str(one.relative_to(project)): one for one in found}
    return {name: one.read_bytes() for name, one in names.items() if not name.startswith((".git/", ".ratchet/"))}


def branch(project: Path) -> Path:
    return project / ".git" / git(project, "symbolic-ref", "HEAD")


def orphan(project: Path) -> None:
    shutil.rmtree(project / ".git")
    git(project, "init", "--quiet")


def garble(project: Path, name: str, content: str | None = "") -> None:
    if content is None:
        (project / ".git" / name).unlink()
    else:
        (project / ".git" / name).write_text(content)


def no_objects(project: Path) -> None:
    for file in (project / ".git/objects").glob("[0-9a-p]*/*[0-9a-k]"):
        file.chmod(0o600)
        file.write_bytes(b"")


def moved_worktree(project: Path) -> None:
    shutil.rmtree(project / ".git")
    (project / ".git").write_text("gitdir: /nowhere/.git/worktrees/mine\n")


def unbranched(project: Path) -> None:
    git(project, "pack-refs", "--all")
    garble(project, "packed-refs", None)


def no_folder(project: Path) -> None:
    git(project, "pack-refs", "--all")
    shutil.rmtree(project / ".git/refs")  # as a copy that leaves out empty folders


FAULTS = {  # how, what is said, whether the history is back when the advice was typed
    "no .git": (lambda p: shutil.rmtree(p / ".git"), "this is no git repository", False),
    "no commit": (orphan, "there is no commit yet", False),
    "no HEAD": (lambda p: garble(p, "HEAD", None), "HEAD is damaged", True),
    "an empty HEAD": (lambda p: garble(p, "HEAD"), "HEAD is damaged", True),
    "an empty branch": (lambda p: branch(p).write_text(""), "is damaged; the last commit", True),
    "a branch of zeros": (lambda p: branch(p).write_text("\0" * 41), "is damaged; the last commit", True),
    "no branch": (unbranched, "is damaged; the last commit", True),
    "settings of rubbish": (lambda p: garble(p, "config", "[core\nx"), "config can't be read", True),
    "an index of zeros": (lambda p: garble(p, "index", "\0" * 4000), "index is damaged", True),
    "an index cut off": (lambda p: garble(p, "index", "DIRC"), "index is damaged", True),
    "no refs": (no_folder, "a folder of .git is missing", True),
    "empty objects": (no_objects, ".git is damaged", False),
    "a moved worktree": (moved_worktree, ".git is damaged: not a git repository", False),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cure_of_a_broken_repository_keeps_all_that_is_there(mine, doctor, fault):
    inject, text, history = FAULTS[fault]
    before, commits = files(mine), git(mine, "rev-list", "HEAD")
    inject(mine)
    found = doctor()
    assert list(found) == ["git"]
    assert text in found["git"].text
    type_in(mine, found["git"].typed, HOME=os.environ["HOME"])
    assert doctor() == {}
    assert files(mine) == before
    if history:
        assert git(mine, "rev-list", "HEAD") == commits
        assert git(mine, "status", "--porcelain") == ""
    assert set(git(mine, "ls-files").splitlines()) == set(
        git(mine, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    )
    assert not [name for name in git(mine, "ls-files").splitlines() if name.startswith((".dvc/cache", ".ratchet"))]


def test_what_is_damaged_beyond_repair_is_kept_aside_each_time(mine, doctor):
    for _ in range(2):
        no_objects(mine)
        type_in(mine, doctor()["git"].typed, HOME=os.environ["HOME"])
        assert doctor() == {}
    assert sorted(one.name for one in (mine / ".ratchet").glob("git*")) == ["git.damaged", "git.damaged.2"]
    assert (mine / ".ratchet/git.damaged/logs/HEAD").is_file()


def test_a_folder_of_another_user_is_told_with_gits_own_cure(mine, doctor, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("LANGUAGE", "de")
    before = files(mine)
    found = doctor()
    assert list(found) == ["git"]
    assert found["git"].text == "git does not trust this folder, for another user owns it"
    type_in(mine, found["git"].typed, HOME=os.environ["HOME"])
    assert doctor() == {}
    assert files(mine) == before


def test_no_git_and_a_slow_git_are_told_apart_and_stop_nothing(mine, doctor, tmp_path, monkeypatch):
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor()["git"].text.startswith("git can't be run: No such file")
    (tmp_path / "git").write_text("#!/bin/sh\nsleep 32\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{path}")
    monkeypatch.setattr(revision, "PATIENCE", 0.5)
    assert doctor()["git"].text == "git did not answer within 0.5 seconds"
    said = {"git.commit": "none", "git.dirty": "unknown", "git.problem": "git did not answer within 0.5 seconds"}
    assert revision.commit() == said


def test_locks_that_a_killed_git_left_are_named_and_those_of_one_at_work_are_not(mine, doctor):
    locks = [mine / ".git/index.lock", branch(mine).with_suffix(".lock")]
    for lock in locks:
        lock.touch()
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=mine, stdin=subprocess.PIPE) as at_work:
        assert doctor() == {}
        at_work.stdin.close()
    found = doctor()
    assert list(found) == ["git's lock"]
    type_in(mine, found["git's lock"].typed)
    assert doctor() == {}
    assert not any(lock.exists() for lock in locks)


@pytest.mark.parametrize("committed", [True, False])
def test_no_dvc_comes_back_from_git_or_is_made(mine, doctor, committed):
    shutil.rmtree(mine / ".dvc")
    if not committed:
        git(mine, "commit", "--quiet", "--all", "--message", "Without DVC")
    type_in(mine, doctor()["DVC"].typed)
    assert doctor() == {}
    if committed:
        assert (mine / ".dvc/config").read_text() == REMOTE


def test_a_training_says_once_that_git_did_not_answer(prepared, called, tmp_path, monkeypatch):
    """A cross-validation describes three runs."""
    (tmp_path / "git").write_text("#!/bin/sh\nsleep 32\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(revision, "PATIENCE", 0.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{prepared}/mlflow.db")
    done = called("train", "cv=2", "model.widths=[4]", "training.max_epochs=1")
    assert done.returncode == 0, done.stderr
    said = "git did not answer within 0.5 seconds: this run can't say which code made it.\nType: ratchet doctor\n"
    assert done.stdout.count(said) == 1
    lines = [line for run_id in runs.run_ids(prepared) for line in runs.journal(prepared, run_id)]
    recorded = [line["values"] for line in lines if line["kind"] == "tags"]
    assert [tags["git.commit"] for tags in recorded if "git.commit" in tags] == ["none"] * 3
