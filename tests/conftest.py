"""A fresh copy of the project for each test, with tiny real data, and the commands run as a user runs them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: as many tests as cores run side by side

import pytest
import yaml
from filelock import FileLock

from pipeline.__main__ import main
from pipeline.tracking import sync
from tests.support import digits

REPOSITORY = Path(__file__).parent.parent
KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")  # the rest, tokens too, stays outside

# Files that take longest begin first, so that both cores are busy to the end
LONG = [
    "pipeline",
    "circle",
    "reproduce",
    "sweep",
    "ranks",
    "training",
    "ends",
    "tracking",
    "outages",
    "sweep_launchers",
    "doctor",
    "adopt",
    "tampering",
    "gate",
    "ledger",
    "output",
]

Ratchet = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure(config: pytest.Config) -> None:
    """In a shell's background all that is started is deaf to Ctrl+C, and the tests of it would fail."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def project_files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, env=lean(), capture_output=True, text=True, check=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name)


@pytest.fixture
def project(tmp_path: Path, project_files: list[str]) -> Path:
    return clone(tmp_path / "project", project_files)


def clone(folder: Path, files: list[str]) -> Path:
    """A clone with one commit; beside it mirror/ with the four raw files, which its params.yaml names."""
    for name in files:
        if (REPOSITORY / name).is_file():  # one that is deleted but not committed is still listed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    use(folder, digits.idx_files())
    settings = {"user.name": "Test", "user.email": "test@localhost", "commit.gpgsign": "false"}
    commands = [["init", "--quiet"], *(["config", key, value] for key, value in settings.items())]
    for command in (*commands, ["add", "--all"], ["commit", "--quiet", "--message", "Start"]):
        subprocess.run(["git", *command], cwd=folder, env=lean(), check=True)
    return folder


def use(project: Path, files: dict[str, bytes], **source: object) -> None:
    """Lays `files` into the mirror/ folder and writes the params.yaml that names them, or other mirrors."""
    mirror = project.parent / "mirror"
    mirror.mkdir(exist_ok=True)
    for name, content in files.items():
        (mirror / name).write_bytes(content)
    mirrors = [{"url": f"file:{mirror}/{{file}}", "unpack": "none"}]
    params = {
        "scenario": "mnist_mlp",
        "seed": 0,
        "data": {
            "source": {"files": digits.sums(files), "mirrors": mirrors} | source,
            "prepare": {"validation": 200},
        },
        "training": {"max_epochs": 2},
        "gate": {"minimum": {"test/accuracy": 0.5}, "calibration_error": None},
        "tracking": {"wait_seconds": 0},  # tests that look into MLflow say when: runs.synced
    }
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def lay(project: Path, files: dict[str, bytes]) -> None:
    """The raw files as if downloaded, and the params.yaml that names their sums."""
    use(project, files)
    (project / "data/raw").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (project / "data/raw" / name).write_bytes(content)


def lean(**more: str) -> dict[str, str]:
    """An environment of a few variables, with this Python's commands first in PATH."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {"DVC_NO_ANALYTICS": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    quiet["OMP_NUM_THREADS"] = "1"
    return {**kept, "PATH": path, **quiet, **more}


@pytest.fixture
def ratchet(project: Path) -> Ratchet:
    """ratchet(verb, *arguments, cwd=…, env=…): a real process in the project; env adds to a lean environment."""

    def run(*arguments: str, cwd: Path = project, env: dict[str, str] | None = None, timeout: float = 300):
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(
            command, cwd=cwd, env=lean(**(env or {})), capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


@pytest.fixture(autouse=True)
def no_shippers_left() -> Iterator[None]:
    """What ships journals in the background of a verb that ran in this process ends with the test."""
    yield
    for process in sync.started:
        process.kill()
        process.wait()
    sync.started.clear()


@pytest.fixture
def called(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ratchet:
    """As `ratchet`, but in this process: twice as fast, for tests of many refusals."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(project)
        code = main(list(arguments))
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: each project that makes its own waits three seconds for them."""

    def make(folder: Path) -> None:
        folder.mkdir()
        code = f"import mlflow; mlflow.MlflowClient('sqlite:///{folder}/mlflow.db').search_experiments()"
        subprocess.run([sys.executable, "-c", code], env=lean(), check=True, capture_output=True)

    return made_once(tmp_path_factory, "store", make) / "mlflow.db"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first test process to need it makes, and all of them share: it is copied, not changed."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / f"{name}.lock"):
        (shared / name).mkdir(exist_ok=True)
        if not (shared / name / "made").is_file():
            make(shared / name / "project")
            (shared / name / "made").touch()
    return shared / name / "project"


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory: pytest.TempPathFactory, project_files: list[str], empty_database: Path) -> Path:
    """A project with data/raw and data/processed, and an empty MLflow database."""

    def make(folder: Path) -> None:
        clone(folder, project_files)
        shutil.copyfile(empty_database, folder / "mlflow.db")
        for verb in (["download"], ["feedback", "--bring"], ["preprocess"]):
            command = [sys.executable, "-m", "pipeline", *verb]
            subprocess.run(command, cwd=folder, env=lean(), check=True, capture_output=True)

    return made_once(tmp_path_factory, "prepared", make)


@pytest.fixture
def prepared(project: Path, prepared_once: Path) -> Path:
    """The project with data/raw and data/processed made, and an empty MLflow database."""
    shutil.copyfile(prepared_once / "mlflow.db", project / "mlflow.db")
    shutil.copytree(prepared_once / "data", project / "data", dirs_exist_ok=True)
    return project


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    """A project after the sweep `sweeps.FIRST`, all of it in MLflow."""
    from tests.support import runs, sweeps  # which import this file

    def make(folder: Path) -> None:
        shutil.copytree(prepared_once, folder)
        done = sweeps.sweep(folder, *sweeps.FIRST, "tracking.wait_seconds=30")
        assert done.returncode == 0, done.stdout + done.stderr
        assert runs.sync(folder).returncode == 0  # what cores that others fill left to do

    return made_once(tmp_path_factory, "swept", make)


@pytest.fixture
def run(project: Path, called: Ratchet, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """run(verb, …) → its output; in this process, with an empty MLflow database and no variables of this machine."""
    shutil.copyfile(empty_database, project / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")

    def good(*arguments: str) -> str:
        done = called(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{done.stdout}"
        return done.stdout

    return good
