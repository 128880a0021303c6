"""Row 45: where the output goes goes away, and what is around a training is odd."""

import os
import pty
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import plainly
from benchmarks.faults.ends import WEIGHTS, in_mlflow
from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from tests.conftest import lean
from tests.support import limits, runs

EPOCHS = 10
SETTINGS = ["model.widths=[32]", f"training.max_epochs={EPOCHS}", "trainer.threads=1", "trainer=cpu"]
TRAIN = [sys.executable, "-m", "pipeline", "train", *SETTINGS]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SLURM = {"SLURM_JOB_ID": "9", "SLURM_JOB_NAME": "a", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4"}
SLURM |= {"SLURM_PROCID": "3", "SLURM_LOCALID": "3", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n[1-4]"}
TORCHRUN = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
TORCHRUN |= {"MASTER_ADDR": "nowhere.invalid", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "a"}


def complete(project: Path, code: int, said: str = "") -> None:
    """The run ended well, with each point once, in MLflow too."""
    assert (code, "Traceback" in said) == (0, False), (code, said[-500:])
    (run_id,) = runs.run_ids(project)
    losses = [step for name, step, _ in runs.points(project, run_id) if name == "val/loss"]
    assert len(losses) == len(set(losses)) == EPOCHS, losses
    assert (project / WEIGHTS).is_file()
    assert in_mlflow(project)[0] == "FINISHED"


def closed_terminal(folder: Path, seed: int) -> None:
    project, epoch = prepared(folder, "my projekt é"), random.Random(seed).randrange(1, EPOCHS // 2)
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execve(TRAIN[0], TRAIN, lean())
    seen = b""
    while f"epoch {epoch}/".encode() not in seen:
        seen += os.read(screen, 1 << 12)
    os.close(screen)
    complete(project, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def closed_pipe(folder: Path, seed: int) -> None:
    """The reader leaves at some line, as `head` does."""
    project, lines = prepared(folder), random.Random(seed).randrange(1, EPOCHS // 2)
    with subprocess.Popen(TRAIN, cwd=project, env=lean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as training:
        for _ in range(lines):
            training.stdout.readline()
        training.stdout.close()
        code = training.wait(120)
    complete(project, code)


def shell(script: str, *settings: str, **env: str) -> Callable[[Path], None]:
    """`$@` in the script is the training; a variable that is empty is unset."""

    def attempt(folder: Path) -> None:
        project = prepared(folder)
        given = {name: value for name, value in lean(**env).items() if value}
        command = ["bash", "-c", script, "bash", *TRAIN, *settings]
        done = subprocess.run(command, cwd=project, env=given, capture_output=True, text=True, timeout=240)
        complete(project, done.returncode, done.stderr)

    return attempt


def nameless_host(folder: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise limits.Missing("only root gives a process a host name of its own")
    script = 'hostname nowhere.invalid && exec "$@"'
    shell(f"exec unshare --uts bash -c '{script}' bash \"$@\"", "trainer.devices=2")(folder)


def interrupted_imports(folder: Path, seed: int) -> None:
    """130 or 143 at once and no traceback; then the same command trains."""
    how, code = [(signal.SIGTERM, 143), (signal.SIGINT, 130)][seed // 10 % 2]
    project = prepared(folder)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(TRAIN, cwd=project, env=lean(), **pipes) as training:
        try:
            training.wait(random.Random(seed).uniform(0.3, 3))
        except subprocess.TimeoutExpired:
            training.send_signal(how)
        said = training.stderr.read()
    assert (training.returncode, said) == (code, ""), (training.returncode, said[-500:])
    shell('"$@"')(folder / "again")


KINDS: list[Callable[[Path, int], None]] = [
    closed_terminal,
    closed_pipe,
    interrupted_imports,
    *(
        lambda folder, seed, attempt=attempt: attempt(folder)
        for attempt in (
            shell('"$@" >/dev/full 2>&1'),
            shell('"$@" <&- >&- 2>&-', "trainer.devices=2"),
            shell('"$@"', HOME="", TMPDIR="/absent", **ASCII),
            shell('"$@"', HOME="/proc", COLUMNS="0", TERM="dumb", PYTHONIOENCODING="ascii"),
            shell('"$@"', **SLURM, **TORCHRUN),
            shell('"$@"', "trainer.devices=2", **SLURM, **TORCHRUN),
            nameless_host,
        )
    ),
]


def attempt(folder: Path, seed: int) -> None:
    KINDS[seed % len(KINDS)](folder, seed)


def plain(folder: Path, seed: int) -> None:
    """The easiest of them: SLURM's variables around one process."""
    done = plainly.train(prepared(folder), folder / "plain", **SLURM)
    assert done.returncode == 0, done.stderr[-300:]


ROWS = [
    Row(
        45,
        "output goes away; ASCII locale, no HOME, SLURM variables, unresolvable host, signals during imports",
        "trains on, or ends at once",
        2 * len(KINDS),
        attempt,
        plain,
    )
]
