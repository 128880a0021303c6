"""`ratchet serve` with two workers while its store, its token, its pictures and its processes have their faults."""

import base64
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import clone
from tests.support import runs, untrained
from tests.support.services import Service, serving
from tests.test_model_api import png

FIRST, SECOND = "first-0123456789", "second-0123456789"
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
PIXELS = {"pixels": [[0] * 28] * 28}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, project_files: list[str]) -> Path:
    project = clone(tmp_path_factory.mktemp("faults") / "project", project_files)
    untrained.point(project, untrained.lay(project, "image"))
    (project / "token").write_text(FIRST, encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def service(project: Path) -> Iterator[Service]:
    with serving(project, "serving.watch_seconds=600", "--workers", "2", "--token-file", "token", **AWAY) as service:
        yield service


def token(project: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {(project / 'token').read_text(encoding='utf-8')}"}


def test_a_picture_with_a_long_side_is_refused_before_it_is_read(service: Service, project: Path) -> None:
    strip = {"image": base64.b64encode(png(1, 24_000_000, bytes(2 * 24_000_000))).decode()}
    began = time.monotonic()
    for path, body, field in (
        ("/predict", strip, "image"),
        ("/predict/batch", {"records": [PIXELS, strip]}, "records.1.image"),
    ):
        status, told = service.post(path, body, **token(project))
        assert (status, told["detail"][0]["field"]) == (413, field)
        assert "serving.side" in told["detail"][0]["message"]
    assert time.monotonic() - began < 3


def test_a_store_that_was_deleted_or_held_is_said_and_comes_back(service: Service, project: Path) -> None:
    file, bearer = project / ".ratchet/feedback.db", token(project)
    name = service.post("/predict", PIXELS, **bearer)[1]["prediction_id"]
    label = {"prediction_id": name, "label": "7"}

    def unready() -> bool:  # both workers say so: each of a few questions
        return all(service.get("/health/ready", **bearer)[0] == 503 for _ in range(8))

    def ready() -> bool:
        return all(service.get("/health/ready", **bearer)[0] == 200 for _ in range(8))

    file.rename(file.with_name("away.db"))
    began = time.monotonic()
    for path, body in (("/predict", PIXELS), ("/predict/batch", {"records": [PIXELS]}), ("/feedback", label)):
        status, told = service.post(path, body, **bearer)
        assert status == 503
        assert "its file was deleted" in told["detail"][0]["message"]
        assert not [part for part in ("sqlite", ".db", "/") if part in told["detail"][0]["message"]]
    runs.eventually(unready, 10, 0.2)
    assert time.monotonic() - began < 10
    assert "its file was deleted" in service.get("/health", **bearer)[1]["problem"]
    assert not file.exists()
    file.with_name("away.db").rename(file)
    runs.eventually(ready, 15, 0.2)
    assert service.post("/feedback", label, **bearer)[1]["status"] == "stored"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    runs.eventually(unready, 12, 0.2)
    assert "another process holds it" in service.post("/feedback", label, **bearer)[1]["detail"][0]["message"]
    holder.execute("ROLLBACK")
    holder.close()
    runs.eventually(ready, 15, 0.2)
    assert service.post("/feedback", label, **bearer)[1]["status"] == "known"


def test_refusals_are_counted_by_code_and_logged_with_time_client_and_id(service: Service, project: Path) -> None:
    bearer = token(project)
    asked = {
        401: service.get("/health"),
        403: service.get("/health", Host="evil.example"),
        404: service.get("/nothing", **bearer),
        415: service.asked("/predict", b"{}", {"Content-Type": "text/plain", **bearer}),
        422: service.post("/predict", {}, **bearer),
        413: service.post("/predict", "a" * (11 << 20), **bearer),
    }
    assert {code: status for code, (status, _) in asked.items()} == {code: code for code in asked}
    told = service.get("/metrics", **bearer)[1]
    assert [code for code in asked if f'status="{code}"' not in told] == []
    lines = [line for line in service.log.read_text().splitlines() if "GET '/nothing': 404" in line]
    assert runs_of(lines[-1]), lines


def runs_of(line: str) -> bool:
    """2026-01-31 12:00:00,123 WARNING 127.0.0.1:5000 0a1b2c3d-7 GET '/nothing': 404 after 0.001 s"""
    day, clock, level, client, name, *_ = line.split()
    return (len(day), clock.count(":"), level, client[:10]) == (10, 2, "WARNING", "127.0.0.1:") and "-" in name


def test_a_new_token_is_used_by_all_workers_at_once(service: Service, project: Path) -> None:
    def statuses(given: str) -> set[int]:
        return {service.get("/health", Authorization=f"Bearer {given}")[0] for _ in range(16)}

    assert (statuses(FIRST), statuses(SECOND)) == ({200}, {401})
    (project / "token").write_text("", encoding="utf-8")
    assert statuses(FIRST) == {200}, "a file that is half written changes nothing"
    (project / "token").write_text(f"{SECOND}\n", encoding="utf-8")
    assert (statuses(FIRST), statuses(SECOND)) == ({401}, {200})
    for process in (psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children()):
        if "resource_tracker" not in " ".join(process.cmdline()):
            process.send_signal(signal.SIGHUP)
    runs.eventually(lambda: "are always read anew" in service.log.read_text(), 20, 0.2)
    assert (statuses(FIRST), statuses(SECOND)) == ({401}, {200})


def test_workers_end_with_the_one_above_them(service: Service) -> None:
    below = psutil.Process(service.process.pid).children(recursive=True)
    assert len(below) >= 3
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait()
    assert psutil.wait_procs(below, timeout=15)[1] == []
    with pytest.raises(OSError, match="refused"):
        service.get("/health/live")


def test_one_worker_on_ipv6_and_any_port_takes_sighup_and_pictures_beside_labels(project: Path) -> None:
    (project / ".ratchet/feedback.db").unlink(missing_ok=True)
    started = serving(project, "serving.watch_seconds=600", "--host", "::1", port=0, **AWAY)
    with started as service:
        assert service.uri.startswith("http://[::1]:")
        name = service.predicted(PIXELS)["prediction_id"]
        service.process.send_signal(signal.SIGHUP)
        large = {"image": base64.b64encode(png(5000, 5000, bytes(5001 * 5000))).decode()}
        statuses, waits = [], []
        threads = [
            threading.Thread(target=lambda: statuses.append(service.post("/predict", large)[0])) for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            assert service.post("/feedback", {"prediction_id": name, "label": "7"})[0] == 200
            waits.append(time.monotonic() - began)
        assert set(statuses) <= {200, 503}
        assert 200 in statuses
        assert max(waits) < 3, max(waits)
        assert "are always read anew" in service.log.read_text()
        told = json.loads((project / ".ratchet/served/mnist/champion.json").read_text(encoding="utf-8"))
        assert service.health()["digest"] == told["digest"]


@pytest.mark.parametrize("port", ["70000", "-1", "http", "65536"])
def test_a_port_that_can_not_be_is_refused(called, capsys, port: str) -> None:
    with pytest.raises(SystemExit):
        called("serve", "--port", port)
    assert "0 for any that is free" in capsys.readouterr().err
