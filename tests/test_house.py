"""Where things stand: a kind of record and a task have one home each, and every choice of conf/ is made somewhere."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config.data import AnyData
from pipeline.config.model import AnyModel
from pipeline.config.section import choices
from pipeline.kinds import kind as kinds
from pipeline.project.errors import ConfigError, DataError
from pipeline.tasks import task as tasks
from pipeline.training import objective, optimization
from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "pipeline"
# of one kind, or of all of them at once: settings, the datasets that make it, what runs without Ratchet
HOMES = (
    "kinds",
    "config",
    "datasets/pictures.py",
    "datasets/movielens.py",
    "serving/openapi.py",
    "serving/app.py",
)
TASK_HOMES = (
    "tasks", "config", "init.py", "datasets/pictures.py", "datasets/movielens.py", "datasets/reviews.py",
    "own_data",
)  # fmt: skip


def naming(words: str, homes: tuple[str, ...]) -> list[str]:
    files = (file.relative_to(PACKAGE).as_posix() for file in sorted(PACKAGE.rglob("*.py")))
    away = [file for file in files if not file.startswith(homes)]
    return [file for file in away if re.search(words, (PACKAGE / file).read_text(encoding="utf-8"))]


def test_no_file_but_its_own_names_a_kind_or_a_task() -> None:
    assert naming('"(image|behaviour)"', HOMES) == []
    assert naming('"(classification|regression|ranking)"', TASK_HOMES) == []


def test_settings_name_kinds_and_tasks_that_there_are() -> None:
    assert {data.records for data in choices(AnyData, "kind").values()} == set(kinds.names())
    assert {net.takes for net in choices(AnyModel, "name").values()} == set(kinds.names())
    assert {data.task for data in choices(AnyData, "kind").values()} <= {None, *tasks.names()}


def options(group: str) -> set[str]:
    return {file.stem for file in Path(REPOSITORY / "conf" / group).glob("*.yaml")}


def test_every_choice_of_a_group_is_made_by_its_name() -> None:
    assert set(optimization.SCHEDULES) == options("schedule")
    assert set(optimization.OPTIMIZERS) == options("optimizer")
    assert set(objective.LOSSES) == options("loss")
    assert {loss for name in tasks.names() for loss in tasks.by_name(name).losses} == options("loss")


@pytest.mark.parametrize("group", ["schedule", "optimizer"])
def test_a_name_that_nothing_is_made_for_is_never_taken_for_another(group: str) -> None:
    made = {"schedule": optimization.learning_rate, "optimizer": optimization.build_optimizer}[group]
    config = SimpleNamespace(
        schedule=SimpleNamespace(name="focal"),
        optimizer=SimpleNamespace(name="focal", lr=1.0, model_dump=lambda **_: {}),
    )
    with pytest.raises(ConfigError, match=f"{group} 'focal' is in conf/, and nothing makes it"):
        made(*((config, 10) if group == "schedule" else (SimpleNamespace(parameters=list), config)))


def test_an_unknown_loss_kind_or_task_is_refused_by_its_name() -> None:
    config = SimpleNamespace(loss=SimpleNamespace(name="focal"))
    encoder = {"task": "classification", "labels": ["a", "b"]}
    with pytest.raises(ConfigError, match="loss 'focal' is in conf/, and nothing makes it"):
        objective.Objective(config, encoder, [])
    with pytest.raises(DataError, match="the task is 'segmentation'; this version of Ratchet knows: classification"):
        tasks.by_name("segmentation")
    with pytest.raises(DataError, match="of the kind 'sound'"):
        kinds.by_name("sound")


def test_the_page_on_architecture_names_files_and_folders_that_there_are() -> None:
    page = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    named = {
        name for name in re.findall(r"`([\w/]+(?:/|\.py|\.yaml))`", page) if "NAME" not in name and "VERB" not in name
    }
    assert len(named) > 40
    assert [name for name in sorted(named) if not any((top / name).exists() for top in (REPOSITORY, PACKAGE))] == []
    folders = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    assert {row.split("`")[1].rstrip("/") for row in page.splitlines() if re.match(r"\| `\w+/` \|", row)} == folders
