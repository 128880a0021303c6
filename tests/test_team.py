"""docs/team.md: MLflow on PostgreSQL with passwords, webhooks of the alias, and the model as a DVC artifact."""

import base64
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import REPOSITORY, lean
from tests.support import registered, runs
from tests.support.trackers import PostgreSQL, free_port, postgresql, postgresql_missing, server

GATE = "gate.minimum={test/accuracy: 0.2}"
WEAK = ["model.widths=[16]", "training.max_epochs=1", "optimizer.lr=0.003", GATE]
STRONG = ["model.widths=[64]", "training.max_epochs=8", "optimizer.lr=0.01", GATE]
PASSWORD = "a password of twelve or more"
SECRET = "known to MLflow and to the receiver"
EVENT = "model_version_alias.created"


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what arrives: headers and body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.arrived: list[tuple[dict[str, str], bytes]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[SimpleNamespace]:
    """MLflow with basic-auth, both on PostgreSQL; users anna, otto and rita; a webhook on aliases."""
    if (reason := postgresql_missing()) is not None:
        pytest.skip(reason)
    folder, port = tmp_path_factory.mktemp("team"), free_port()
    with postgresql() as database:
        create_database(database, "mlflow_auth")
        auth = folder / "auth.ini"
        auth.write_text(
            "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nauth_cache_ttl_seconds = 60\n"
            f"admin_password = at first and once\ndatabase_uri = {database.uri.removesuffix('postgres')}mlflow_auth\n"
        )
        env = {
            "MLFLOW_AUTH_CONFIG_PATH": str(auth),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        }
        with server(folder / "server", port, store=database.uri, app="basic-auth", **env):
            made = SimpleNamespace(uri=f"http://127.0.0.1:{port}")
            with acting(made.uri, "admin", "at first and once"), pytest.MonkeyPatch.context() as patch:
                patch.setattr("getpass.getpass", lambda prompt: PASSWORD)
                documented("create_user")  # otto
            with acting(made.uri, "admin") as (client, users):
                users.create_user("anna", PASSWORD)
                users.create_user("rita", PASSWORD)
                url = f"http://127.0.0.1:{receiver.server_port}/moved"
                client.create_webhook(name="champion", url=url, events=[EVENT], secret=SECRET)
            yield made


def create_database(database: PostgreSQL, name: str) -> None:
    """Another database beside the first: createdb is not installed everywhere."""
    import psycopg2

    connection = psycopg2.connect(database.uri.replace("+psycopg2", ""))
    connection.autocommit = True
    connection.cursor().execute(f"create database {name}")
    connection.close()


@contextmanager
def acting(uri: str, user: str, password: str = PASSWORD) -> Iterator[tuple[Any, Any]]:
    """MLflow's client, and that of its basic-auth app, for one user."""
    import mlflow
    from mlflow.server import get_app_client

    mlflow.set_tracking_uri(uri)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in login(uri, user, password).items():
            patch.setenv(name, value)
        yield runs.client(uri), get_app_client("basic-auth", uri)


def login(uri: str, user: str, password: str = PASSWORD) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
    }


def made(project: Path, *settings: str) -> Path:
    """Trained and scored, shipped nowhere."""
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    registered.good(project, "compose", *settings)
    registered.good(project, "train", "--locked", **nowhere)
    registered.good(project, "evaluate", "--locked", **nowhere)
    return project


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    return made(shutil.copytree(prepared_once, tmp_path_factory.mktemp("weak") / "project"), *WEAK)


def documented(part: str) -> dict[str, Any]:
    """Runs the Python block of docs/team.md that holds `part`; returns what it defines."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/team.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if part in block]
    names = {}
    exec(code, names)
    return names


def aliases(team: SimpleNamespace) -> dict[str, str]:
    with acting(team.uri, "admin") as (client, _):
        return client.get_registered_model("mnist").aliases


@pytest.fixture(scope="module")
def first(team: SimpleNamespace, weak: Path) -> Path:
    """Version 1 is champion, by anna, who so owns the experiment, the model and its ledger."""
    assert "mnist: this bundle is version 1" in registered.good(weak, "register", "--locked", **login(team.uri, "anna"))
    assert "promoted: mnist version 1" in registered.good(weak, "promote", **login(team.uri, "anna"))
    return weak


def test_only_those_with_rights_register_and_promote(team, first, prepared_once, tmp_path):
    def good(user: str, *arguments: str, **env: str) -> str:
        return registered.good(project, *arguments, **login(team.uri, user), **env)

    def refused(user: str, *arguments: str, code: int, text: str = "Permission denied", **env: str) -> None:
        before, decisions = aliases(team), good("anna", "history")
        done = runs.called(project, *arguments, **login(team.uri, user) | env)
        assert done.returncode == code
        assert text in done.stderr
        assert "docs/team.md" in done.stderr
        assert PASSWORD not in done.stderr + done.stdout
        assert (aliases(team), good("anna", "history")) == (before, decisions)

    project = made(shutil.copytree(prepared_once, tmp_path / "project"), *STRONG)
    refused("rita", "register", "--locked", code=1)
    with acting(team.uri, "anna") as (_, users):
        documented("mnist.ledger")
        users.revoke_user_permission("otto", "registered_model", "mnist.ledger")
    assert "version 2" in good("otto", "register", "--locked")
    refused("rita", "promote", code=2)
    refused("otto", "promote", code=2)  # since he may not write to the ledger
    refused("otto", "promote", code=2, text="not authenticated", MLFLOW_TRACKING_PASSWORD="another")
    with acting(team.uri, "anna") as (_, users):
        users.grant_user_permission("otto", "registered_model", "mnist.ledger", "EDIT")
    assert "promoted: mnist version 2" in good("otto", "promote", RATCHET_ACTOR="otto, CI")
    told = json.loads(good("rita", "history", "--json"))
    assert [(entry["actor"], entry["version"]) for entry in told["entries"]] == [("anna", 1), ("otto, CI", 2)]
    assert "otto, CI" in good("rita", "history")
    assert aliases(team) == {"challenger": "2", "champion": "2"}


def test_a_webhook_tells_of_a_champion_once(first, receiver):
    def told() -> list[tuple[dict[str, str], bytes]]:
        wanted = {"name": "mnist", "alias": "champion", "version": "1"}
        return [(headers, body) for headers, body in receiver.arrived if json.loads(body)["data"] == wanted]

    runs.eventually(told)
    ((headers, body),) = told()
    is_genuine = documented("def is_genuine")["is_genuine"]
    assert is_genuine(headers, body, SECRET)
    assert not is_genuine(headers, body.replace(b'"1"', b'"2"'), SECRET)
    assert not is_genuine(headers, body, "another")
    assert not is_genuine(headers | {"X-MLflow-Timestamp": "1"}, body, SECRET)


def test_dvc_gets_the_model_of_a_version_through_the_remote(weak, tmp_path):
    """From a bare clone, which has no cache: the files come from the remote."""
    project, bare, other = shutil.copytree(weak, tmp_path / "project"), tmp_path / "bare.git", tmp_path / "other"
    other.mkdir()
    registered.dvc(project, "commit", "--quiet", "--force", *registered.STAGES)
    registered.dvc(project, "remote", "add", "--quiet", "--default", "team", str(tmp_path / "remote"))
    registered.dvc(project, "push", "--quiet", "models/bundle")
    registered.git(project, "add", "--all")
    registered.git(project, "commit", "--quiet", "--message", "A model")
    subprocess.run(
        ["gto", "register", "model", "--version", "v1.0.0"], cwd=project, env=lean(), check=True, capture_output=True
    )
    registered.git(project, "clone", "--quiet", "--bare", str(project), str(bare))
    registered.dvc(other, "artifacts", "get", "--quiet", str(bare), "model", "--rev", "v1.0.0")
    files = [file.relative_to(project) for file in (project / "models/bundle").iterdir()]
    assert sorted(file.name for file in files) == sorted(file.name for file in (other / "bundle").iterdir())
    for file in files:
        assert (other / "bundle" / file.name).read_bytes() == (project / file).read_bytes()
