"""Outages: real MLflow servers on SQLite and PostgreSQL, and a proxy of faults; nothing is lost or comes twice."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.sync import ship_all
from pipeline.tracking import delivery, mlflow_store, sync
from pipeline.tracking import journal as journals
from pipeline.tracking.journal import Journal
from tests.conftest import lean
from tests.support import runs
from tests.support.proxy import Fault, proxy, some
from tests.support.trackers import arrived_once, free_port, postgresql, postgresql_missing, server

REPOSITORY = str(Path(journals.__file__).parents[2])


@pytest.fixture(scope="module")
def port(tmp_path_factory, empty_database) -> Iterator[int]:
    """Of an MLflow server on SQLite, all of whose faults the proxy makes."""
    port = free_port()
    with server(tmp_path_factory.mktemp("server") / "mlflow", port, empty_database):
        yield port


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sync, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(delivery, "PAUSES", (0.05, 0.05))
    return tmp_path


def journalled(run_id: str, steps: int = 150) -> None:
    """A run of three metrics with all kinds of lines, that has ended."""
    with Journal.begin(run_id, "outages", run_id, 1.0) as journal:
        journal.status("RUNNING")
        journal.params({"optimizer.lr": 0.001})
        journal.tags({"device": "cpu"})
        journal.input("training", "digits", "0" * 64, "file:here", {"rows": 1})
        journal.text("all of it", "notes/config.txt")
        for step in range(steps):
            journal.metrics(step, {"train/loss": 1 / (step + 1), "train/lr": 0.1, "val/loss": step % 7 / 7})
        journal.status("FINISHED", "trained to its end")


def use(monkeypatch: pytest.MonkeyPatch, uri: str, timeout: int = 10) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(timeout))
    return uri


@pytest.mark.parametrize(
    ("faults", "most"),
    [
        (["500", "503", "429"], 40),
        (["garbage", "truncated", "reset"], 40),
        (["lost"], 40),
        (["hang", "late"], 8),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_whatever_the_server_does_every_point_arrives_once_and_in_order(
    port, here, monkeypatch, faults: list[Fault], most
):
    run_id = "-".join(faults)
    journalled(run_id)
    monkeypatch.setattr(sync, "CHUNK", 100)
    with proxy(port, some(faults, seed=1, share=0.4, most=most), late=1.2) as between:
        use(monkeypatch, between.uri, timeout=1)
        sync.follow(run_id, patience=60)
        assert between.faults() > 1
    uri = use(monkeypatch, f"http://127.0.0.1:{port}")
    arrived_once(uri, here, run_id)
    (run,) = [run for run in runs.shipped_runs(uri) if run.data.tags["ratchet.run_id"] == run_id]
    assert run.data.params == {"optimizer.lr": "0.001"}
    assert len(run.inputs.dataset_inputs) == 1
    assert [file.path for file in runs.client(uri).list_artifacts(run.info.run_id, "notes")] == ["notes/config.txt"]


def test_a_create_that_is_done_after_all_leaves_one_run(port, here, monkeypatch, capsys):
    """The reply is lost, and the look-up before the next try is answered before the server has done the first."""
    journalled("late", steps=3)

    creates = []

    def rule(method: str, path: str, before: int) -> Fault:
        creates.extend([path] * path.endswith("runs/create"))
        return "late" if path.endswith("runs/create") and len(creates) == 1 else "none"

    with proxy(port, rule, late=3.0) as between:
        use(monkeypatch, between.uri, timeout=1)
        sync.follow("late", patience=60)
        runs.eventually(lambda: sum(path.endswith("runs/create") for path in between.done) == len(creates) == 2)
        assert ship_all() == 0
    arrived_once(use(monkeypatch, f"http://127.0.0.1:{port}"), here, "late")


def test_the_postgresql_of_a_server_crashes_and_every_point_arrives_once(here, monkeypatch):
    if (reason := postgresql_missing()) is not None:
        pytest.skip(reason)
    port = free_port()
    uri = use(monkeypatch, f"http://127.0.0.1:{port}")
    journalled("crash", steps=1000)
    monkeypatch.setattr(sync, "CHUNK", 500)
    with postgresql() as database, server(here / "server", port, store=database.uri):
        shipper = threading.Thread(target=sync.follow, args=("crash", 120))
        shipper.start()
        runs.eventually(lambda: sync.shipped("crash")["offset"] > 0)
        database.crash()
        time.sleep(1)
        database.start()
        shipper.join(60)
        assert not shipper.is_alive()
        arrived_once(uri, here, "crash")


def test_a_server_that_hangs_does_not_hold_up_a_training(prepared):
    hanging = {"http_requests": 0}

    def rule(method: str, path: str, before: int) -> Fault:
        hanging["http_requests"] += 1
        return "hang"

    with proxy(0, rule) as between:
        settings = ["model.widths=[16]", "trainer.threads=1", "tracking.wait_seconds=1"]
        done = runs.called(prepared, "train", *settings, MLFLOW_TRACKING_URI=between.uri)
        runs.eventually(lambda: hanging["http_requests"] > 0)
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stdout
    assert f"on their way to {between.uri}" in done.stdout


def test_what_a_server_refuses_is_named_and_stops_nothing_behind_it(here, monkeypatch, empty_database, capsys):
    uri = use(monkeypatch, f"sqlite:///{here}/mlflow.db")
    (here / "mlflow.db").write_bytes(empty_database.read_bytes())
    with Journal.begin("a1", "outages", "refused", 1.0) as journal:
        journal.params({"epochs": 1})
        journal.text("soon gone", "gone.txt")
    assert ship_all() == 0
    (journals.folder("a1") / "artifacts/gone.txt").rename("kept")
    with Journal("a1") as journal:
        journal.text("new", "gone.txt")
        journal.said.clear()
        journal.params({"epochs": 2, "later": 3})  # MLflow never takes another value
        journal.metrics(1, {"n" * 400: 1.0, "loss (%)": 2.0, "loss": float("nan"), "../up": float("inf")})
        journal.metrics(1, {"loss": float("nan")})  # the very same point
    file = journals.folder("a1") / "journal.jsonl"
    file.write_bytes(file.read_bytes() + b'{"kind": "metr\xff"sdf\n')
    with Journal("a1") as journal:
        journal.metrics(2, {"loss": 0.5})
        journal.status("FINISHED")
    journalled("b2", steps=1)
    (journals.folder("a1") / "artifacts/gone.txt").unlink()
    capsys.readouterr()

    assert ship_all() == 1
    said = capsys.readouterr().err
    assert "refused: params 'epochs'" in said
    assert "refused: artifact 'gone.txt'" in said
    assert "lines of its journal that are damaged: 1; they are kept in" in said
    assert "2 refused" in said
    first = next(run for run in runs.shipped_runs(uri) if run.data.tags["ratchet.run_id"] == "a1")
    assert first.info.status == "FINISHED"
    assert first.data.params == {"epochs": "1", "later": "3"}
    points = runs.shipped_points(uri, first.info.run_id)
    assert [repr(value) for name, _, value in points if name == "loss"] == ["nan", "0.5"]
    assert sorted({name[:8] for name, _, _ in points}) == ["loss", "loss ___", "nnnnnnnn", "up-8c722"]
    arrived_once(uri, here, "b2")

    (here / "kept").rename(journals.folder("a1") / "artifacts/gone.txt")  # what is mended arrives with the next sync
    assert ship_all() == 1
    assert "1 refused" in capsys.readouterr().err


def test_a_run_deleted_in_mlflow_stops_no_other(here, monkeypatch, empty_database, capsys):
    uri = use(monkeypatch, f"sqlite:///{here}/mlflow.db")
    (here / "mlflow.db").write_bytes(empty_database.read_bytes())
    journalled("a1", steps=1)
    assert ship_all() == 0
    runs.client(uri).delete_run(with_id(uri, "a1"))
    with Journal("a1") as journal:
        journal.metrics(5, {"train/loss": 0.5})
    journalled("b2", steps=1)
    assert ship_all() == 1
    assert "mlflow runs restore --run-id" in capsys.readouterr().err
    arrived_once(uri, here, "b2")


def with_id(uri: str, run_id: str) -> str:
    return next(run.info.run_id for run in runs.shipped_runs(uri) if run.data.tags["ratchet.run_id"] == run_id)


def test_a_run_whose_process_and_shipper_were_killed_is_closed_by_the_next_run(here, monkeypatch, empty_database):
    uri = use(monkeypatch, f"sqlite:///{here}/mlflow.db")
    (here / "mlflow.db").write_bytes(empty_database.read_bytes())
    code = "from pipeline.tracking.journal import Journal; import time; j = Journal.begin('a1', 'outages', 'a1', 1.0);"
    code += "j.status('RUNNING'); j.metrics(1, {'loss': 0.5}); print('on', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=lean(PYTHONPATH=REPOSITORY), stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        sync.ship(mlflow_store.client(), "a1")
        assert runs.shipped_runs(uri)[0].info.status == "RUNNING"
        process.send_signal(signal.SIGKILL)
    journalled("b2", steps=1)
    sync.follow("b2", patience=0)
    arrived_once(uri, here, "a1", status="KILLED")
    arrived_once(uri, here, "b2")


def test_a_full_disk_leaves_a_journal_that_can_be_read_and_gone_on_with(here):
    code = """
import contextlib, resource
from pipeline.tracking.journal import Journal
with Journal.begin("a1", "m", "a1", 1.0) as journal:
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most[1]))
    with contextlib.suppress(OSError):
        for step in range(100):
            journal.metrics(step, {"loss": 1 / (step + 1)})
    resource.setrlimit(resource.RLIMIT_FSIZE, most)
    journal.metrics(1000, {"loss": 0.0})
"""
    environment = lean(PYTHONPATH=REPOSITORY)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    steps = [line["step"] for line, _ in journals.lines("a1") if line["kind"] == "metrics"]
    assert steps == [*range(len(steps) - 1), 1000]
    assert 5 < len(steps) < 50
    assert [line["kind"] for line, _ in journals.lines("a1")] == ["run", *["metrics"] * len(steps)]
