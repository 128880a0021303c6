"""`ratchet serve` and `mlflow models serve` with the same champion, one at a time, and what is asked of them."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from PIL import Image

from benchmarks.__main__ import REPOSITORY, run

PICTURES = 64  # of the test split, asked in turns
PATIENCE = 120  # seconds for a server to start
MODEL = "mnist"
SECONDS, WARM = 6.0, 2.0  # of a measurement, and before it
PATHS = {"pixels": "/predict", "PNG": "/predict", "inputs": "/invocations"}
TAKES = {"ratchet": ("pixels", "PNG"), "mlflow": ("inputs",)}
Row = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """One that runs."""

    port: int
    process: subprocess.Popen

    def post(self, path: str, body: str) -> Any:
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body.encode(), kind)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def memory(self) -> float:
        """MB of all its processes, what they share counted once (PSS)."""
        parent = psutil.Process(self.process.pid)
        return sum(one.memory_full_info().pss for one in [parent, *parent.children(recursive=True)]) / 2**20


@contextmanager
def ours(project: Path, workers: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "pipeline", "serve", "--workers", str(workers)]
    with started(project, command, "/health/ready") as server:
        yield server


@contextmanager
def theirs(project: Path, workers: int) -> Iterator[Server]:
    program = str(Path(sys.executable).with_name("mlflow"))
    command = [program, "models", "serve", "--model-uri", f"models:/{MODEL}@champion", "--env-manager", "local"]
    with started(project, [*command, "--workers", str(workers)], "/ping") as server:
        yield server


@contextmanager
def started(project: Path, command: list[str], ready: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # mlflow calls uvicorn by its name
    env = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri(project)}
    env |= {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"}  # this working tree's code, not the project's
    log = project / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=project, env=env, stdout=output, stderr=output, process_group=0
        )
    try:
        wait(f"http://127.0.0.1:{port}{ready}", process, log)
        yield Server(port, process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"{url} does not answer:\n{log.read_text()[-4000:]}")


def uri(project: Path) -> str:
    return f"sqlite:///{project}/mlflow.db"


def make(project: Path) -> None:
    """A clone with two versions of MNIST's MLP, the second the champion."""
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, project], check=True)
    for epochs in (1, 2):
        training, gate = {"max_epochs": epochs}, {"minimum": {"test/accuracy": 0.9}}
        params = {"scenario": "mnist_mlp", "training": training, "gate": gate}
        (project / "params.yaml").write_text(yaml.safe_dump(params))
        run(project, "dvc", "repro")
        run(project, "ratchet", "promote")


def pictures(project: Path) -> np.ndarray:
    """(PICTURES, 28, 28) uint8"""
    content = np.fromfile(project / "data/raw/t10k-images-idx3-ubyte", np.uint8, PICTURES * 784, offset=16)
    return content.reshape(-1, 28, 28)


def bodies(asked: np.ndarray) -> dict[str, list[str]]:
    """The same pictures as each server takes them: ours as numbers or as a PNG, theirs as numbers."""
    return {
        "pixels": [json.dumps({"pixels": one.tolist()}) for one in asked],
        "PNG": [json.dumps({"image": png(one)}) for one in asked],
        "inputs": [json.dumps({"inputs": [[one.tolist()]]}) for one in asked],
    }


def png(picture: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def expected(project: Path, asked: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """Version → what its bundle says to each picture."""
    import mlflow

    from pipeline.models.bundle import Bundle
    from pipeline.registry import versions

    mlflow.set_tracking_uri(uri(project))
    client = mlflow.MlflowClient()
    found = {version: versions.fetched(client, client.get_model_version(MODEL, version)) for version in ("1", "2")}
    return {version: Bundle.load(place).predict(asked) for version, place in found.items()}


SERVERS: dict[str, Callable[..., AbstractContextManager[Server]]] = {"ratchet": ours, "mlflow": theirs}


class Trial:
    """A project, what is asked of its model, and what is right."""

    def __init__(self, project: Path):
        asked = pictures(project)
        self.project, self.bodies = project, bodies(asked)
        self.answers = expected(project, asked)
        self.labels = {version: [one["label"] for one in answers] for version, answers in self.answers.items()}

    def require_same(self, name: str, server: Server) -> None:
        """Its probabilities are the bundle's."""
        for body in TAKES[name]:
            told = server.post(PATHS[body], self.bodies[body][0])
            found = told["predictions"][0]["probabilities"] if name == "mlflow" else [*told["probabilities"].values()]
            wanted = self.answers["2"][0]["probabilities"]
            if max(abs(a - b) for a, b in zip(found, wanted, strict=True)) > 1e-5:
                sys.exit(f"{name} says {found} to {body}; the bundle says {wanted}")

    def load(self, name: str, server: Server, body: str, connections: int, seconds: float) -> subprocess.Popen:
        """The process that asks; its output is a row."""
        labels = {"": self.labels["2"]} if name == "mlflow" else self.labels
        asked = {"port": server.port, "path": PATHS[body], "bodies": self.bodies[body], "labels": labels}
        asked |= {"connections": connections, "seconds": seconds, "warm": WARM}
        command = [sys.executable, "-m", "benchmarks.load"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        return process

    def measured(self, name: str, workers: int, connections: int) -> Iterator[Row]:
        """A row for each kind of body."""
        with SERVERS[name](self.project, workers) as server:
            self.require_same(name, server)
            for body in TAKES[name]:
                row = ended(self.load(name, server, body, connections, SECONDS))
                about = {"server": name, "workers": workers, "body": body, "connections": connections}
                yield {**about, "memory": server.memory(), **row}


def ended(process: subprocess.Popen) -> Row:
    with process:
        output = process.stdout.read()
    if process.returncode:
        sys.exit("the load generator failed; see above")
    return json.loads(output)
