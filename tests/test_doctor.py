"""ratchet doctor: each fault is made for real, found by name with what to type, and nothing on disk is touched."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.__main__ import main
from tests.conftest import clone, lean
from tests.support import runs

Doctor = Callable[..., tuple[int, dict[str, list[dict[str, str]]]]]


def shell(project: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command line of the user's, with the project's own copy of the package, that leaves no compiled files."""
    environment = lean(PYTHONPATH=str(project), PYTHONDONTWRITEBYTECODE="1", **env)
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


def good(project: Path, command: str) -> None:
    done = shell(project, "bash", "-c", command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, project_files: list[str], empty_database: Path) -> Path:
    """Trained, shipped, with a champion, in DVC's cache and committed."""
    project = clone(tmp_path_factory.mktemp("doctor") / "project", project_files)
    shutil.copyfile(empty_database, project / "mlflow.db")
    params = yaml.safe_load((project / "params.yaml").read_text()) | {"model": {"widths": [16]}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    verbs = ["compose", "download", "feedback --bring", "preprocess", "train", "sync"]
    ran = f"from pipeline.__main__ import main; print([main(verb.split()) for verb in {verbs}])"
    ended = "from pipeline.tracking import sync; [shipper.kill() for shipper in sync.started]"  # it would write on
    good(project, f'python -c "{ran}; {ended}"')
    asked = runs.client(runs.store(project))
    asked.create_registered_model("mnist")
    version = asked.create_model_version("mnist", source=str(project / "models/bundle"))
    asked.set_registered_model_alias("mnist", "champion", version.version)
    good(project, "dvc commit --force compose download feedback preprocess train && git add --all && git commit -m Ran")
    return Path(shutil.copytree(project, project.with_name("whole")))


@pytest.fixture
def mine(whole: Path) -> Path:
    """At the place where it was made, which the default store's URI names."""
    shutil.rmtree(whole.with_name("project"))
    return Path(shutil.copytree(whole, whole.with_name("project")))


@pytest.fixture
def doctor(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """doctor(…) → (exit code, mark → findings), of this process."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def call(*arguments: str):
        monkeypatch.chdir(mine)
        code = main(["doctor", "--json", *arguments])
        return code, by_mark(capsys.readouterr().out)

    return call


def by_mark(output: str) -> dict[str, list[dict[str, str]]]:
    said = json.loads(output)
    found = {mark: [one for one in said["findings"] if one["mark"] == mark] for mark in ("ok", "note", "problem")}
    assert len(found["problem"]) == said["problems"]
    return found


def tree(folder: Path) -> dict[str, tuple[int, bytes | bool]]:
    """Every path → its time and content."""
    paths = [folder, *folder.rglob("*")]
    return {str(one): (one.stat().st_mtime_ns, one.is_file() and one.read_bytes()) for one in paths}


def test_a_healthy_project_has_no_problem_and_is_left_as_it_was(mine):
    before = tree(mine)
    done = shell(mine, "ratchet", "doctor", "--deep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nno problems\n")
    assert done.stderr == ""
    assert re.findall(r"^\w+$", done.stdout, re.MULTILINE) == ["machine", "project", "tracking", "runs", "files"]
    assert "model mnist: version 1 is champion" in done.stdout
    assert "each has the MD5 of its name" in done.stdout
    assert tree(mine) == before


def test_a_fresh_clone_has_no_problem_and_stays_empty(project):
    good(project, "ratchet compose")
    before = tree(project)
    done = shell(project, "ratchet", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Type: dvc repro") == 4  # dvc.lock, server, data, bundle
    assert tree(project) == before


def the(project: Path, pattern: str) -> Path:
    (found,) = project.glob(pattern)
    return found


def flip(path: Path) -> None:
    """Alters one bit, and leaves mode and time as they were."""
    before, bytes_ = path.stat(), bytearray(path.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes_)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def conflict(path: Path) -> None:
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}=======\n>>>>>>> other\n")


def cached(project: Path, name: str) -> Path:
    """The file of DVC's cache that holds data/processed/NAME."""
    found = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["preprocess"]["outs"][0]["md5"]
    folder = project / ".dvc/cache/files/md5"
    listed = json.loads((folder / found[:2] / found[2:]).read_text())
    md5 = next(entry["md5"] for entry in listed if entry["relpath"] == name)
    return folder / md5[:2] / md5[2:]


def unlock(project: Path) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {compose: {cmd: ra")


def checkpoint(project: Path) -> None:
    """A whole one, and a newer one that was cut off."""
    folder = the(project, ".ratchet/checkpoints/*/finished.json").parent
    (folder / "finished.json").unlink()
    weights = the(folder, "*.safetensors")
    shutil.copy(weights, folder / f"00000001-{weights.stem.partition('-')[2]}.ckpt")
    (folder / f"00000002-{64 * 'a'}.ckpt").write_bytes(b"cut off")


def no_journal(project: Path) -> None:
    (project / ".ratchet/journal/abc").mkdir()
    (project / ".ratchet/journal/abc/journal.jsonl").touch()


def newer_journal(project: Path) -> None:
    file = the(project, JOURNAL)
    header, _, rest = file.read_text().partition("\n")
    file.write_text(f"{json.dumps(json.loads(header) | {'format': 99})}\n{rest}")


def no_name(project: Path) -> None:
    """The second line, which names the run; all that follows is whole, and must not be advised to go."""
    file = the(project, JOURNAL)
    header, _, *rest = file.read_text().splitlines(keepends=True)
    file.write_text(f"{header}{{]\n{''.join(rest)}")
    the(project, ".ratchet/journal/*/shipped-*").unlink()


JOURNAL = ".ratchet/journal/*/journal.jsonl"
WEIGHTS = ".ratchet/checkpoints/*/*.safetensors"
FAULTS = {
    "a merge of dvc.lock": (lambda p: conflict(p / "dvc.lock"), "conflict marker", "git checkout HEAD -- dvc.lock"),
    "a torn dvc.lock": (unlock, "dvc.lock is no valid YAML", "git checkout HEAD -- dvc.lock"),
    "a merge of params.yaml": (lambda p: conflict(p / "params.yaml"), "params.yaml:1 holds a conf", "ratchet compose"),
    "a merge of the settings": (lambda p: conflict(p / "params.lock.yaml"), "params.lock.yaml:1", "ratchet compose"),
    "a wrong setting": (lambda p: replace(p / "params.yaml", "widths", "width"), "Did you mean widths", "ratchet co"),
    "no git": (lambda p: shutil.rmtree(p / ".git"), "no git repository", "git init"),
    "altered data": (lambda p: flip(p / "data/processed/val.safetensors"), "val.safetensors is not", "dvc checkout"),
    "altered weights": (lambda p: flip(p / "models/bundle/weights.safetensors"), "has SHA-256", "dvc checkout"),
    "another bundle.json": (lambda p: replace(p / "models/bundle/bundle.json", "relu", "gelu"), "is not", "checkout"),
    "a checkpoint cut off": (checkpoint, "training falls back by one", "rm "),
    "damaged best weights": (lambda p: flip(the(p, WEIGHTS)), "these settings are trained anew", "rm -r "),
    "a journal without a run": (no_journal, "before the journal's first line", "rm -r "),
    "no offset": (lambda p: the(p, ".ratchet/journal/*/shipped-*").write_text("{"), "is damaged", "&& ratchet sync"),
    "a damaged journal": (lambda p: add(the(p, JOURNAL), "{]\n"), "1 line of its journal", "ratchet sync"),
    "a newer journal": (newer_journal, "a journal of format 99", "git pull && make install"),
    "a journal without its name": (no_name, "the line of its journal that names the run is damaged", "less "),
    "a hole in DVC's cache": (lambda p: cached(p, "spec.json").unlink(), "1 of 8 files are missing", "install -m 444"),
    "no database": (lambda p: (p / "mlflow.db").write_text(5000 * "x"), "file is not a database", "mv "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_what_to_type(mine, doctor, fault):
    inject, text, typed = FAULTS[fault]
    inject(mine)
    before = tree(mine)
    code, found = doctor()
    assert code == 1
    assert [one for one in found["problem"] if text in one["text"] and typed in one["typed"]], found["problem"]
    assert len(found["problem"]) == 1
    assert tree(mine) == before


def test_what_it_says_to_type_mends_dvc_lock_and_dvcs_cache(mine, doctor):
    """A flipped bit with the old mode and time: DVC itself takes it for whole."""
    file = cached(mine, "val.safetensors")
    conflict(mine / "dvc.lock")
    flip(file)
    (problem,) = doctor("--deep")[1]["problem"]
    assert "dvc.lock" in problem["text"]
    good(mine, problem["typed"].partition(" && ")[0])
    assert doctor()[0] == 0
    (problem,) = doctor("--deep")[1]["problem"]
    assert str(file) in problem["text"]
    good(mine, problem["typed"])
    code, found = doctor("--deep")
    assert code == 0, found["problem"]


def test_leftovers_of_killed_processes_are_notes(mine, doctor):
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = [mine / f"models/.run.json.{gone.pid}.tmp", mine / f".ratchet/scratch/{gone.pid}/rows"]
    used = [mine / f"models/.run.json.{os.getpid()}.tmp", mine / f".ratchet/scratch/{os.getpid()}/rows"]
    for file in (*left, *used, mine / "data/.processed.new/train"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(1000))
    (note,) = [one for one in doctor()[1]["note"] if one["name"] == "leftovers"]
    assert note["text"] == "what killed processes left: 3, 3.0 kB"
    good(mine, note["typed"])
    assert "leftovers" in [one["name"] for one in doctor()[1]["ok"]]
    assert all(file.exists() for file in used)


def test_a_run_is_in_training_then_stale_then_waiting_then_shipped(mine, doctor):
    before = len(runs.run_ids(mine))
    command = [sys.executable, "-m", "pipeline", "train", *runs.TINY, "training.max_epochs=5000"]
    training = subprocess.Popen(command, cwd=mine, env=lean(), stdout=subprocess.PIPE, text=True)
    with training:
        next(line for line in training.stdout if line.startswith("epoch 2/"))
        code, found = doctor()
        assert f"{before + 1} runs, 1 in training now" in [one["text"] for one in found["ok"]]
        assert code == 0, found["problem"]
        for process in (*psutil.Process(training.pid).children(), training):
            process.send_signal(signal.SIGKILL)
    code, found = doctor()
    (problem,) = found["problem"]
    assert "says RUNNING, but its process is gone" in problem["text"]
    assert any("points and files of 1 run wait for sqlite" in one["text"] for one in found["note"])
    good(mine, problem["typed"].partition("   (")[0])
    code, found = doctor()
    assert code == 0, found["problem"]
    assert any("nothing waits" in one["text"] for one in found["ok"])
