"""The whole flow as a user runs it: dvc repro, experiments, the registry, the promoted model served."""

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.config.checking import checked
from tests.conftest import REPOSITORY, clone, lean
from tests.support import runs

STAGES = ["compose", "download", "feedback", "preprocess", "train", "evaluate", "register"]
BIN = Path(sys.executable).parent


def shell(project: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command of the virtual environment, with the project's own copy of the package; ratchet in this process."""
    if command[0] == "ratchet":
        return runs.called(project, *command[1:], **env)
    environment = lean(PYTHONPATH=str(project), **env)
    call = [str(BIN / command[0]), *command[1:]]
    return subprocess.run(call, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


def good(project: Path, *command: str, **env: str) -> str:
    done = shell(project, *command, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(output: str) -> list[str]:
    return [stage for stage in STAGES if f"Running stage '{stage}'" in output]


def edit(project: Path, **values: object) -> None:
    file = project / "params.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))


def alias(project: Path, name: str) -> int:
    return int(runs.client(runs.store(project)).get_model_version_by_alias("mnist", name).version)


def run_tags(project: Path) -> list[dict[str, str]]:
    return [run.data.tags for run in runs.shipped_runs(runs.store(project))]


def lock_hash(project: Path) -> str:
    settings = yaml.safe_load((project / "params.lock.yaml").read_text())
    settings.pop("code")
    return checked(settings, settings).hash


@pytest.fixture(scope="module")
def repro(tmp_path_factory: pytest.TempPathFactory, project_files: list[str]) -> tuple[Path, str]:
    """A clone in which everything ran once, and what was printed."""
    project = clone(tmp_path_factory.mktemp("flow") / "project", project_files)
    edit(project, model={"widths": [32]})
    output = good(project, "dvc", "repro") + good(project, "ratchet", "promote")
    for command in (["add", "--all"], ["commit", "--quiet", "--message", "Ran"]):
        subprocess.run(["git", *command], cwd=project, env=lean(), check=True)
    return project, output


def test_repro_runs_every_stage_and_leaves_a_champion(repro):
    project, output = repro
    assert ran(output) == STAGES
    asked = runs.client(runs.store(project))
    version = asked.get_model_version_by_alias("mnist", "champion")
    assert alias(project, "champion") == alias(project, "challenger") == 1
    assert version.description.startswith("# mnist_mlp")
    assert version.tags["config.hash"] == lock_hash(project)
    (run,) = runs.shipped_runs(runs.store(project))
    assert run.info.status == "FINISHED"
    assert version.run_id == run.info.run_id
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert run.data.metrics["test/accuracy"] == pytest.approx(metrics["test/accuracy"])
    assert metrics["test/accuracy"] > 0.5
    assert metrics["test/count"] == 300
    figures = {file.path for file in asked.list_artifacts(run.info.run_id, "figures")}
    assert figures == {
        f"figures/{name}.png" for name in ("calibration", "confusion", "curves", "pictures", "pr", "roc")
    }


def test_the_readme_shows_what_is_printed(repro):
    _, output = repro
    sample = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("What you should see")[2].split("```")[1]
    assert [line.split("'")[1] for line in sample.splitlines() if line.startswith("Running")] == STAGES
    lock = (REPOSITORY / "params.lock.yaml").read_text(encoding="utf-8")
    now = lock.partition("# config hash ")[2][:12]
    assert f"scenario mnist_mlp, config hash {now}" in sample, f"write into the README's sample: config hash {now}"
    printed = {shape(line): line for line in output.splitlines()}
    for line in filter(lambda line: line.strip("… "), sample.splitlines()):
        near = difflib.get_close_matches(shape(line), printed, n=1, cutoff=0) or [""]
        assert shape(line) in printed, f"the README's sample says {line!r}; printed is {printed.get(near[0])!r}"


def shape(line: str) -> str:
    """Without what another run or other data changes: numbers and digests."""
    return " ".join(re.sub(r"\b[0-9a-f]{12}\b|[\d.,]*\d", "#", line).split())


def test_the_registered_model_predicts_as_the_bundle_in_a_process_that_knows_no_ratchet(repro, tmp_path):
    project, _ = repro
    code = f"""
import json, sys
import mlflow, numpy as np
mlflow.set_tracking_uri("{runs.store(project)}")
from safetensors.numpy import load_file
inputs = load_file("{project}/data/processed/test.safetensors")["inputs"][:50]
model = mlflow.pyfunc.load_model("models:/mnist@champion")
found = model.predict(inputs)
import pipeline
assert "/artifacts/code/" in pipeline.__file__, pipeline.__file__
print(json.dumps({{"label": found["label"].tolist(), "p": found["probabilities"].tolist()}}))
"""
    # isolated (-I): neither the working folder nor an installed project lends its package
    env = lean()
    script = tmp_path / "predict.py"
    script.write_text(
        "import sys\nsys.meta_path = [f for f in sys.meta_path if 'editable' not in type(f).__module__.lower()]\n"
        f"sys.path = [p for p in sys.path if 'site-packages' in p or 'lib/python' in p]\n{code}"
    )
    done = subprocess.run([sys.executable, "-I", str(script)], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout.splitlines()[-1])

    from safetensors.numpy import load_file

    from pipeline.models.bundle import Bundle

    inputs = load_file(project / "data/processed/test.safetensors")["inputs"][:50]
    own = Bundle.load(project / "models/bundle").predict(inputs)
    assert served["label"] == [one["label"] for one in own]
    for given, wanted in zip(served["p"], own, strict=True):
        assert given == pytest.approx(wanted["probabilities"], abs=1e-9)


def test_nothing_pickled_is_registered(repro):
    project, _ = repro
    endings = {file.suffix for file in (project / "mlartifacts").rglob("*") if file.is_file()}
    known = {".safetensors", ".json", ".yaml", ".yml", ".txt", ".png", ".csv", ""}
    assert endings <= known | {".py", ".pyc", ".html", ".css", ".js"}
    for file in (project / "mlartifacts").rglob("*"):
        assert not (file.is_file() and file.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05"))


def test_again_runs_nothing_and_an_edited_leaf_only_what_depends_on_it(repro):
    project, _ = repro
    assert ran(good(project, "dvc", "repro")) == []
    try:
        edit(project, gate={"minimum": {"test/accuracy": 0.4}})
        assert ran(good(project, "dvc", "repro")) == ["compose"]
        edit(project, evaluation={"batch_size": 100})  # the scores stay, so nothing new is registered
        assert ran(good(project, "dvc", "repro")) == ["compose", "evaluate"]
        edit(project, optimizer={"lr": 0.002})
        assert ran(good(project, "dvc", "repro")) == ["compose", "train", "evaluate", "register"]
        assert (alias(project, "challenger"), alias(project, "champion")) == (2, 1)
    finally:
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=project, env=lean(), check=True)
    back = good(project, "dvc", "repro")
    assert "cached - skipping" in back  # the run-cache brings the earlier training back
    assert alias(project, "challenger") == 1


def test_an_edit_of_code_runs_the_stages_again_that_run_it(repro):
    project, _ = repro
    good(project, "dvc", "repro")
    try:
        write_below(project / "pipeline/training/task.py", '# a comment\n"""a text"""\n')
        assert ran(good(project, "dvc", "repro")) == ["compose"]
        write_below(project / "pipeline/models/bert.py", "x = 1\n")
        assert ran(good(project, "dvc", "repro")) == ["compose"]
        write_below(project / "pipeline/evaluation/classification.py", "x = 1\n")  # the scores stay
        assert ran(good(project, "dvc", "repro")) == ["compose", "evaluate"]
    finally:
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=project, env=lean(), check=True)


def write_below(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def test_the_config_hash_is_one_in_all_ways_of_running(repro):
    project, _ = repro
    try:
        good(project, "dvc", "exp", "run", "-S", "seed=5", "-S", "+optimizer.lr=0.003")
        by_experiment = lock_hash(project)
        assert by_experiment in [tags["config.hash"] for tags in run_tags(project)]
        before = len(runs.run_ids(project))
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=project, env=lean(), check=True)
        # The same settings, directly: the same hash, so what was trained is found again
        direct = good(project, "ratchet", "train", "seed=5", "optimizer.lr=0.003")
        assert "its result is reused" in direct
        assert len(runs.run_ids(project)) == before
        edit(project, seed=5, optimizer={"lr": 0.003})
        good(project, "ratchet", "compose")
        assert lock_hash(project) == by_experiment
    finally:
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=project, env=lean(), check=True)


def test_an_experiment_in_a_throw_away_copy_keeps_its_run(repro):
    project, _ = repro
    before = len(runs.run_ids(project))
    good(project, "dvc", "exp", "run", "--temp", "-S", "seed=9")
    assert len(runs.run_ids(project)) == before + 1
    assert "9" in [tags.get("seed") for tags in run_tags(project)]


def test_dvc_shows_metrics_and_plots(repro):
    project, _ = repro
    heading = good(project, "dvc", "metrics", "show").splitlines()[0]
    assert "test.accuracy" in heading or "test/accuracy" in heading
    assert len(heading.split()) < 20
    page = project / "dvc_plots" / "index.html"
    shown = shell(project, "dvc", "plots", "show")
    assert (shown.returncode, shown.stderr) == (0, "")  # nor a word of plots of other tasks
    for plot in (b"confusion", b"train_loss", b"val_score", b"tpr", b"precision", b"confidence"):
        assert plot in page.read_bytes()
    assert b'"field": "hit_rate"' not in page.read_bytes()


def test_a_missing_output_names_the_stage_that_makes_it(project, called):
    for verb, missing in (("preprocess", "download"), ("train", "preprocess"), ("evaluate", "preprocess")):
        done = called(verb)
        assert done.returncode == 1
        assert f"dvc repro {missing}" in done.stderr
        assert "Traceback" not in done.stderr


def test_promote_without_a_challenger_cannot_decide(prepared):
    done = runs.called(prepared, "promote")
    assert done.returncode == 2
    assert "no challenger" in done.stderr


def test_register_with_a_server_that_is_away_loses_nothing(repro):
    project, _ = repro
    done = shell(project, "ratchet", "register", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "The bundle is safe in models/" in done.stderr
    assert "Traceback" not in done.stderr


def test_in_a_clone_without_the_journal_the_later_stages_work(repro):
    project, _ = repro
    run_id = json.loads((project / "models/run.json").read_text())["run_id"]
    journal = project / ".ratchet/journal" / run_id
    aside = journal.with_name("aside")
    journal.rename(aside)
    try:
        before = len(run_tags(project))
        good(project, "ratchet", "evaluate", "--locked")
        good(project, "ratchet", "register", "--locked")
        assert len(run_tags(project)) == before  # found by its id in MLflow, not made again
    finally:
        shutil.rmtree(journal)
        aside.rename(journal)


def test_an_altered_bundle_is_refused(repro, tmp_path):
    project, _ = repro
    weights = project / "models/bundle/weights.safetensors"
    content = weights.read_bytes()
    weights.chmod(0o644)
    try:
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        done = shell(project, "ratchet", "evaluate")
        assert done.returncode == 1
        assert "has SHA-256" in done.stderr
        assert "dvc checkout --force" in done.stderr
    finally:
        weights.write_bytes(content)


def test_the_default_store_is_the_same_from_any_folder(repro):
    project, _ = repro
    done = subprocess.run(
        [str(BIN / "ratchet"), "sync"], cwd=project / "conf", env=lean(), capture_output=True, text=True, timeout=60
    )
    assert f"sqlite:///{project}{os.sep}mlflow.db" in done.stdout
