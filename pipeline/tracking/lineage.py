"""Where a run comes from: code, data, packages, machine."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import yaml

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "mlflow", "dvc", "hydra-core", "numpy", "safetensors")


def git(*arguments: str) -> str | None:
    """What git says, or None where there is no git or no commit."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit() -> dict[str, str]:
    """The git commit, and whether tracked files differ from it (files that the pipeline writes do not count)."""
    head = git("rev-parse", "HEAD")
    if head is None:
        return {"git.commit": "none", "git.dirty": "unknown"}
    written = (":(exclude)dvc.lock", ":(exclude)params.lock.yaml")
    dirty = git("status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    return {"git.commit": head, "git.dirty": str(bool(dirty)).lower()}


def dvc_sums(lock: Path = Path("dvc.lock")) -> dict[str, str]:
    """Path → MD5 of every output that dvc.lock names."""
    if not lock.is_file():
        return {}
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {f"dvc.{out['path']}": out["md5"] for out in outs if "md5" in out}


def packages() -> dict[str, str]:
    return {f"version.{name}": version(name) for name in PACKAGES} | {"version.python": platform.python_version()}
