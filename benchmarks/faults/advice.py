"""Row 42: what Ratchet says to type is typed where it is said: it cures, and nothing of the user's is lost."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import yaml

from benchmarks.faults import projects
from benchmarks.faults.row import Row
from tests import test_doctor, test_doctor_git
from tests.conftest import lean
from tests.support import runs
from tests.test_doctor import cached, conflict, flip

NAME = "anna's project"  # a path that a shell takes apart unless it is quoted
MINE = ("params.yaml", "conf/", ".dvc/config", ".dvc/plots/", ".dvc/cache/", "data/raw/", "pipeline/", "dvc.yaml")
KEPT = (".ckpt", ".safetensors")  # of trainings
RAW = "train-labels-idx1-ubyte"


@dataclass(frozen=True)
class Situation:
    inject: Callable[[Path], object]
    verb: tuple[str, ...] = ("doctor", "--json", "--deep")  # says what to type, and has no fault to find afterwards


def first(project: Path, pattern: str) -> Path:
    return next(iter(sorted(project.glob(pattern))))


def damage(pattern: str, content: str = "{") -> Callable[[Path], object]:
    return lambda project: first(project, pattern).write_text(content)


def remove(pattern: str) -> Callable[[Path], object]:
    return lambda project: first(project, pattern).unlink()


def alter(pattern: str) -> Callable[[Path], object]:
    return lambda project: flip(first(project, pattern))


def source_away(inject: Callable[[Path], object]) -> Callable[[Path], None]:
    """The files that raw data came from are gone: what is here is all that there is."""

    def both(project: Path) -> None:
        (project.parent / "mirror").rename(project.parent / "away")
        inject(project)

    return both


def in_cache(project: Path, name: str) -> Path:
    """The file of DVC's cache that holds data/raw/NAME."""
    md5 = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["download"]["outs"][0]["md5"]
    folder = project / ".dvc/cache/files/md5"
    listed = json.loads((folder / md5[:2] / md5[2:]).read_text())
    found = next(entry["md5"] for entry in listed if entry["relpath"] == name)
    return folder / found[:2] / found[2:]


def flipped_twice(project: Path) -> None:
    flip(cached(project, "val.safetensors"))
    flip(project / "data/processed/val.safetensors")


def committed_conflict(project: Path) -> None:
    conflict(project / "dvc.lock")
    test_doctor_git.git(project, "commit", "--quiet", "--all", "--message", "A merge that nobody looked at")


def deleted_experiment(project: Path) -> None:
    asked = runs.client(f"sqlite:///{project}/mlflow.db")
    asked.delete_experiment(asked.get_experiment_by_name("mnist").experiment_id)


def raw_edited(project: Path) -> None:
    """By hand, as someone mends a label: that is kept as well."""
    file = project / "data/raw" / RAW
    file.chmod(0o644)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([(content[-1] + 1) % 10]))


HAND_EDITED = ("a merge of params.yaml", "a wrong setting")  # their advice begins with an editor
SITUATIONS: dict[str, Situation] = {
    **{name: Situation(made[0]) for name, made in test_doctor.FAULTS.items() if name not in HAND_EDITED},
    **{f"git: {name}": Situation(made[0]) for name, made in test_doctor_git.FAULTS.items()},
    "git's locks": Situation(lambda p: (p / ".git/index.lock").touch()),
    "no .dvc": Situation(lambda p: shutil.move(p / ".dvc", p / ".ratchet/dvc")),
    "dvc.lock damaged in the commit too": Situation(committed_conflict),
    "a hole in the cache, the source is away": Situation(source_away(lambda p: in_cache(p, RAW).unlink())),
    "a flipped bit in the cache, the source is away": Situation(source_away(lambda p: flip(in_cache(p, RAW)))),
    "a flipped bit in the cache of prepared data": Situation(lambda p: flip(cached(p, "val.safetensors"))),
    "flipped bits in the cache and the project": Situation(flipped_twice),
    "a deleted experiment": Situation(deleted_experiment),
    "edited raw data": Situation(raw_edited, ("preprocess",)),
    "edited raw data, the source is away": Situation(source_away(raw_edited), ("preprocess",)),
    "no raw file, the source is away": Situation(source_away(remove(f"data/raw/{RAW}")), ("preprocess",)),
    "altered prepared data": Situation(alter("data/processed/train.safetensors"), ("train", "seed=3")),
    "no prepared split": Situation(remove("data/processed/train.safetensors"), ("train", "seed=3")),
    "no spec of the data": Situation(remove("data/processed/spec.json"), ("train", "seed=3")),
    "altered weights, evaluated": Situation(alter("models/bundle/weights.safetensors"), ("evaluate",)),
    "a damaged run.json": Situation(damage("models/run.json"), ("evaluate",)),
    "a damaged bundle.json": Situation(damage("models/bundle/bundle.json"), ("evaluate",)),
    "a damaged offset": Situation(damage(".ratchet/journal/*/shipped-*.json"), ("sync",)),
    "a checkpoint's run.json is damaged": Situation(damage(".ratchet/checkpoints/*/run.json"), ("train",)),
    "no locked settings": Situation(remove("params.lock.yaml"), ("evaluate", "--locked")),
}


@cache
def whole() -> Path:
    """Trained, shipped, in DVC's cache and committed; and the mirror beside it."""
    project = projects.made()[1].parent / "whole" / NAME
    project.parent.mkdir()
    shutil.copytree(projects.made()[1].parent / "mirror", project.parent / "mirror")
    shutil.copytree(projects.made()[1], project)
    params = yaml.safe_load((project / "params.yaml").read_text()) | {"model": {"widths": [16]}}
    params["training"]["max_epochs"] = 1
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    return project


def at_its_place() -> Path:
    """A fresh copy at the one place that its settings and its store name."""
    place = whole().parent.with_name("place")
    if not (kept := whole().parent.with_name("kept")).exists():
        shutil.copytree(whole().parent, place)
        use(place / NAME)
        typed(place / NAME, "dvc repro && ratchet sync && git add --all && git commit --quiet --message Ran")
        shutil.copytree(place, kept)
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(kept, place)) / NAME


def use(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["data"]["source"]["mirrors"][0]["url"] = f"file:{project.parent}/mirror/{{file}}"
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def typed(project: Path, command: str) -> None:
    environment = lean(PYTHONPATH=str(project), PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(["bash", "-c", command], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def said(project: Path, verb: tuple[str, ...]) -> tuple[int, str, str]:
    """Of a verb: its exit code, what it printed, and on standard error. A busy machine is no fault."""
    patient = "import sys\nfrom pipeline.__main__ import main\nfrom pipeline.diagnosis import tracker\n"
    patient += "tracker.PATIENCE = 60\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", patient, *verb]
    environment = lean(PYTHONPATH=str(project), PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def advised(project: Path, verb: tuple[str, ...]) -> list[str]:
    """What it says to type: of a problem one command each, the first that it offers."""
    code, out, err = said(project, verb)
    if verb[0] == "doctor":
        found = json.loads(out)["findings"]
        wrong = [one for one in found if one["mark"] == "problem" or (one["name"] == "git" and one["mark"] == "note")]
        return [command(one["typed"]) for one in wrong]
    found = re.search(r"Type: (.*)", err, re.DOTALL)
    assert code == 0 or found, err
    return [command(found[1])] if code else []


def command(advice: str) -> str:
    return advice.partition("\n")[0].partition("   (")[0]


def mine(project: Path) -> Iterator[tuple[str, str]]:
    """(path, digest) of what nobody but its owner may take away."""
    for file in sorted(project.rglob("*")):
        name = str(file.relative_to(project))
        owned = name.startswith(MINE) or (name.startswith(".ratchet/checkpoints/") and name.endswith(KEPT))
        if file.is_file() and owned and "__pycache__" not in name and "/runs/" not in name:
            yield name, sha256(file.read_bytes()).hexdigest()


def lost(project: Path, before: set[tuple[str, str]], faulty: set[tuple[str, str]]) -> list[str]:
    """What was whole beside the fault, and has no copy anywhere in the project now."""
    there = {sha256(file.read_bytes()).hexdigest() for file in project.rglob("*") if file.is_file()}
    edited = {one for one in faulty - before if one[0].startswith("data/raw/")}  # by its owner
    return [name for name, digest in (before & faulty) | edited if digest not in there]


def attempt(folder: Path, seed: int) -> None:
    name = list(SITUATIONS)[seed]
    situation, project = SITUATIONS[name], at_its_place()
    before = set(mine(project))
    situation.inject(project)
    faulty = set(mine(project))
    advice = advised(project, situation.verb)
    assert advice, f"{name}: nothing is said"
    for one in advice:
        print(f"  {name}: {one}", file=sys.stderr, flush=True)
        typed(project, one)
    left = advised(project, situation.verb)
    assert not left, f"{name}: {advice} did not help: {left}"
    assert not (gone := lost(project, before, faulty)), f"{name}: {advice} took {gone}"


ROWS = [Row(42, 'every "Type: …" is typed', "cures, and nothing of the user's is lost", len(SITUATIONS), attempt)]
