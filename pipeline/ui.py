"""ratchet ui: open MLflow's UI on what was made."""

import argparse
import os
import sys

from pipeline.project import paths
from pipeline.tracking.mlflow_store import local_database, require_tables, settle, shown_uri, tracking_uri


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
    print(f"runs and models of {shown_uri()} → http://{options.host}:{options.port}  (Ctrl+C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri()]
    command += ["--artifacts-destination", str(paths.state().parent / "mlartifacts")]
    os.execv(sys.executable, [*command, "--host", options.host, "--port", str(options.port)])
