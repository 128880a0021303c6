"""Whether a registered model predicts elsewhere what its bundle predicts here: `make served`.

For each kind of model: trained briefly on real data in a fresh clone and registered; then a clean virtual environment
is made from the version's own requirements.txt, and asked in three ways about the same rows of the test split:
mlflow.pyfunc.load_model, `mlflow models predict` and `mlflow models serve`. It knows no Ratchet but the model's.

python -m benchmarks.served [SCENARIO …]
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.__main__ import REPOSITORY, run

RESULTS = REPOSITORY / "benchmarks" / "results" / "served.json"
SCENARIOS = {"mnist_mlp": "image", "table_dnn": "table", "movielens_dnn": "behaviour", "reviews_bert": "text"}
ROWS = 100
KEPT = ("HOME", "LANG", "TMPDIR", "PIP_CERT", "PIP_FIND_LINKS")  # nothing that leads to this project
PATIENCE = 120  # seconds for a server to start

# In the clone: names the champion, and writes what is asked and what the bundle says to it
ASK = """
import json, sys
import mlflow, numpy as np, polars as pl
from pipeline.config import lock
from pipeline.store.held_out import held_out
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.tracking import mlflow_store

folder, rows = sys.argv[1], int(sys.argv[2])
bundle, records, name = Bundle.load(paths.BUNDLE), held_out().records[:rows], lock.load().registry.model
if isinstance(records, np.ndarray):
    payload = {"inputs": records.tolist()}
elif isinstance(records, list):
    payload = {"dataframe_split": {"columns": ["items"], "data": [[one] for one in records]}}
else:
    columns = bundle.encoder.get("columns", [{"name": bundle.encoder.get("column"), "type": "text"}])
    kinds = {one["name"]: pl.Float64 if one["type"] == "number" else pl.String for one in columns}
    records = records.select(pl.col(name).cast(kind) for name, kind in kinds.items())
    payload = {"dataframe_split": {"columns": records.columns, "data": [list(row) for row in records.rows()]}}
json.dump(payload, open(f"{folder}/asked.json", "w"))
json.dump(bundle.predict(records), open(f"{folder}/expected.json", "w"))
mlflow_store.client().set_registered_model_alias(name, "champion", "1")
uri = f"models:/{name}@champion"
print(json.dumps({"uri": uri, "needs": mlflow.artifacts.load_text(f"models:/{name}/1/requirements.txt")}))
"""

# In the clean environment
LOAD = """
import json, sys
import mlflow.pyfunc, numpy as np, pandas as pd
asked = json.load(open("asked.json"))
model = mlflow.pyfunc.load_model(sys.argv[1])
given = np.array(asked["inputs"], np.uint8) if "inputs" in asked else pd.DataFrame(**asked["dataframe_split"])
found = model.predict(given).to_dict("records")
import pipeline
assert "/code/pipeline/" in pipeline.__file__, pipeline.__file__
print(json.dumps(found, default=lambda value: value.tolist()))
"""


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.served", description=__doc__)
    parser.add_argument("scenario", nargs="*", default=list(SCENARIOS))
    rows = []
    for scenario in parser.parse_args().scenario:
        with tempfile.TemporaryDirectory() as folder:
            for way, difference in measured(scenario, Path(folder)).items():
                rows.append({"kind": SCENARIOS[scenario], "way": way, "rows": ROWS, "difference": difference})
                told = "different answers" if difference is None else f"same, largest difference {difference:.1e}"
                print(f"{SCENARIOS[scenario]:<10} {way:<22} {told}", flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(any(row["difference"] is None for row in rows))


def measured(scenario: str, folder: Path) -> dict[str, float | None]:
    """Way → the largest difference of a number from the bundle's; None where an answer is another."""
    clone, place = folder / "clone", folder / "elsewhere"
    place.mkdir()
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
    (clone / "params.yaml").write_text(yaml.safe_dump({"scenario": scenario, "training": {"max_epochs": 1}}))
    run(clone, "dvc", "repro")
    about = json.loads(run(clone, sys.executable, "-c", ASK, str(place), str(ROWS)).stdout.splitlines()[-1])
    (place / "requirements.txt").write_text(about["needs"])
    environment = clean(clone, folder / "venv")
    run_in(environment, place, "python", "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt")
    expected = json.loads((place / "expected.json").read_text())
    ways: dict[str, Callable[[dict[str, str], Path, str], Any]] = {
        "pyfunc.load_model": loaded,
        "mlflow models predict": predicted,
        "mlflow models serve": answered,
    }
    return {way: difference(expected, ask(environment, place, about["uri"])) for way, ask in ways.items()}


def clean(clone: Path, venv: Path) -> dict[str, str]:
    """The variables of a new virtual environment that knows the clone's registry, and nothing of its code."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    path = os.pathsep.join([str(venv / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
    return {**kept, "PATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{clone}/mlflow.db", "PYTHONNOUSERSITE": "1"}


def run_in(environment: dict[str, str], place: Path, *command: str) -> str:
    program = str(Path(environment["PATH"].split(os.pathsep)[0]) / command[0])
    done = subprocess.run([program, *command[1:]], cwd=place, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def loaded(environment: dict[str, str], place: Path, uri: str) -> Any:
    return json.loads(run_in(environment, place, "python", "-I", "-c", LOAD, uri).splitlines()[-1])


def predicted(environment: dict[str, str], place: Path, uri: str) -> Any:
    files = ["--input-path", "asked.json", "--output-path", "said.json", "--content-type", "json"]
    run_in(environment, place, "mlflow", "models", "predict", "--model-uri", uri, "--env-manager", "local", *files)
    return json.loads((place / "said.json").read_text())["predictions"]


def answered(environment: dict[str, str], place: Path, uri: str) -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(environment["PATH"].split(os.pathsep)[0]) / "mlflow")
    command = [program, "models", "serve", "--model-uri", uri, "--env-manager", "local", "--port", str(port)]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log, process_group=0)
    try:
        wait(f"http://127.0.0.1:{port}/ping", process, place / "log")
        kind = {"Content-Type": "application/json"}
        asked = (place / "asked.json").read_bytes()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", asked, kind)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["predictions"]
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def wait(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    sys.exit(f"{url} does not answer:\n{log.read_text()[-4000:]}")


def difference(expected: Any, given: Any) -> float | None:
    """The largest of two numbers at the same place; None if the two are not alike."""
    if isinstance(expected, (int, float)) and isinstance(given, (int, float)):
        return abs(expected - given)
    if type(expected) is not type(given) or isinstance(expected, str):
        return 0.0 if expected == given else None
    if len(expected) != len(given) or (isinstance(expected, dict) and expected.keys() != given.keys()):
        return None
    places = expected if isinstance(expected, dict) else range(len(expected))
    found = [difference(expected[place], given[place]) for place in places]
    return None if None in found else max(found, default=0.0)


if __name__ == "__main__":
    main()
