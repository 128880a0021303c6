"""ratchet promote: a champion is replaced on evidence alone, and every answer of the gate is kept."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml
from scipy.stats import binomtest

from tests.support import limits, runs, smoke

WEAK = ["model.widths=[16]", "training.max_epochs=1", "optimizer.lr=0.003", "tracking.wait_seconds=0"]
STRONG = ["model.widths=[64]", "training.max_epochs=8", "optimizer.lr=0.01", "tracking.wait_seconds=0"]


def made(project: Path, settings: list[str]) -> None:
    """Another version, the challenger."""
    for verb in ("train", "evaluate", "register"):
        done = runs.called(project, verb, *settings)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    """A project with a weak version 1, the champion, and a strong version 2, the challenger."""
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("gate") / "project")
    made(project, WEAK)
    set_gate(project, minimum={"test/accuracy": 0.2}, calibration_error=None)
    shutil.copy(project / "reports/predictions.parquet", project / "weak.parquet")
    first = runs.called(project, "promote")
    assert first.returncode == 0, first.stderr + first.stdout
    assert "promoted: mnist version 1 is champion" in first.stdout
    made(project, STRONG)
    return project


@pytest.fixture
def project(both: Path, tmp_path: Path) -> Path:
    """Another clone, with the registry as it was; the files of the versions stay where they are."""
    return shutil.copytree(both, tmp_path / "project")


def champion(project: Path) -> int:
    return int(runs.client(runs.store(project)).get_model_version_by_alias("mnist", "champion").version)


def report(project: Path) -> dict:
    return json.loads((project / "reports/promotion.json").read_text())


def set_gate(project: Path, **settings: object) -> None:
    """In params.lock.yaml, as `ratchet compose` would."""
    lock = yaml.safe_load((project / "params.lock.yaml").read_text())
    lock["gate"] |= settings
    (project / "params.lock.yaml").write_text(yaml.safe_dump(lock))


def test_a_better_challenger_becomes_champion_with_the_evidence(project):
    done = runs.called(project, "promote")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "promoted: mnist version 2 is champion" in done.stdout
    assert champion(project) == 2

    found = report(project)
    weak, strong = (
        pl.read_parquet(project / file).select(pl.col("label") == pl.col("predicted")).to_series().cast(pl.Int8)
        for file in ("weak.parquet", "reports/predictions.parquet")
    )
    compared, won, lost = found["comparison"], int((strong > weak).sum()), int((strong < weak).sum())
    assert (compared["champion"], compared["challenger"]) == (weak.mean(), strong.mean())
    assert compared["p"] == pytest.approx(binomtest(won, won + lost, alternative="greater").pvalue)
    assert compared["counts"] == f"{won} rows won, {lost} lost"
    assert 0 < compared["certain"] < compared["observed"]
    assert all(each["passed"] for each in found["conditions"])
    assert {"certain gain in accuracy", "McNemar's exact test: p", "size in MB"} <= {
        each["name"] for each in found["conditions"]
    }
    said = [line for line in done.stdout.splitlines() if line.startswith("certain gain in accuracy")]
    assert "passed" in said[0]


def test_what_the_gate_found_stands_on_the_version(project):
    assert runs.called(project, "promote").returncode == 0
    asked = runs.client(runs.store(project))
    model = asked.get_model_version("mnist", "2").source.removeprefix("models:/")
    folder = max(one.path for one in asked.list_logged_model_artifacts(model, "promotion"))
    names = {Path(one.path).name for one in asked.list_logged_model_artifacts(model, folder)}
    assert names == {"promotion.html", "promotion.json"}
    page = (project / "reports/promotion.html").read_text()
    assert "mnist version 2: promoted" in page
    assert "McNemar&#x27;s exact test" in page
    assert "<script" not in page
    history = runs.called(project, "history").stdout
    assert "promote" in history
    assert report(project)["summary"].split(",")[0] in history


def test_the_weaker_is_refused_and_the_champion_stays(project):
    assert runs.called(project, "promote").returncode == 0
    done = runs.called(project, "promote", "--version", "1")
    assert done.returncode == 1
    assert "refused: mnist version 1 does not become champion" in done.stdout
    assert champion(project) == 2
    assert report(project)["promoted"] is False
    assert "certain gain in accuracy" in report(project)["failed"]
    assert "refuse" in runs.called(project, "history").stdout


def test_a_dry_run_decides_and_leaves_all_as_it_is(project):
    before = runs.called(project, "history").stdout
    done = runs.called(project, "promote", "--dry-run")
    assert done.returncode == 0
    assert "would be promoted" in done.stdout
    assert champion(project) == 1
    assert runs.called(project, "history").stdout == before
    set_gate(project, minimum={"test/accuracy": 0.9999})
    assert runs.called(project, "promote", "--dry-run").returncode == 1


def test_a_class_has_a_minimum_of_its_own_and_one_that_there_is_not_is_named(project):
    recall = json.loads((project / "reports/classes.json").read_text())["test/recall/1"]
    set_gate(project, minimum={"test/recall/1": recall - 0.01, "test/precision/2": 0.1})
    done = runs.called(project, "promote", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("test/recall/1 "))
    assert f"{recall:.4g}" in line
    assert "passed" in line
    set_gate(project, minimum={"test/recall/ten": 0.5})
    undecided = runs.called(project, "promote", "--dry-run")
    assert undecided.returncode == 2
    absent = "gate.minimum names test/recall/ten, and there is no such class; the classes are 0, 1, 2"
    assert absent in undecided.stderr
    warned = runs.called(project, "evaluate", "--locked")
    assert warned.returncode == 0
    assert f"warning: {absent}" in warned.stderr


@pytest.mark.parametrize(
    ("settings", "failed"),
    [
        ({"minimum": {"test/accuracy": 0.9999}}, "test/accuracy"),
        ({"minimum": {"test/loss": 0.0001}}, "test/loss"),
        ({"minimum": {"test/accuracy": "test/count"}}, "test/accuracy"),
        ({"minimum": {"test/accuracy": "baseline/boosting/accuracy"}}, "test/accuracy"),  # which pictures have not
        ({"minimum": {"test/recall/1": 1.01}}, "test/recall/1"),
        ({"gain": 0.9}, "certain gain in accuracy"),
        ({"latency_ms": 0.001}, "p95 latency in ms"),
        ({"size_mb": 0.001}, "size in MB"),
        ({"calibration_error": 0.0001}, "calibration error"),
    ],
)
def test_a_condition_that_fails_refuses(project, settings, failed):
    set_gate(project, **settings)
    done = runs.called(project, "promote", "--dry-run")
    assert done.returncode == 1
    assert report(project)["failed"][0] == failed
    assert any(line.startswith(failed) and "FAILED" in line for line in done.stdout.splitlines())


def test_an_alias_that_was_moved_by_hand_is_judged_against_the_champion_of_the_ledger(project):
    runs.client(runs.store(project)).set_registered_model_alias("mnist", "champion", "2")
    drift = "alias champion of mnist names version 2, but the ledger says version 1"
    assert drift in runs.called(project, "doctor").stdout
    done = runs.called(project, "promote")
    assert done.returncode == 0
    assert f"warning: {drift}" in done.stderr
    assert report(project)["champion_before"] == 1
    settled = runs.called(project, "history")
    assert (settled.returncode, settled.stderr) == (0, "")


def test_a_certain_gain_over_the_majority_class_can_be_asked(project):
    set_gate(project, over_baseline=True)
    done = runs.called(project, "promote", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    name = "certain gain in accuracy over the majority class"
    (asked,) = [each for each in report(project)["conditions"] if each["name"] == name]
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert 0.5 < asked["given"] < metrics["test/accuracy"] - metrics["baseline/majority/accuracy"]
    assert (asked["sense"], asked["needed"]) == (">", 0)
    assert report(project)["beaten"] == ""


def test_what_can_not_be_decided_moves_nothing(project):
    unknown = runs.called(project, "promote", "--version", "9")
    assert unknown.returncode == 2
    assert "no version 9" in unknown.stderr
    away = runs.called(project, "promote", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert away.returncode == 2
    assert "When the server is back, type: ratchet promote" in away.stderr
    limits.flip(project / "data/processed/test.safetensors")
    assert runs.called(project, "promote").returncode == 2
    shutil.rmtree(project / "data/processed")
    gone = runs.called(project, "promote")
    assert gone.returncode == 2
    assert "dvc repro preprocess" in gone.stderr
    assert champion(project) == 1


def test_a_version_of_other_data_is_not_judged_on_rows_that_it_may_have_learned(project):
    done = runs.called(project, "preprocess", "data.prepare.validation=150")
    assert done.returncode == 0, done.stderr
    assert runs.called(project, "promote", "--dry-run").returncode == 0  # the same test rows
    spec = json.loads((project / "data/processed/spec.json").read_text())
    asked = runs.client(runs.store(project))
    asked.set_model_version_tag("mnist", "2", "data.test_sha256", "0" * 64)
    assert spec["splits"]["test"]["sha256"] != "0" * 64
    other = runs.called(project, "promote")
    assert other.returncode == 2
    assert "was made with other data" in other.stderr


def test_versions_with_encoders_of_their_own_are_asked_the_same_records(
    tmp_path: Path, project_files: list[str], empty_database: Path
) -> None:
    from tests.conftest import clone

    project = clone(tmp_path / "project", project_files)
    shutil.copyfile(empty_database, project / "mlflow.db")

    def run(*arguments: str) -> str:
        done = runs.called(project, *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    smoke.lay("table_dnn", project, run)
    scores = []
    for scaling in ("unit", "symmetric"):
        for verb in ("compose", "preprocess", "train", "evaluate", "register"):
            run(verb, *([f"data.prepare.scaling={scaling}"] if verb != "compose" else []))
        scores.append(json.loads((project / "reports/metrics.json").read_text())["test/accuracy"])
        done = runs.called(project, "promote")
        assert done.returncode in (0, 1), done.stderr
    compared = report(project)["comparison"]
    assert [compared["champion"], compared["challenger"]] == pytest.approx(scores, abs=1e-6)
