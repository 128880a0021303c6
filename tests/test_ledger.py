"""The ledger of champions: one order of decisions for all, an alias that follows it, and whatever is done to either."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from pipeline.project.errors import RegistryError
from pipeline.registry import champion, ledger
from tests.conftest import clone, lean
from tests.support import runs
from tests.support.proxy import Proxy, proxy, well
from tests.support.trackers import free_port, server

VERSIONS = 4
ROUNDS = 20


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[int]:
    port = free_port()
    with server(tmp_path_factory.mktemp("server") / "mlflow", port, empty_database):
        yield port


@pytest.fixture(scope="module")
def between(port: int) -> Iterator[Proxy]:
    with proxy(port, well) as made:
        yield made


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory, project_files: list[str]) -> Path:
    return clone(tmp_path_factory.mktemp("clone") / "project", project_files)


def made(uri: str, project: Path, name: str) -> SimpleNamespace:
    """A registered model with versions and no champion, and the project that it is the model of."""
    lock = project / "params.lock.yaml"
    settings = yaml.safe_load(lock.read_text())
    settings["registry"]["model"] = name
    lock.write_text(yaml.safe_dump(settings))
    client = runs.client(uri)
    client.create_registered_model(name)
    for _ in range(VERSIONS):
        client.create_model_version(name, "ratchet:/test", await_creation_for=0)

    def ratchet(*arguments: str, uri: str = uri) -> subprocess.CompletedProcess[str]:
        return runs.called(project, *arguments, MLFLOW_TRACKING_URI=uri, RATCHET_ACTOR="anna")

    return SimpleNamespace(client=client, name=name, project=project, ratchet=ratchet, uri=uri)


@pytest.fixture
def model(port: int, cloned: Path, request: pytest.FixtureRequest) -> SimpleNamespace:
    return made(f"http://127.0.0.1:{port}", cloned, f"model-{zlib.crc32(request.node.name.encode())}")


def decide(model: SimpleNamespace, *decisions: int, client: Any = None) -> None:
    """Promotions of these versions, as the gate would record them; a negative one is refused."""
    client = client or model.client
    for version in decisions:
        state = champion.state(client, model.name)
        action = "promote" if version > 0 else "refuse"
        evidence = {"summary": f"accuracy 0.9{abs(version)}"}
        champion.record(client, model.name, state, action, abs(version), f"reason {version}", evidence)


def alias(model: SimpleNamespace) -> int | None:
    found = model.client.get_registered_model(model.name).aliases.get("champion")
    return None if found is None else int(found)


def told(model: SimpleNamespace) -> dict[str, Any]:
    """What `ratchet history` says to scripts."""
    return json.loads(model.ratchet("history", "--json").stdout)


def made_champion(model: SimpleNamespace) -> list[int]:
    return [entry["version"] for entry in told(model)["entries"] if entry["counts"] and entry["action"] != "refuse"]


def test_of_two_decisions_at_once_one_counts_and_the_other_is_told(model):
    barrier, ends, losses = threading.Barrier(2), [], []

    def race(version: int) -> None:
        client = runs.client(model.uri)
        for round in range(ROUNDS):
            state = champion.state(client, model.name)
            barrier.wait(60)
            try:
                champion.record(client, model.name, state, "promote", version, f"by {version} in {round}", {})
                ends.append((round, version))
            except champion.Overtaken as error:
                losses.append((round, version, str(error)))
            barrier.wait(60)

    racers = [threading.Thread(target=race, args=(version,)) for version in (1, 2)]
    for one in racers:
        one.start()
    for one in racers:
        one.join()
    assert sorted(round for round, _ in ends) == list(range(ROUNDS))
    assert len(losses) == ROUNDS
    for round, version, said in losses:
        assert re.search(rf"version {3 - version} was promoted by .*: by {3 - version} in {round}\n", said)
    assert made_champion(model) == [version for _, version in sorted(ends)]
    assert alias(model) == sorted(ends)[-1][1]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("model-versions/create", "lost"),
        ("model-versions/create", "500"),
        ("registered-models/alias", "lost"),
        ("model-versions/set-tag", "503"),
    ],
)
def test_a_request_that_fails_once_leaves_one_entry(model, between, path, fault):
    asked = []

    def rule(method: str, asked_for: str, before: int) -> str:
        first = not asked and method == "POST" and asked_for.endswith(path)
        asked.extend([asked_for] * first)
        return fault if first else "none"

    decide(model, 1, 2)
    between.rule = rule
    done = model.ratchet("rollback", uri=between.uri)
    assert (done.returncode, done.stderr, len(asked)) == (0, "", 1)
    assert (alias(model), made_champion(model), len(told(model)["entries"])) == (1, [1, 2, 1], 3)


@pytest.mark.parametrize(
    ("path", "fate", "reached"),
    [
        ("model-versions/create", "reset", False),
        ("model-versions/create", "none", True),
        ("registered-models/alias", "reset", True),
        ("model-versions/set-tag", "reset", True),
    ],
    ids=["before-the-entry", "after-the-entry", "before-the-alias", "before-the-mark"],
)
def test_the_next_command_finishes_what_a_kill_cut_off(model, between, path, fate, reached):
    decide(model, 1, 2)
    command, started = [sys.executable, "-m", "pipeline", "rollback"], []

    def rule(method: str, asked_for: str, before: int) -> str:
        if method != "POST" or not asked_for.endswith(path):
            return "none"
        started[0].kill()
        return fate

    between.rule = rule
    environment = lean(MLFLOW_TRACKING_URI=between.uri)
    started.append(subprocess.Popen(command, cwd=model.project, env=environment))
    assert started[0].wait(60) == -signal.SIGKILL
    runs.eventually(lambda: fate == "reset" or between.done[-1].endswith(path), pause=0.05)
    after = model.ratchet("history")
    assert after.returncode == 0, after.stderr
    assert ("finished a rollback that was cut off" in after.stderr) == reached
    assert (alias(model), made_champion(model)) == ((1, [1, 2, 1]) if reached else (2, [1, 2]))
    assert model.ratchet("history").stderr == ""


@contextmanager
def held_back(model: SimpleNamespace, between: Proxy, path: str, version: int) -> Iterator[list[RegistryError]]:
    """A promotion whose first request to `path` reaches the server after the block; what it was told."""
    reached, passing, told = threading.Event(), threading.Event(), []

    def rule(method: str, asked: str, before: int) -> str:
        if method == "POST" and asked.endswith(path) and not reached.is_set():
            reached.set()
            passing.wait(30)
        return "none"

    def promote() -> None:
        try:
            decide(model, version, client=runs.client(between.uri))
        except RegistryError as error:
            told.append(error)

    between.rule = rule
    late = threading.Thread(target=promote)
    late.start()
    assert reached.wait(30)
    yield told
    passing.set()
    late.join()


def test_an_entry_that_comes_late_is_void(model, between):
    decide(model, 1)
    with held_back(model, between, "model-versions/create", 2) as told_it:
        decide(model, -4, 3)
    assert isinstance(told_it[0], champion.Overtaken)
    assert "version 3 was promoted" in str(told_it[0])
    assert (alias(model), made_champion(model)) == (3, [1, 3])
    assert re.search(r"^4 .* promote +2 +void: another was faster ", model.ratchet("history").stdout, re.M)


def test_a_decision_that_only_a_refusal_came_before_counts(model, between):
    decide(model, 1)
    with held_back(model, between, "model-versions/create", 2) as told_it:
        decide(model, -4)
    assert (alias(model), made_champion(model), told_it) == (2, [1, 2], [])


def test_a_decision_whose_alias_moves_late_does_not_undo_a_later_one(model, between):
    decide(model, 1)
    with held_back(model, between, "registered-models/alias", 2) as told_it:
        decide(model, 3)
    assert (alias(model), made_champion(model), told_it) == (3, [1, 2, 3], [])
    assert all(entry["applied"] for entry in told(model)["entries"])


def test_a_server_that_forbids_it_is_asked_once(model, between):
    decide(model, 1, 2)
    between.rule = lambda method, path, before: "403" if path.endswith("model-versions/create") else "none"
    before = len(between.asked)
    done = model.ratchet("rollback", uri=between.uri)
    assert (done.returncode, "Nothing was moved" in done.stderr, made_champion(model)) == (1, True, [1, 2])
    assert sum(fault == "403" for _, _, fault in between.asked[before:]) == 1
    between.rule = lambda method, path, before: "403" if path.endswith("registered-models/alias") else "none"
    done = model.ratchet("rollback", uri=between.uri)
    assert done.returncode == 1
    assert "is champion by the ledger (entry 3), but the alias could not follow" in done.stderr
    assert "When you may, type: ratchet history" in done.stderr
    assert model.ratchet("history").returncode == 0
    assert alias(model) == 1


def test_a_database_without_a_server_is_as_good(cloned, empty_database, tmp_path):
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    model = made(f"sqlite:///{tmp_path}/mlflow.db", cloned, "direct")
    decide(model, 1, 2)
    assert model.ratchet("rollback").stdout == "champion of direct: version 2 → 1 (entry 3)\n"
    assert (alias(model), made_champion(model)) == (1, [1, 2, 1])


def test_an_alias_that_was_moved_by_hand_is_told_and_left_where_it_is(model):
    decide(model, 1, 2)
    model.client.set_registered_model_alias(model.name, "champion", "3")
    seen = model.ratchet("history")
    assert seen.returncode == 1
    assert f"alias champion of {model.name} names version 3, but the ledger says version 2, promoted" in seen.stderr
    plain = model.ratchet("rollback")
    assert (plain.returncode, alias(model)) == (1, 3)
    for way in ("ratchet rollback --to 2", "ratchet promote --version 3"):
        assert way in seen.stderr
        assert way in plain.stderr
    back = model.ratchet("rollback", "--to", "2")
    assert back.stdout == f"champion of {model.name}: version 2 → 2 (entry 3)\n", back.stderr
    assert (alias(model), model.ratchet("history").returncode) == (2, 0)
    model.client.delete_registered_model_alias(model.name, "champion")
    assert "alias champion" in model.ratchet("history").stderr


def test_rollbacks_go_back_champion_by_champion(model, monkeypatch):
    monkeypatch.setattr(ledger, "PAGE", 2)  # so that the entries fill several pages
    model.client.set_registered_model_alias(model.name, "champion", "1")  # before there was a ledger
    decide(model, 2, -4, 3)
    assert model.ratchet("rollback", "--dry-run").stdout.startswith("would be the champion")
    said = [model.ratchet("rollback", "--reason", "slow").stdout.split(": ")[-1] for _ in range(2)]
    assert said == ["version 3 → 2 (entry 4)\n", "version 2 → 1 (entry 5)\n"]
    assert alias(model) == 1
    none = model.ratchet("rollback")
    assert (none.returncode, "none before it" in none.stderr) == (1, True)
    assert model.ratchet("rollback", "--to", "3").returncode == 0
    assert model.ratchet("rollback").stdout.endswith("version 3 → 1 (entry 7)\n")
    assert "is champion already" in model.ratchet("rollback", "--to", "1").stdout
    never = model.ratchet("rollback", "--to", "4")
    assert never.returncode == 1
    assert "never champion; these were: 1, 2, 3" in never.stderr
    assert "ratchet promote --version 4" in never.stderr
    model.client.delete_model_version(model.name, "3")
    gone = model.ratchet("rollback", "--to", "3")
    assert (gone.returncode, alias(model)) == (1, 1)
    assert "deleted in MLflow.\nType: ratchet rollback --to 2" in gone.stderr


def test_history_says_who_was_champion_at_a_time(model):
    def at(moment: float) -> str:
        return model.ratchet("history", "--at", datetime.fromtimestamp(moment, UTC).isoformat()).stdout

    assert "no decision" in model.ratchet("history").stdout
    decide(model, 1)
    time.sleep(0.1)
    noon = time.time()
    time.sleep(0.1)
    decide(model, -3, 2)
    assert f"{model.name} had no champion at" in at(noon - 3600)
    assert re.search(
        rf"{model.name} version 1 was champion at .* promoted by .* \(entry 1\): reason 1$", at(noon), re.M
    )
    assert f"{model.name} version 2 was champion" in at(noon + 3600)
    shown = model.ratchet("history").stdout
    assert re.search(r"^2 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +refuse +3 +1 .*reason -3 +accuracy 0.93$", shown, re.M)
    assert re.search(r"^3 .* promote +2 +1 → 2 ", shown, re.M)
    with pytest.raises(SystemExit):
        model.ratchet("history", "--at", "noon")


def altered(model: SimpleNamespace, number: str) -> None:
    text = ledger.listed(model.client, f"name='{model.name}.ledger'")[int(number) - 1].tags["entry"]
    model.client.set_model_version_tag(
        f"{model.name}.ledger", number, "entry", text.replace(f"reason {number}", "no reason")
    )


def rewritten(model: SimpleNamespace, number: str) -> None:
    altered(model, number)
    text = model.client.get_model_version(f"{model.name}.ledger", number).tags["entry"]
    model.client.set_model_version_tag(f"{model.name}.ledger", number, "sha256", ledger.digest(text))


def deleted(model: SimpleNamespace, number: str) -> None:
    model.client.delete_model_version(f"{model.name}.ledger", number)


def emptied(model: SimpleNamespace, number: str) -> None:
    model.client.delete_model_version_tag(f"{model.name}.ledger", number, "entry")


def all_deleted(model: SimpleNamespace, number: str) -> None:
    model.client.delete_registered_model(f"{model.name}.ledger")


@pytest.mark.parametrize(
    ("damage", "number", "said"),
    [
        (altered, "2", "entry 2 was altered"),
        (rewritten, "2", "entry 3 follows none that is there: one before it was altered"),
        (rewritten, "3", "entry 3, which made version 3 champion, is not there any more, or was altered"),
        (deleted, "1", "entry 1 is missing"),
        (deleted, "2", "entry 2 is missing"),
        (deleted, "3", "entry 3, which made version 3 champion, is not there any more, or was altered"),
        (emptied, "2", "entry 2 was altered"),
        (all_deleted, "", "which made version"),
    ],
)
def test_a_ledger_that_was_tampered_with_moves_nothing(model, damage: Callable[..., None], number: str, said: str):
    decide(model, 1, 2, 3)
    damage(model, number)
    for command in (["history"], ["rollback", "--to", "1"]):
        done = model.ratchet(*command)
        assert done.returncode == 1
        assert f"the ledger of {model.name} is broken: " in done.stderr
        assert said in done.stderr
        assert "Nothing was moved" in done.stderr
    with pytest.raises(RegistryError, match="is broken"):
        decide(model, 4)
    assert alias(model) == 3


def test_secrets_stay_outside(model, monkeypatch):
    monkeypatch.setenv("STORE_TOKEN", "canary-5150")
    state = champion.state(model.client, model.name)
    evidence = {"uri": "postgresql://anna:canary-5150@host/db", "list": [{"a": "canary-5150"}], "p": float("nan")}
    champion.record(model.client, model.name, state, "promote", 1, "with canary-5150", evidence)
    stored = model.client.get_model_version(f"{model.name}.ledger", "1")
    assert "canary" not in f"{stored.tags}{stored.description}"
    assert '"p":"nan"' in stored.tags["entry"]
