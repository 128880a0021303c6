"""What was deleted in MLflow, past Ratchet: seen, said, recorded in the ledger, and gone on from."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.registry import ledger
from tests.test_ledger import alias, cloned, decide, made, made_champion, told  # noqa: F401  cloned is a fixture


@pytest.fixture
def model(cloned: Path, empty_database: Path, tmp_path: Path) -> SimpleNamespace:  # noqa: F811
    """Four versions in a database of the test's own, without a server."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return made(f"sqlite:///{tmp_path}/mlflow.db", cloned, "orders")


def last(model: SimpleNamespace) -> dict[str, Any]:
    return told(model)["entries"][-1]


@pytest.mark.parametrize("verb", ["history", "rollback"])
def test_a_deleted_champion_is_recorded_and_the_one_before_takes_its_place(model, verb):
    decide(model, 1, 2, 3)
    model.client.delete_model_version(model.name, "3")
    done = model.ratchet(verb)
    assert done.returncode == 0, done.stderr
    said = (
        "version 3, the champion of orders, is not in MLflow any more; version 2, the champion before, takes its place"
    )
    assert f"warning: {said} (entry 4)" in done.stderr
    entry = last(model)
    assert (entry["action"], entry["version"], entry["champion"], entry["evidence"]["back_to"]) == ("lost", 3, 3, 2)
    assert entry["applied"]
    assert alias(model) == told(model)["champion"] == 2
    assert model.ratchet("history").stderr == ""  # said once, and all is as the ledger says
    assert len(told(model)["entries"]) == 4


def test_rollbacks_go_past_versions_that_were_deleted(model):
    decide(model, 1, 2, 3)
    model.client.delete_model_version(model.name, "2")
    assert model.ratchet("rollback").stdout == "champion of orders: version 3 → 1 (entry 4)\n"
    model.client.delete_model_version(model.name, "1")
    done = model.ratchet("rollback")
    assert (done.returncode, alias(model), last(model)["evidence"]["back_to"]) == (1, None, None)
    assert "orders has no champion, by the ledger" in done.stderr
    assert "Type: dvc repro && ratchet promote" in done.stderr


def test_a_dry_run_tells_of_a_loss_and_records_nothing(model):
    decide(model, 1, 2)
    model.client.delete_model_version(model.name, "2")
    done = model.ratchet("rollback", "--dry-run")
    assert "takes its place (the next command records it)" in done.stderr
    entries = ledger.read(model.client, model.name).entries
    assert (done.returncode, alias(model), len(entries)) == (0, None, 2)


def test_a_number_that_came_back_names_no_old_champion(model):
    """Numbers begin anew when a registered model is deleted and made again."""
    decide(model, 1, 2)
    model.client.delete_registered_model(model.name)
    assert model.ratchet("history").returncode == 0
    assert (last(model)["action"], told(model)["champion"]) == ("lost", None)
    model.client.create_registered_model(model.name)
    for _ in range(2):
        model.client.create_model_version(model.name, "ratchet:/test", await_creation_for=0)
    assert "was champion, and is deleted in MLflow" in model.ratchet("rollback", "--to", "2").stderr
    decide(model, 1)
    assert (alias(model), told(model)["champion"], made_champion(model)[-1]) == (1, 1, 1)
    assert model.ratchet("history").returncode == 0


def test_an_alias_that_was_deleted_is_recorded_once_and_left_to_people(model):
    decide(model, 1, 2)
    model.client.delete_registered_model_alias(model.name, "champion")
    done = model.ratchet("history")
    assert (done.returncode, alias(model)) == (1, None)
    assert "To put it back, type: ratchet rollback --to 2" in done.stderr
    assert (last(model)["action"], last(model)["reason"]) == ("note", "alias champion was deleted")
    assert model.ratchet("history").returncode == 1
    assert len(told(model)["entries"]) == 3
    assert model.ratchet("rollback", "--to", "2").returncode == 0
    assert (alias(model), told(model)["champion"]) == (2, 2)


def test_an_alias_set_by_hand_stays_where_it_is_when_the_champion_goes(model):
    decide(model, 1, 2)
    model.client.set_registered_model_alias(model.name, "champion", "4")
    model.client.delete_model_version(model.name, "2")
    done = model.ratchet("history")
    assert (done.returncode, alias(model), told(model)["champion"]) == (1, 4, 1)
    assert "names version 4, but the ledger says version 1, since version 2 was written off" in done.stderr


def delete_run(client: Any, run: Any) -> str:
    client.delete_run(run.info.run_id)
    return f"its run {run.info.run_id} is deleted in MLflow"


def delete_experiment(client: Any, run: Any) -> str:
    client.delete_experiment(run.info.experiment_id)
    return f"experiment sales, of its run {run.info.run_id}, is deleted in MLflow"


@pytest.mark.parametrize("delete", [delete_run, delete_experiment])
def test_a_champion_whose_run_was_deleted_stays_and_it_is_recorded(model, delete: Callable[..., str]):
    run = model.client.create_run(model.client.create_experiment("sales"))
    model.client.create_model_version(model.name, "ratchet:/test", run.info.run_id, await_creation_for=0)
    decide(model, 1, 5)
    said = delete(model.client, run)
    done = model.ratchet("history")
    assert done.returncode == 0
    assert " note      5        5 " in done.stdout  # with what it has just recorded
    assert f"warning: version 5, the champion of orders: {said} (entry 3)" in done.stderr
    assert (last(model)["action"], last(model)["reason"], alias(model)) == ("note", said, 5)
    assert model.ratchet("rollback").stdout == "champion of orders: version 5 → 1 (entry 4)\n"
