"""The OpenAPI document against the service that it describes, by schemathesis, for each form of a record."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, clone, lean
from tests.support import untrained
from tests.support.services import Service

KINDS = ["image", "table", "behaviour"]
# Its own check of valid data knows nothing of what no schema can say; documented.py has one that does
SETTINGS = ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure"]
SETTINGS += ["--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--generation-deterministic"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, project_files: list[str]) -> Path:
    return clone(tmp_path_factory.mktemp("openapi") / "project", project_files)


@pytest.fixture(scope="module")
def served(project: Path) -> Iterator[tuple[Service, dict[str, str]]]:
    with untrained.served(project, KINDS) as served:
        yield served


@pytest.mark.parametrize("kind", KINDS)
def test_the_service_does_what_its_document_says(served: tuple[Service, dict[str, str]], project: Path, kind: str):
    service, digests = served
    untrained.swap(service, project, digests[kind])
    command = ["schemathesis", "run", f"{service.uri}/openapi.json", "--no-color", *SETTINGS]
    env = lean(SCHEMATHESIS_HOOKS="tests.support.documented", PYTHONPATH=str(REPOSITORY))
    done = subprocess.run(command, cwd=project.parent, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 9" in done.stdout
    assert service.health()["ready"]
    assert "Traceback" not in service.log.read_text()


def test_a_record_without_an_answer_harms_none_that_came_with_it(
    served: tuple[Service, dict[str, str]], project: Path
) -> None:
    service, _ = served
    untrained.swap(service, project, untrained.lay(project, "table", factor=1e6))
    good = service.get("/about")[1]["examples"][0]
    records = [good, good | {"age": 3e38}] * 16
    with ThreadPoolExecutor(len(records)) as pool:
        answers = [*pool.map(lambda record: service.post("/predict", record), records)]
    assert [status for status, _ in answers] == [200, 422] * 16
    status, refused = service.post("/predict/batch", {"records": records})
    assert status == 422
    assert refused["detail"][0]["message"].startswith("record 1: the model has no finite answer")


def test_health_says_how_much_of_its_texts_the_encoder_did_not_know(
    served: tuple[Service, dict[str, str]], project: Path
) -> None:
    service, digests = served
    untrained.swap(service, project, digests["image"])
    assert "unknown_tokens" not in service.health()
    untrained.swap(service, project, untrained.lay(project, "text"))
    assert service.health()["unknown_tokens"] == 0
