"""Names of data, models and experiments: whatever a file is called, MLflow takes what init makes of it."""

import shutil

import mlflow
import pytest

from pipeline import ui
from pipeline.config.naming import LONGEST, is_name, mend_name
from pipeline.registry.mlflow_model import logged_name
from pipeline.tracking.mlflow_store import KIND, KIND_TAG, experiment_id
from tests.conftest import REPOSITORY

TEXTS = [
    *(
        "sales.2024",
        "数据",
        "客户",
        "हिन्दी डेटा",
        "cafe\u0301",
        "-x",
        "...",
        "",
        "😀",
        "😀 sales",
        "🎉 sales",
        "my data (1)",
    ),
    *(
        "a/b:c",
        "../../etc",
        "100%",
        "it's",
        'a"b',
        "a@b#c?",
        "__init__",
        "a\0b\n",
        "x" * 300,
        "x" * 299 + "y",
        "數" * 90,
    ),
    *("\u0301a", "1e5", "null", "2024-01-31", "\ud800x"),
]


def test_any_file_gives_a_name_of_its_own() -> None:
    names = [mend_name(text) for text in TEXTS]
    assert all(map(is_name, names))
    apart = {mend_name(text) for text in TEXTS if not text.isascii() or len(text) > LONGEST}
    assert len(apart) == 12  # signs of ASCII are dashes, all alike
    assert names[:3] == TEXTS[:3]
    assert mend_name("my data (1)") == "my-data-1"
    assert mend_name("café") == mend_name("cafe\u0301")
    assert [is_name(text) for text in ("a" * LONGEST, "數" * LONGEST, "a b", "-a", "")] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.fixture
def client(tmp_path, empty_database, monkeypatch) -> mlflow.MlflowClient:
    """Of a project that has nothing but a database."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("name", ["sales.2024", "数据", "हिन्दी-डेटा", "a..b.", "1e5", "x" * LONGEST])
def test_mlflow_takes_what_is_a_name(client, name) -> None:
    """As a model with an alias and a filter, as a logged model, and as an experiment, whose folder bears it."""
    experiment = experiment_id(client, name)
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "text", "file.txt")
    client.create_logged_model(experiment, logged_name(name))
    client.create_registered_model(name)
    made = client.create_model_version(name, "file:///nowhere", run, tags={"digest": "1"})
    client.set_registered_model_alias(name, "champion", made.version)
    (found,) = client.search_model_versions(f"name='{name}' and tags.`digest` = '1'")
    assert client.get_model_version_by_alias(name, "champion").name == found.name == name


def test_an_experiment_is_shown_as_model_training_unless_a_person_chose_otherwise(client) -> None:
    def kind(name: str) -> str:
        return client.get_experiment(experiment_id(client, name)).tags[KIND_TAG]

    client.create_experiment("before")
    client.create_experiment("chosen", tags={KIND_TAG: "genai_development"})
    assert [kind(name) for name in ("new", "before", "chosen")] == [KIND, KIND, "genai_development"]


def test_the_ui_is_opened_at_the_runs_of_the_projects_experiment(client, tmp_path) -> None:
    assert ui.page() == ""
    shutil.copy(REPOSITORY / "params.lock.yaml", tmp_path)
    assert ui.page() == ""
    place = experiment_id(client, "mnist")
    assert ui.page() == f"/#/experiments/{place}/runs?workflowType=machine_learning"


def test_a_name_that_mlflow_refuses_is_refused_before_anything_runs(called) -> None:
    for key in ("registry.model", "tracking.experiment"):
        for name, mended in (("a/b", "'a-b'"), ("-数据 2", "'数据-2'"), ("a:b", "'a-b'"), ("'", "'data-")):
            done = called("compose", f'{key}="{name}"')
            assert done.returncode == 1
            assert f"{key}: given {name!r}; a name is letters and digits" in done.stderr
            assert mended in done.stderr
