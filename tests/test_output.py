"""What is printed may go away, and what is around a training may be odd: neither ends or fails it."""

import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import lean
from tests.support import runs
from tests.support.trackers import free_port

SHORT = ["model.widths=[16]", "training.max_epochs=4", "trainer.threads=1", "trainer=cpu"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# Of a scheduler and of a launcher around this process: each says that there are four, and that this is not the first
OUTER = {"SLURM_JOB_ID": "9", "SLURM_JOB_NAME": "a", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4"}
OUTER |= {"SLURM_PROCID": "3", "SLURM_LOCALID": "3", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n[1-4]"}
OUTER |= {"LSB_JOBID": "9", "LSB_DJOB_RANKFILE": "absent", "JSM_NAMESPACE_RANK": "3", "PBS_JOBID": "9"}
OUTER |= {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
OUTER |= {"MASTER_ADDR": "nowhere.invalid", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "a"}
OUTER |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *arguments]


def status(project: Path) -> str:
    (run_id,) = runs.run_ids(project)
    return runs.journal(project, run_id)[-1]["value"]


def terminal(project: Path, arguments: list[str], env: dict[str, str]) -> tuple[int, int]:
    """The training's pid and the terminal that it leads, as a shell's `exec` would start it."""
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execve(sys.executable, command(*arguments), env)
    return pid, screen


def test_a_training_outlives_its_terminal_in_a_locale_of_ascii_within_a_job_of_slurm(prepared_once, tmp_path):
    """The kernel sends SIGHUP, and each write fails from then on; the progress bar was there."""
    prepared = shutil.copytree(prepared_once, tmp_path / "my projekt é")
    environment = lean(**ASCII, **OUTER, PYTHONIOENCODING="ascii", TMPDIR="/absent", COLUMNS="0", TERM="dumb")
    environment.pop("HOME", None)
    pid, screen = terminal(prepared, ["train", *SHORT, "training.max_epochs=12"], environment)
    seen = b""
    while b"epoch 2/" not in seen:
        seen += os.read(screen, 1 << 12)
    os.close(screen)
    _, ended = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(ended) == 0, seen.decode()
    assert status(prepared) == "FINISHED"
    (run_id,) = runs.run_ids(prepared)
    assert [name for name, _, _ in runs.points(prepared, run_id)].count("val/loss") == 12


def test_two_ranks_meet_on_a_machine_whose_name_means_nothing_and_print_to_a_full_disk(prepared):
    two = command("train", *SHORT, "trainer.devices=2")
    if os.geteuid() == 0 and shutil.which("unshare"):  # a name for this process alone
        script = 'hostname nowhere.invalid && exec "$@" 2>&-'
        two = ["unshare", "--uts", "sh", "-c", script, "sh", *two]
    with open("/dev/full", "w") as full:
        done = subprocess.run(two, cwd=prepared, env=lean(**OUTER, **ASCII), stdout=full, timeout=120)
    assert (done.returncode, status(prepared)) == (0, "FINISHED")


def test_a_node_that_waits_for_another_one_obeys_sigterm(prepared):
    """The wait is a call in C, during which Python calls no handler."""
    port = free_port()
    nodes = ["trainer.nodes=2", "trainer.node=0", f"trainer.rendezvous=127.0.0.1:{port}"]
    training = subprocess.Popen(command("train", *SHORT, *nodes), cwd=prepared, env=lean())
    try:
        runs.eventually(lambda: port in [one.laddr.port for one in psutil.Process(training.pid).net_connections()])
        training.terminate()
        assert training.wait(60) == 143
    finally:
        training.kill()
        training.wait()


@pytest.mark.parametrize(("how", "code", "imported"), [("INT", 130, "numpy"), ("TERM", 143, "torch._C")])
def test_a_signal_ends_the_imports_without_a_traceback(prepared, how, code, imported):
    told = [sys.executable, "-X", "importtime", "-m", "pipeline", "train", *SHORT]
    with subprocess.Popen(told, cwd=prepared, env=lean(), stderr=subprocess.PIPE, text=True) as training:
        assert any(line.endswith(f" {imported}\n") for line in training.stderr)
        training.send_signal(signal.Signals[f"SIG{how}"])
        said = training.stderr.read()
    assert (training.returncode, "Traceback" in said) == (code, False), said


SHOWN = {"| true": (0, 0), ">/dev/full": (1, 1), ">&-": (0, 0), "2>&-": (0, 0)}  # code, lines of an error


@pytest.mark.parametrize("where", SHOWN)
def test_a_verb_that_only_shows_ends_quietly_and_says_what_was_lost(project, where):
    words = " ".join(command("runs")[1:])
    script = f'set -o pipefail; "{sys.executable}" {words} {where}'
    done = subprocess.run(["bash", "-c", script], cwd=project, env=lean(**ASCII), capture_output=True, text=True)
    code, lines = SHOWN[where]
    assert (done.returncode, len(done.stderr.splitlines())) == (code, lines), done.stderr


def test_a_pipe_that_does_not_wait_for_its_reader_loses_nothing():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    code = "from pipeline.project.output import survive; survive(); print('a' * 1_000_000)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=writing) as process, open(reading, "rb") as read:
        os.close(writing)
        assert len(read.read()) == 1_000_001
    assert process.returncode == 0
