"""Tracking: MLflow's outages cost nothing, every point arrives once, statuses are true, secrets stay outside."""

import json
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from pipeline.tracking import journal as journals
from pipeline.tracking.journal import Journal
from tests.conftest import lean
from tests.support import runs
from tests.support.trackers import arrived_once, free_port, kill, server

SMALL = ["model.widths=[16]", "training.max_epochs=2", "trainer.threads=1"]


def test_a_server_that_is_away_costs_nothing_and_gets_everything_later(prepared, tmp_path, empty_database):
    port = free_port()
    uri = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    done = runs.called(prepared, "train", *SMALL, "tracking.wait_seconds=1", **uri)
    assert done.returncode == 0, done.stderr
    (run_id,) = runs.run_ids(prepared)
    assert f"http://127.0.0.1:{port}" in done.stdout

    refused = runs.sync(prepared, **uri)
    assert refused.returncode == 1
    assert "Nothing is lost" in refused.stderr
    assert "ratchet sync" in refused.stderr

    with server(tmp_path / "server", port, empty_database):
        assert runs.sync(prepared, **uri).returncode == 0
        arrived_once(uri["MLFLOW_TRACKING_URI"], prepared, run_id)
        assert "nothing waits" in runs.sync(prepared, **uri).stdout


def test_a_server_killed_while_training_runs_gets_every_point_once(prepared, tmp_path, empty_database):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with server(tmp_path / "server", port, empty_database) as process:
        command = [sys.executable, "-m", "pipeline", "train", *runs.TINY]
        environment = lean(MLFLOW_TRACKING_URI=uri)
        training = subprocess.Popen(command, cwd=prepared, env=environment, stdout=subprocess.PIPE, text=True)
        run_id = runs.eventually(lambda: next(iter(runs.run_ids(prepared)), None))
        training.send_signal(signal.SIGSTOP)  # until the first points have arrived
        runs.eventually(lambda: any((prepared / ".ratchet/journal" / run_id).glob("shipped-*.json")), 120)
        kill(process)
        training.send_signal(signal.SIGCONT)
        output, _ = training.communicate(timeout=120)
        assert training.returncode == 0
        assert f"epoch {runs.EPOCHS}/{runs.EPOCHS}" in output
    with server(tmp_path / "server", port, empty_database):
        assert runs.sync(prepared, MLFLOW_TRACKING_URI=uri).returncode == 0
        arrived_once(uri, prepared, run_id)


def test_a_run_says_what_made_it_and_holds_no_secret(prepared):
    canary = uuid.uuid4().hex
    done = runs.called(prepared, "train", *SMALL, SERVICE_API_KEY=canary)
    assert done.returncode == 0, done.stderr
    assert runs.sync(prepared).returncode == 0
    (run,) = runs.shipped_runs(runs.store(prepared))
    assert run.data.params["optimizer.lr"] == "0.001"
    assert run.data.params["model.widths"] == "[16]"
    spec = json.loads((prepared / "data/processed/spec.json").read_text())
    for tag in ("config.hash", "git.commit", "git.dirty", "version.torch", "device", "threads", "seed"):
        assert run.data.tags[tag]
    assert run.data.tags["data.fingerprint"] == spec["fingerprint"]
    contexts = {one.tags[0].value: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert contexts["training"] == spec["splits"]["train"]["sha256"][:36]
    assert set(contexts) == {"training", "validation", "testing"}
    files = {file.path for file in runs.client(runs.store(prepared)).list_artifacts(run.info.run_id)}
    assert {"config.yaml", "data.json"} <= files
    found = [file for file in prepared.rglob("*") if file.is_file() and canary.encode() in file.read_bytes()]
    assert found == []


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_journal_masks_secrets_and_drops_a_torn_line(here, monkeypatch):
    monkeypatch.setenv("SERVICE_TOKEN", 'quote"d\\secret')
    with Journal.begin("a1", "mnist", "name", 1.0) as journal:
        journal.tags({"note": 'it is quote"d\\secret', "url": "http://me:hunter22@host/"})
        journal.metrics(1, {"loss": 0.5})
    file = journals.folder("a1") / "journal.jsonl"
    file.write_bytes(file.read_bytes() + b'{"kind": "metrics", "st')
    lines = [line for line, _ in journals.lines("a1")]
    assert lines[1]["values"] == {"note": "it is ***", "url": "http://me:***@host/"}
    assert [line["kind"] for line in lines] == ["run", "tags", "metrics"]
    with Journal.begin("a1", "mnist", "name", 1.0) as journal:
        journal.metrics(1, {"loss": 0.5, "more": 1.0})  # loss is there already
        journal.metrics(2, {"loss": 0.25})
    assert [line.get("values") for line, _ in journals.lines("a1")][2:] == [
        {"loss": 0.5},
        {"more": 1.0},
        {"loss": 0.25},
    ]


def test_one_process_at_a_time_writes_a_journal(here):
    with Journal.begin("a1", "mnist", "name", 1.0):
        code = "from pipeline.tracking.journal import Journal; Journal('a1')"
        path = str(Path(journals.__file__).parents[2])
        second = subprocess.run(
            [sys.executable, "-c", code], cwd=here, env=lean(PYTHONPATH=path), capture_output=True, text=True
        )
    assert second.returncode != 0
    assert "another process is writing the journal" in second.stderr


def test_a_database_that_is_killed_while_it_is_made_or_made_twice_is_whole(here):
    code = "from pipeline.tracking import mlflow_store; print(len(mlflow_store.client().search_experiments()))"
    environment = lean(PYTHONPATH=str(Path(journals.__file__).parents[2]))

    def opening() -> subprocess.Popen:
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, cwd=here, env=environment, stdout=subprocess.PIPE, start_new_session=True)

    killed = opening()
    runs.eventually(lambda: any(here.glob(".mlflow.db.*")))
    kill(killed)
    killed.communicate()
    assert not (here / "mlflow.db").exists()
    assert [one.communicate(timeout=60)[0] for one in [opening(), opening()]] == [b"1\n", b"1\n"]
