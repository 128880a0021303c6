"""Where a run comes from: code, data, packages, machine."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import yaml

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "mlflow", "dvc", "hydra-core", "numpy", "safetensors")
PATIENCE = 30  # seconds for one answer of git's; a network disk may take some


class GitError(Exception):
    """Git did not do what it was asked for: what it said."""


class NoGit(GitError):
    """Git can't be run."""


class NoAnswer(GitError):
    """Git takes too long."""


def ask_git(*arguments: str) -> str:
    """What git says, in English; GitError where there is no git, no answer in time, or a refusal."""
    english = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=english,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"git did not answer within {PATIENCE} seconds") from None
    except OSError as error:
        raise NoGit(f"git can't be run: {error.strerror}") from None
    if done.returncode:
        raise GitError(done.stderr.strip() or f"git ended with {done.returncode}")
    return done.stdout.strip()


def git(*arguments: str) -> str | None:
    """What git says, or None where it does not do as asked."""
    try:
        return ask_git(*arguments)
    except GitError:
        return None


def commit() -> dict[str, str]:
    """The git commit, and whether tracked files differ from it (files that the pipeline writes do not count).

    What git does not say is "none" and "unknown"; git.problem says why. Nothing waits for git twice.
    """
    found = {"git.commit": "none", "git.dirty": "unknown"}
    written = (":(exclude)dvc.lock", ":(exclude)params.lock.yaml")
    try:
        found["git.commit"] = ask_git("rev-parse", "--verify", "HEAD")
        # without locks: it is no business of a run's to write git's index
        status = ask_git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--", ".", *written)
        found["git.dirty"] = str(bool(status)).lower()
    except GitError as error:
        found["git.problem"] = in_short(str(error))
    return found


def checkout(tags: Mapping[str, str]) -> str:
    """What to type for the code of a run or version; `git log` where git did not say which it was."""
    known = tags.get("git.commit", "none")
    return "git log" if known == "none" else f"git checkout {known[:12]}"


def in_short(said: str) -> str:
    """The first line of what git said, in a person's words where git's own tell little."""
    first = said.partition("\n")[0].removeprefix("fatal: ")
    return "there is no commit yet" if first == "Needed a single revision" else first


def tell_no_commit(tags: dict[str, str]) -> None:
    """Says that a run can't name its code, and why."""
    if "git.problem" in tags:
        lost = "which code made it" if tags["git.commit"] == "none" else "whether its code was changed since the commit"
        print(f"{tags['git.problem']}: this run can't say {lost}.\nType: ratchet doctor", flush=True)


def dvc_sums(lock: Path = Path("dvc.lock")) -> dict[str, str]:
    """Path → MD5 of every output that dvc.lock names."""
    if not lock.is_file():
        return {}
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {f"dvc.{out['path']}": out["md5"] for out in outs if "md5" in out}


def packages() -> dict[str, str]:
    return {f"version.{name}": version(name) for name in PACKAGES} | {"version.python": platform.python_version()}
