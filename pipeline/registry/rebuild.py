"""Makes a version again: its commit in a clone of its own, its data, its settings, and the stages of that commit."""

import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import psutil
import yaml

from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.project.secrets import redact
from pipeline.store.labels import FILE
from pipeline.tracking.revision import GitError, ask_git, git, in_short

STAGES = ("preprocess", "train", "evaluate")
TOLD = 12  # lines of a stage that failed


class Impossible(RatchetError):
    """What it takes to make the version again is not to be had."""


def rebuild(told: dict[str, Any], folder: Path) -> Iterator[Path]:
    """Yields the project, made in `folder`, after each of STAGES; `told` is provenance.read's.

    Impossible, with what is missing, if one can't be run.
    """
    project = cloned(told["code"]["commit"], folder)
    project.joinpath(paths.LOCK).write_text(yaml.safe_dump(settings(told), allow_unicode=True), encoding="utf-8")
    environment = environ(project, told["machine"])
    with nothing_left(folder):
        bring_data(told, project, environment)
        for verb in STAGES:
            if problem := stage(verb, project, environment):
                raise Impossible(f"`ratchet {verb}` of commit {told['code']['commit'][:12]} failed:\n{problem}")
            yield project


def cloned(commit: str | None, folder: Path) -> Path:
    """The project at `commit`, in a clone of this repository, or of its origin if the commit is not here."""
    if commit in (None, "none"):
        raise Impossible("it names no commit: git could not say when it was registered which code made it")
    try:
        top, origin = ask_git("rev-parse", "--show-toplevel"), git("remote", "get-url", "origin")
    except GitError as error:
        raise Impossible(f"{in_short(str(error))}.\nType: ratchet doctor") from None
    here = git("cat-file", "-e", f"{commit}^{{commit}}") is not None
    source, target = top if here else origin, str(folder / "clone")
    # --shared: the objects of this repository, so that a commit that no branch holds, as of `dvc exp run`, is there too
    commands = [
        ["git", "clone", "--quiet", "--no-checkout", *["--shared"] * here, str(source), target],
        ["git", "-C", target, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", str(commit)],
    ]
    problems = [f"{top}: it is not there", *["no remote is called origin"] * (origin is None)]
    for command in commands if source else ():
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            problems.append(redact(f"{source}: {done.stderr.strip()}"))
            source = None
            break
    if source is None:
        looked = "\n".join(f"  {problem}" for problem in problems[here:])
        raise Impossible(
            f"commit {commit} is missing; looked in\n{looked}\n"
            "Type: git fetch --all   (or ask the one who registered the version to push it)"
        )
    return Path(target) / (git("rev-parse", "--show-prefix") or "")


def settings(told: dict[str, Any]) -> dict[str, Any]:
    """The config it was trained with, scored with and on the same number of processes and threads, all on one node."""
    if told["settings"] is None:
        raise Impossible(f"the settings of {told['uri']} are missing: its run has no config.yaml in MLflow any more")
    machine, config = told["machine"], told["settings"]
    trainer = config["trainer"] | {"nodes": 1, "node": 0}
    trainer |= {"devices": int(machine["processes"])} if "processes" in machine else {}
    trainer |= {"threads": int(machine["threads"])} if "threads" in machine else {}
    return config | {"trainer": trainer, "evaluation": told["evaluation"] or config["evaluation"]}


def environ(project: Path, machine: dict[str, Any]) -> dict[str, str]:
    """Of the stages: their own package, a tracking store of their own, and no GPU if there was none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GIT_", "DVC_"))}
    kept |= {"PYTHONPATH": str(project), "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    return kept | ({"CUDA_VISIBLE_DEVICES": ""} if machine.get("device") == "cpu" else {})


def bring_data(told: dict[str, Any], project: Path, environment: dict[str, str]) -> None:
    """data/raw as it was, from DVC's cache or remotes; else whatever the stage `download` can reach, verified."""
    raw = told["dvc"].get(str(paths.RAW))
    problems = pulled(raw, project / paths.RAW) if raw else ["DVC: the version names no sum of data/raw"]
    if problems:
        problem = stage("download", project, environment)
        if problem:
            raise Impossible("\n".join(["data/raw is missing; looked in", *problems, f"its sources: {problem}"]))
    if labels := told["settings"].get("labels"):
        bring_labels(labels["sha256"], told["dvc"].get(str(paths.FEEDBACK)), project)


def bring_labels(sha256: str, md5: str | None, project: Path) -> None:
    """data/feedback as it was: as this project keeps its newest export, or from DVC's cache or remotes."""
    kept = paths.state("feedback", f"{sha256}.parquet")
    if kept.is_file():
        (project / FILE).parent.mkdir(parents=True)
        shutil.copyfile(kept, project / FILE)
    elif problems := pulled(md5, project / paths.FEEDBACK) if md5 else ["DVC: the version names no sum of it"]:
        raise Impossible("\n".join([f"{paths.FEEDBACK} is missing; looked in", str(kept), *problems]))


def pulled(md5: str, target: Path) -> list[str]:
    """Brings the folder of that sum, every file verified; what was wrong in each place if none could.

    A repository of its own takes this one's cache for a remote: it is left as it is, and what is damaged is refused.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with Repo(paths.home(Path.cwd())) as here:
        remotes = {"cache": {"url": str(Path(here.cache.local.path).parents[1])}, **here.config["remote"]}
        default = here.config["core"].get("remote")
    remotes = {name: {**remote, "verify": True} for name, remote in remotes.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    place = target.parent / "wanted"
    (place / ".dvc").mkdir(parents=True)
    (place / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (place / "raw.dvc").write_text(f"outs: [{{md5: {md5}, hash: md5, path: raw}}]\n")
    problems: list[str] = []
    with Repo(str(place), config={"remote": remotes}) as repo:
        for name in sorted(remotes, key=lambda name: (name != "cache", name != default)):
            try:
                repo.pull(targets=[str(place / "raw.dvc")], remote=name)
                (place / "raw").rename(target)
                problems = []
                break
            except (DvcException, OSError) as error:
                problems.append(f"DVC's {name}, {remotes[name]['url']}: {str(error).splitlines()[0]}")
    shutil.rmtree(place)
    return problems


def stage(verb: str, project: Path, environment: dict[str, str]) -> str:
    """Runs it with what it says shown; "", or its last lines if it failed."""
    print(f"$ ratchet {verb} --locked", flush=True)
    command = [sys.executable, "-m", "pipeline", verb, "--locked"]
    last: deque[str] = deque(maxlen=TOLD)
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in cast("IO[str]", process.stdout):  # a pipe
                print(f"  {line}", end="", flush=True)
                last.append(line)
        except BaseException:
            process.terminate()
            raise
    return "".join(last) if process.returncode else ""


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Ends the processes that stages leave in `folder`: they ship journals to a store that nobody will read."""
    try:
        yield
    finally:
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(folder):
                    process.kill()
                    process.wait(10)
            except (psutil.Error, OSError):  # of another user, or gone
                continue
