"""The machine: Python and packages, processors, memory, GPUs, disk, and where it may write."""

import os
import platform
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipeline.diagnosis.finding import Finding, Look, note, ok, problem, size
from pipeline.project import paths
from pipeline.project.files import opening

LEAST_DISK = 1 << 30  # bytes: a training's checkpoints, its bundle and DVC's copy of it take some hundred MB
COMPROMISED = {name: ("2.6.2", "2.6.3") for name in ("pytorch-lightning", "lightning")}
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # the memory that a container may take; "max" if all of it
FIELDS = "name,memory.total,memory.free"


def declared() -> dict[str, Any]:
    return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def python(look: Look) -> Iterator[Finding]:
    given, allowed = platform.python_version(), declared()["requires-python"]
    if given in SpecifierSet(allowed):
        yield ok("python", given)
    else:
        yield problem("python", f"{given}; allowed is {allowed}", "make install PYTHON=python3.11")


def packages(look: Look) -> Iterator[Finding]:
    """Those that pyproject.toml needs, and those of its extras that are here."""
    project = declared()
    needed = [Requirement(line) for line in project["dependencies"]]
    extras = [Requirement(line) for lines in project["optional-dependencies"].values() for line in lines]
    wrong = [*compromised(), *(found for one in needed if (found := unfit(one, needed=True)))]
    wrong += [found for one in extras if (found := unfit(one, needed=False))]
    yield from wrong
    if not wrong:
        main = ", ".join(f"{name} {version(name)}" for name in ("torch", "pytorch-lightning", "mlflow", "dvc"))
        yield ok("packages", f"{main}; all {len(needed)} are as pyproject.toml has them")


def compromised() -> Iterator[Finding]:
    for name, versions in COMPROMISED.items():
        if (given := installed(name)) in versions:
            yield problem(
                name,
                f"{given} is a compromised release: whatever secrets this machine knew may be known to others",
                f'pip install --force-reinstall "{name}!=2.6.2,!=2.6.3"   (then change those secrets)',
            )


def unfit(wanted: Requirement, needed: bool) -> Finding | None:
    given = installed(wanted.name)
    if given is None:
        return problem(wanted.name, "is not installed", f'pip install "{wanted}"') if needed else None
    if given in COMPROMISED.get(wanted.name, ()) or wanted.specifier.contains(given, prereleases=True):
        return None
    return problem(wanted.name, f"{given}; allowed is {wanted.specifier}", f'pip install "{wanted}"')


def processors(look: Look) -> Iterator[Finding]:
    able = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield ok("CPU", f"{able} cores for this process, {os.cpu_count()} in the machine")


def memory(look: Look) -> Iterator[Finding]:
    there = psutil.virtual_memory()
    text = f"{size(there.total)}, {size(there.available)} free"
    most = CONTAINER.read_text().strip() if CONTAINER.is_file() else "max"
    yield ok("memory", text if most == "max" else f"{text}; this container may take {size(int(most))}")


def gpus(look: Look) -> Iterator[Finding]:
    """What the driver lists, and whether torch can use it; torch is imported only where there is one."""
    if shutil.which("nvidia-smi") is None:
        yield ok("GPU", "none (no NVIDIA driver); training uses the CPU")
        return
    command = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    if done.returncode:
        yield problem("GPU", f"nvidia-smi says: {(done.stderr or done.stdout).strip()[:300]}", "nvidia-smi")
        return
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    listed = "; ".join(f"{name}, {int(all_):,} MiB, {int(free):,} free" for name, all_, free in rows)
    yield usable(listed, len(rows)) if rows else ok("GPU", "none; training uses the CPU")


def usable(listed: str, count: int) -> Finding:
    if (installed("torch") or "").endswith("+cpu"):
        typed = 'pip install --force-reinstall "torch>=2.11,<3"   (not from the index of CPU wheels)'
        return note("GPU", f"{listed}; but torch {installed('torch')} can't use it: training uses the CPU", typed)
    import torch

    if not torch.cuda.is_available():
        return problem("GPU", f"{listed}; but torch can't use it", 'python -c "import torch; torch.cuda.init()"')
    seen = torch.cuda.device_count()
    return ok("GPU", listed if seen == count else f"{listed}; torch sees {seen} (CUDA_VISIBLE_DEVICES)")


def disk(look: Look) -> Iterator[Finding]:
    there = shutil.disk_usage(Path.cwd())
    text = f"{size(there.free)} free of {size(there.total)}"
    if there.free >= LEAST_DISK:
        yield ok("disk", text)
    else:
        typed = "du -xsh .ratchet/* .dvc/cache data models mlartifacts   (shows what takes the room)"
        yield problem("disk", f"{text}: a training may not be able to save", typed)


def writable(look: Look) -> Iterator[Finding]:
    places = [Path.cwd(), paths.state(), *(Path(name).absolute() for name in ("data", "models", "reports"))]
    existing = dict.fromkeys(next(one for one in (place, *place.parents) if one.exists()) for place in places)
    closed = [place for place in existing if not os.access(place, os.W_OK | os.X_OK)]
    for place in closed:
        yield problem("folders", f"{place} can't be written", opening(place))
    if not closed:
        yield ok("folders", "the project, .ratchet, data, models and reports can be written")
