"""Rows 12 and 14: SIGKILL at any moment of a training, of one process or of two; then the same command again.

What the seed chooses: the net (an MLP with dropout; a CNN with dropout and augmentation), one process or two, which of
them dies, and when: at any time, in the middle of writing a checkpoint, or at the end of an epoch.
"""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import psutil

from benchmarks.faults import plainly, projects
from benchmarks.faults.row import Row
from pipeline.project.files import sha256
from tests.conftest import lean
from tests.support import runs

WEIGHTS = "models/bundle/weights.safetensors"
INTERVAL, BLOCK = 10, 4  # steps between two checkpoints, and of a block: between two moments to save at
COMMON = [
    "trainer=cpu",
    "trainer.threads=1",
    f"trainer.checkpoint_steps={INTERVAL}",
    f"trainer.steps_per_block={BLOCK}",
    "tracking.log_every_steps=1",  # a point of every block
]
AUGMENTED = ["rotate=10.0", "crop=2", "noise=5.0"]
NETS = [
    ["model.widths=[32]", "model.dropout=0.2", "training.max_epochs=40"],
    [
        "scenario=mnist_cnn",
        "model.layers=[4,pool,8]",
        "model.widths=[16]",
        "model.dropout=0.2",
        "training.max_epochs=12",
    ]
    + [f"training.augmentation.{one}" for one in AUGMENTED],
]


def settings(seed: int) -> list[str]:
    return [*COMMON, *NETS[seed % 2], f"trainer.devices={1 + seed // 2 % 2}"]


@cache
def whole(kind: int) -> tuple[tempfile.TemporaryDirectory, Path, float]:
    """The same training, never stopped, and the seconds that its epochs took."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    project = projects.prepared(Path(folder.name))
    done = runs.train(project, *settings(kind))
    assert done.returncode == 0, done.stderr
    times = [line["time"] for line in runs.journal(project, runs.run_ids(project)[0]) if line["kind"] == "metrics"]
    return folder, project, (max(times) - min(times)) / 1000


def killed_and_run_again(folder: Path, seed: int) -> None:
    _, wanted, seconds = whole(seed % 4)
    project = projects.prepared(folder)
    reached = kill_once(project, seed, seconds)
    done = runs.train(project, *settings(seed))
    assert done.returncode == 0, done.stderr
    again = resumed_at(done.stdout)
    assert reached - again <= INTERVAL + 2 * BLOCK, f"{reached - again} steps were repeated"
    same(project, wanted)


def kill_once(project: Path, seed: int, seconds: float) -> int:
    """Trains, kills at the moment that the seed chooses; returns the last step that the journal holds."""
    chance = random.Random(seed)
    command = [sys.executable, "-m", "pipeline", "train", *settings(seed)]
    process = subprocess.Popen(command, cwd=project, env=lean(), stdout=subprocess.PIPE, text=True)
    runs.eventually(lambda: started(project), 120)
    moment = seed // 4 % 3
    time.sleep(chance.uniform(0, 0.5 * seconds))
    if moment == 1:
        runs.eventually(lambda: any(project.glob(".ratchet/checkpoints/*/.*.tmp")), 60, pause=0.0005)
    if moment == 2:
        before = epochs(project)
        runs.eventually(lambda: epochs(project) > before, 60, pause=0.0005)
    process.kill()
    process.communicate()
    time.sleep(1)  # ranks end soon after their launcher
    return max((step for _, step, _ in learned(project)), default=0)


def started(project: Path) -> bool:
    """Whether the first steps are journalled."""
    return bool(learned(project))


def epochs(project: Path) -> int:
    return sum(name == "val/loss" for name, _, _ in learned(project))


def learned(project: Path) -> list[tuple[str, int, float]]:
    points = [point for run_id in runs.run_ids(project) for point in whole_points(project, run_id)]
    return sorted(point for point in points if point[0].startswith(("train/", "val/")))


def whole_points(project: Path, run_id: str) -> list[tuple[str, int, float]]:
    file = project / ".ratchet/journal" / run_id / "journal.jsonl"
    return runs.points(project, run_id) if file.read_bytes().endswith(b"\n") else []


def resumed_at(output: str) -> int:
    lines = [line for line in output.splitlines() if line.startswith("resuming at step")]
    return int(lines[0].split()[-1]) if lines else 0


def same(project: Path, wanted: Path) -> None:
    for file in (WEIGHTS, "models/bundle/bundle.json"):
        assert sha256(project / file) == sha256(wanted / file), file
    assert learned(project) == learned(wanted), "the points differ"
    assert runs.sync(project).returncode == 0
    (run,) = runs.shipped_runs(runs.store(project))
    assert run.info.status == "FINISHED"
    (run_id,) = runs.run_ids(project)
    assert sorted(runs.shipped_points(runs.store(project), run.info.run_id)) == sorted(runs.points(project, run_id))


def a_rank_dies(folder: Path, seed: int) -> None:
    """One of two ranks is killed: the launcher stops the other, starts both again, and ends as if nothing had been."""
    kind = 2 + seed % 2
    _, wanted, seconds = whole(kind)
    project = projects.prepared(folder)
    chance = random.Random(seed)
    command = [sys.executable, "-m", "pipeline", "train", *settings(kind)]
    process = subprocess.Popen(command, cwd=project, env=lean(), stdout=subprocess.PIPE, text=True)
    runs.eventually(lambda: started(project), 120)
    time.sleep(chance.uniform(0, 0.5 * seconds))
    chance.choice(ranks(process.pid)).send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "resuming at step" in output
    same(project, wanted)


def ranks(launcher: int) -> list[psutil.Process]:
    """The launcher's processes that train: forked by a server that it started."""
    children = psutil.Process(launcher).children()
    (server,) = [child for child in children if "forkserver" in " ".join(child.cmdline())]
    return server.children()


def plain(folder: Path, seed: int) -> None:
    """The control of row 12: the same, with ModelCheckpoint and ckpt_path."""
    project = projects.prepared(folder)
    uri = runs.store(project)
    command = [sys.executable, "-m", "benchmarks.faults.plain", str(project)]
    places = [folder / "whole", folder / "killed"]
    for place in places:
        place.mkdir()
    asked = {"cwd": Path(__file__).parents[2], "env": lean(), "capture_output": True, "check": True}
    subprocess.run([*command, str(places[0]), uri, "--epochs=40"], **asked)
    process = subprocess.Popen([*command, str(places[1]), uri, "--epochs=40"], cwd=asked["cwd"], env=lean())
    runs.eventually(lambda: (places[1] / "last.ckpt").exists(), 120)
    time.sleep(random.Random(seed).uniform(0, 2))
    process.kill()
    process.wait()
    subprocess.run([*command, str(places[1]), uri, "--epochs=40"], **asked)
    found = [run for run in runs.shipped_runs(uri) if run.info.status == "FINISHED"]
    assert len(runs.shipped_runs(uri)) == 2, "the resumed training is another run"
    assert len(found) == 2
    import torch

    first, second = (torch.load(place / "weights.pt", weights_only=True) for place in places)
    assert all(torch.equal(first[name], second[name]) for name in first), "other weights"
    shutil.rmtree(folder / "whole")


ROWS = [
    Row(
        12,
        "SIGKILL in training (any time, writing a checkpoint, end of an epoch; 1 and 2 processes; MLP and CNN)",
        "the same bytes and points as an uninterrupted run, in the same MLflow run",
        50,
        killed_and_run_again,
        plain,
        3,
    ),
    Row(
        14,
        "one of two ranks is killed",
        "all stop and start again, by themselves; the same bytes",
        8,
        a_rank_dies,
        plainly.a_rank_dies,
    ),
]
