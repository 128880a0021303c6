"""ratchet ui: open MLflow's UI on what was made."""

import argparse
import os
import sys
from contextlib import suppress

from pipeline.config import lock
from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.tracking.mlflow_store import client, local_database, require_tables, settle, shown_uri, tracking_uri


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("ratchet ui", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=5000, type=int)
    options = parser.parse_args(arguments)
    if tracking_uri().startswith("http"):
        print(f"runs and models are at {shown_uri()}")
        return
    if local_database() is not None:  # the server says by itself what is wrong with another
        require_tables()
        settle()
    place = f"http://{options.host}:{options.port}{page()}"
    print(f"runs and models of {shown_uri()} → {place}  (Ctrl+C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri()]
    command += ["--artifacts-destination", str(paths.state().parent / "mlartifacts")]
    os.execv(sys.executable, [*command, "--host", options.host, "--port", str(options.port)])


def page() -> str:
    """The runs of the project's experiment as model training, where it has any; MLflow's own first page leads to GenAI.

    MLflow 3.17 asks the address and the browser's memory which of the two views to show. The experiment's tag for its
    kind, which is set too, decides where its UI has no such switch.
    """
    with suppress(RatchetError):  # settings that can't be read are no reason to show nothing
        if local_database() is not None:
            found = client().get_experiment_by_name(lock.load().tracking.experiment)
            return f"/#/experiments/{found.experiment_id}/runs?workflowType=machine_learning" if found else ""
    return ""
