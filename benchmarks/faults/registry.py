"""Row 32: one bundle that many register at once, and with replies that are lost.

Even seeds stand on SQLite, odd ones on PostgreSQL; each process has a clone of its own, as on as many hosts.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.faults.outages import database, ratchet
from benchmarks.faults.projects import prepared
from benchmarks.faults.row import Row
from tests.conftest import lean
from tests.support import runs
from tests.support.proxy import proxy, some
from tests.support.trackers import free_port, server

PROCESSES = 20
PATIENT = "120"  # seconds for an answer: as many processes as these wait for two cores, and for one server


def registered_at_once(folder: Path, seed: int) -> None:
    port, project = free_port(), prepared(folder)
    with database(seed) as store, server(folder / "server", port, store=store):
        environment = lean(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}", MLFLOW_HTTP_REQUEST_TIMEOUT=PATIENT)
        for verb in ("train", "evaluate"):
            ratchet(project, environment, verb)
        clones = [project, *(runs.copied(project, f"clone-{number}") for number in range(1, PROCESSES))]
        command = [sys.executable, "-m", "pipeline", "register"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with proxy(port, some(["lost"], seed, 0.02, 10**9)) as between:
            environment["MLFLOW_TRACKING_URI"] = between.uri
            all_of_them = [subprocess.Popen(command, cwd=clone, env=environment, **pipes) for clone in clones]
            said = [one.communicate(timeout=600)[0] for one in all_of_them]
        ratchet(project, lean(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}"), "register")
        asked = runs.client(f"http://127.0.0.1:{port}")
        (version,) = asked.search_model_versions("name='mnist'")
        assert str(asked.get_registered_model("mnist").aliases["challenger"]) == str(version.version)
        told = f"version {version.version} → alias challenger"
        assert any(told in output for output in said), "".join(said)


ROWS = [Row(32, f"the same bundle registered {PROCESSES} times at once", "one version", 2, registered_at_once)]
