"""Real MLflow servers on loopback, and a real PostgreSQL beneath them; what arrived is read back through MLflow."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import lean
from tests.support import runs

Points = list[tuple[str, int, float]]  # of a run, in order: metric, step, value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(
    folder: Path, port: int, database: Path | None = None, store: str | None = None, app: str = "", **env: str
) -> Iterator[subprocess.Popen]:
    """A real MLflow server on loopback: on `store`, or on an SQLite file in `folder` that begins as `database`.

    `app`: of MLflow's apps, such as basic-auth; `env` adds to a lean environment.
    """
    folder.mkdir(exist_ok=True)
    if database is not None and not (folder / "mlflow.db").exists():
        shutil.copyfile(database, folder / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store or f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "files")]
    command += ["--app-name", app] if app else []
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **env}  # else ten more processes start, for MLflow's own jobs
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, env=lean(**env), stdout=log, stderr=log, start_new_session=True)
    try:
        runs.eventually(lambda: answers(port) or process.poll() is not None, 120)
        assert process.poll() is None, (folder / "log").read_text()
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def answers(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).status == 200
    except (urllib.error.URLError, OSError):
        return False


def arrived_once(uri: str, project: Path, run_id: str, status: str = "FINISHED") -> None:
    """Exactly one run, and of each metric exactly the journal's points in the journal's order."""
    found = [run for run in runs.shipped_runs(uri) if run.data.tags["ratchet.run_id"] == run_id]
    assert len(found) == 1, f"{len(found)} runs bear the tag"
    assert found[0].info.status == status
    wanted, given = ordered(runs.points(project, run_id)), ordered(runs.shipped_points(uri, found[0].info.run_id))
    assert given.keys() == wanted.keys()
    for name, points in wanted.items():
        assert given[name] == points, name


def ordered(points: Points) -> dict[str, list[tuple[int, str]]]:
    """Metric → its steps and values in order; values as text, since NaN is not equal to itself."""
    found = defaultdict(list)
    for name, step, value in points:
        found[name].append((step, repr(value)))
    return found


class PostgreSQL:
    """A cluster of its own in a temporary folder, that any user but root may run."""

    def __init__(self, programs: Path):
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="ratchet-postgresql-"))  # where another user may go too
        self.port = free_port()
        self.uri = f"postgresql+psycopg2://ratchet@127.0.0.1:{self.port}/postgres"
        self.user = {}
        if os.geteuid() == 0:
            self.user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.folder, "postgres", "postgres")
        self.run("initdb", "--pgdata=data", "--auth=trust", "--username=ratchet", "--encoding=UTF8", "--no-sync")

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        log = self.folder / "output"
        with log.open("ab") as output:
            done = subprocess.run(command, cwd=self.folder, stdout=output, stderr=output, **self.user)
        assert done.returncode == 0, f"{command} as {getpass.getuser()}: {log.read_text()}"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c shared_buffers=16MB"
        self.run("pg_ctl", "--pgdata=data", "--log=log", f"--options={options}", "--wait", "start")

    def crash(self) -> None:
        """All of its processes die at once; what was committed has to come back from its log."""
        self.run("pg_ctl", "--pgdata=data", "--mode=immediate", "stop")


def postgresql_missing() -> str | None:
    """Why there can't be one here."""
    if programs() is None:
        return "PostgreSQL's initdb is not installed"
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not installed"
    return None


def programs() -> Path | None:
    """Debian keeps them outside PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), default=None)


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    database = PostgreSQL(programs())
    try:
        database.start()
        yield database
    finally:
        if (database.folder / "data/postmaster.pid").is_file():
            database.crash()
        shutil.rmtree(database.folder)
