"""ratchet register: one version for each bundle, whoever registers it, and whatever happens to the replies."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import lean
from tests.support import runs
from tests.support.proxy import Proxy, proxy, well
from tests.support.trackers import free_port, server


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    """A project after a training and its evaluation, shipped nowhere."""
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("scored") / "project")
    for verb in (["train", "model.widths=[16]", "tracking.wait_seconds=0"], ["evaluate"]):
        assert runs.called(project, *verb, MLFLOW_TRACKING_URI="http://127.0.0.1:9").returncode == 0
    return project


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[int]:
    port = free_port()
    with server(tmp_path_factory.mktemp("server") / "mlflow", port, empty_database):
        yield port


@pytest.fixture(scope="module")
def between(port: int) -> Iterator[Proxy]:
    """One for all: MLflow's client keeps, for a run's files, the first URI that a process had."""
    with proxy(port, well) as made:
        yield made


def only_version(port: int, name: str) -> str:
    """Of the model; it is the challenger, and of the models that were logged for it none other is left whole."""
    asked = runs.client(f"http://127.0.0.1:{port}")
    (version,) = asked.search_model_versions(f"name='{name}'")
    assert asked.get_model_version_by_alias(name, "challenger").version == version.version
    experiments = [one.experiment_id for one in asked.search_experiments()]
    logged = [one for one in asked.search_logged_models(experiments) if one.name == name and one.status == "READY"]
    assert [one.model_uri for one in logged] == [version.source]
    assert "test/accuracy" in {metric.key for metric in logged[0].metrics}
    return version.version


LOST = {
    "POST": ["model-versions/create", "registered-models/create", "logged-models", "registered-models/alias"],
    "GET": ["metrics/get-history", "config.yaml"],
    "PUT": ["weights.safetensors"],
}


@pytest.mark.parametrize(("method", "end"), [(method, end) for method, ends in LOST.items() for end in ends])
def test_a_reply_that_is_lost_leaves_one_version(scored, port, between, method, end):
    replies = []

    def rule(asked: str, path: str, before: int) -> str:
        first = not replies and asked == method and path.partition("?")[0].endswith(end)
        replies.extend([path] * first)
        return "lost" if first else "none"

    name = end.replace("/", "-").replace(".", "-")
    between.rule = rule
    done = runs.called(scored, "register", f"registry.model={name}", MLFLOW_TRACKING_URI=between.uri)
    assert done.returncode == 0, done.stderr
    assert replies
    only_version(port, name)


def test_two_clones_that_register_one_bundle_at_once_make_one_version(scored, port, tmp_path):
    """Each has locks of its own, as on two hosts."""
    command = [sys.executable, "-m", "pipeline", "register", "registry.model=twice"]
    more = {"env": lean(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}"), "stdout": subprocess.PIPE, "text": True}
    clones = [shutil.copytree(scored, tmp_path / name) for name in ("one", "other")]
    both = [subprocess.Popen(command, cwd=clone, **more) for clone in clones]
    said = [one.communicate(timeout=120)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    version = only_version(port, "twice")
    assert all(f"version {version} → alias challenger" in output for output in said)
