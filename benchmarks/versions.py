"""The tests on the oldest and the newest supported MLflow, Lightning and torch: `make versions`.

python -m benchmarks.versions [--only oldest|newest] [--torch VERSION] [TEST …]

Each set gets a clean virtual environment: requirements.lock, but for these three and what they decide, which pip picks
anew within the ranges of pyproject.toml. --torch pins it, where other builds of torch are not to be had.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from benchmarks.__main__ import REPOSITORY

VARIED = ("mlflow", "pytorch-lightning", "torch")
FREED = re.compile(r"(mlflow|pytorch.lightning|torch|triton|nvidia|cuda|pandas|pyarrow|cryptography|packaging)\b", re.I)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.versions", description=__doc__)
    parser.add_argument("--only", choices=["oldest", "newest"])
    parser.add_argument("--torch", metavar="VERSION", help="instead of the oldest and the newest of its range")
    parser.add_argument("tests", nargs="*", help="files for pytest; default: all")
    options = parser.parse_args()
    failed = False
    for which in [options.only] if options.only else ["oldest", "newest"]:
        with tempfile.TemporaryDirectory() as folder:
            python = environment(Path(folder), which, options.torch)
            command = [python, "-m", "pytest", "-q", *options.tests]
            done = subprocess.run(command, cwd=Path(folder) / "clone", stdout=subprocess.PIPE, text=True)
            failed |= done.returncode != 0
            print(done.stdout if done.returncode else "", end="")
            print(f"{which}: {', '.join(installed(python))}: {done.stdout.strip().splitlines()[-1]}", flush=True)
    sys.exit(failed)


def environment(folder: Path, which: str, torch: str | None) -> str:
    """A clone with a virtual environment of its own; returns its Python."""
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, folder / "clone"], check=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = str(folder / "venv/bin/python")
    locked = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in locked if not FREED.match(line)] + wanted(which, torch)
    (folder / "constraints.txt").write_text("\n".join(pins), encoding="utf-8")
    extras = f"{folder}/clone[text,sweep,ray,slurm,dev]"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", f"{folder}/constraints.txt"]
    subprocess.run([*pip, "--editable", extras], check=True)
    return python


def wanted(which: str, torch: str | None) -> list[str]:
    """Constraints: the lower bound of each range, or the range itself, of which pip takes the newest."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = dict(re.match(r"([\w-]+)(.*)", each).groups() for each in project["dependencies"])
    lowest = {name: re.search(r">=([\d.]+)", ranges[name]).group(1) for name in VARIED}
    chosen = {name: f"=={lowest[name]}" if which == "oldest" else ranges[name] for name in VARIED}
    if torch is not None:
        chosen["torch"] = f"=={torch}"
    return [f"{name}{version}" for name, version in chosen.items()]


def installed(python: str) -> list[str]:
    code = f"from importlib.metadata import version\nfor each in {VARIED}: print(each, version(each))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()


if __name__ == "__main__":
    main()
