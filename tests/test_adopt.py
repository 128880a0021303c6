"""ratchet adopt: params.yaml edited in place, and then `dvc repro` gives the very trial."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from pipeline.config import composition
from pipeline.config.checking import checked
from pipeline.tracking.journal import Journal
from tests.conftest import clone, lean
from tests.support import sweeps

HEAD = """# The choice of this project
scenario: mnist_mlp   # digits
seed: 0
optimizer:
  lr: 0.002  # may be too high
# How it is trained
training: {max_epochs: 1}  # quick
"""
BLOCKS = """# Head
scenario: mnist_cnn # digits
model:
  # from left to right
  layers:
    - 8
    - pool
  # after them
  widths: [8]
optimizer:
  name: sgd
  # more than usual
  momentum: 0.5
training:
    max_epochs: 3
    early_stopping:
        patience: 2 # of three
# The end
"""


def with_head(project: Path, head: str = HEAD) -> Path:
    """The project with a params.yaml that a person wrote: `head`, then the tests' own data."""
    file = project / "params.yaml"
    rest = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key in ("data", "tracking")}
    file.write_text(head + yaml.safe_dump(rest))
    return project


def repro(project: Path, *stages: str) -> str:
    command = [str(Path(sys.executable).parent / "dvc"), "repro", *stages]
    environment = lean(PYTHONPATH=str(project))
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, project_files: list[str], empty_database: Path) -> Path:
    """A project after a sweep of two trials."""
    project = with_head(clone(tmp_path_factory.mktemp("adopted") / "project", project_files))
    shutil.copyfile(empty_database, project / "mlflow.db")
    repro(project, "preprocess")
    space = ["optimizer.lr=1e-5,0.01", "model.widths=[16]", "schedule=constant", "trainer.threads=1"]
    done = sweeps.sweep(project, *space, "tracking.wait_seconds=60")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def project(swept: Path, tmp_path: Path) -> Path:
    """A copy of that project, in which `called` and `ratchet` run."""
    return shutil.copytree(swept, tmp_path / "project")


def recorded(project: Path, *overrides: str, run_id: str = "a1" * 16) -> str:
    """A run with these settings as its journal has them; returns its id."""
    config = composition.compose(overrides)
    with Journal.begin(run_id, "mnist", config.run_name, 1.0) as journal:
        journal.text(yaml.safe_dump(config.model_dump(mode="json")), "config.yaml")
        journal.tags({"config.hash": config.hash, "threads": "1", "device": "cpu"})
        journal.status("FINISHED")
    return run_id


def test_after_adopt_dvc_repro_gives_the_best_trial_of_the_last_sweep(project: Path, called: Callable):
    best = sweeps.study(project).best_trial
    done = called("adopt")
    assert done.returncode == 0, done.stderr
    assert f"study mnist_mlp, trial {best.number}: val/accuracy {best.value:.4f}" in done.stdout
    assert ["optimizer.lr", "0.002", "0.01"] in [line.split() for line in done.stdout.splitlines()]
    head, _, rest = (project / "params.yaml").read_text().partition("data:\n")
    assert head == HEAD.replace("lr: 0.002", "lr: 0.01")
    assert rest.endswith("wait_seconds: 0\nschedule: {name: constant}\nmodel: {widths: [16]}\n")

    assert "its result is reused" in repro(project, "train")
    settings = yaml.safe_load((project / "params.lock.yaml").read_text())
    settings.pop("code")
    assert checked(settings, settings).hash == best.user_attrs["config.hash"]
    made = project / "models/run.json"
    assert json.loads(made.read_text())["best"]["value"] == best.value
    fresh = called("train", "--fresh")
    assert fresh.returncode == 0, fresh.stderr
    anew = json.loads(made.read_text())
    assert anew["best"]["value"] == best.value
    assert anew["run_id"] != best.user_attrs["run_id"]
    for run_id in (anew["run_id"], sweeps.study(project).user_attrs["run_id"]):
        assert "params.yaml has these settings already" in called("adopt", run_id).stdout


def test_a_run_is_adopted_with_its_threads_and_what_it_has_not_goes(
    project: Path, called: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project)
    settings = ["optimizer=sgd", "optimizer.momentum=0.5", "model.widths=[16]", "trainer.threads=2"]
    recorded(project, *settings)
    first = called("adopt", composition.compose(settings).run_name)
    assert first.returncode == 0, first.stderr
    assert "need equal threads, and CPU threads were 2" in first.stdout
    text = (project / "params.yaml").read_text()
    assert "trainer: {threads: 2}" in text
    assert "  lr: 0.002  # may be too high\n  name: sgd\n  momentum: 0.5\n# How it is trained" in text
    assert composition.compose().hash == composition.compose(settings).hash

    back = called("adopt", "mnist_mlp", "--trial", "0")
    assert back.returncode == 0, back.stderr
    text = (project / "params.yaml").read_text()
    assert "momentum" not in text
    assert "  lr: 1.0e-05  # may be too high\n  name: adam\n# How it is trained" in text
    assert "threads: 1}" in text


@pytest.mark.parametrize(
    ("head", "overrides"),
    [
        ("scenario: mnist_mlp\noptimizer: sgd # fast\n", ["schedule=constant", "optimizer=sgd", "optimizer.lr=0.3"]),
        ("optimizer.name: sgd\noptimizer.momentum: 0.7\nscenario: mnist_mlp\n", ["scenario=mnist_cnn", "seed=3"]),
        (BLOCKS, ["scenario=mnist_mlp", "loss.label_smoothing=0.1", "training.gradient_clip=1.0"]),
        (
            BLOCKS,
            [
                "scenario=mnist_cnn",
                "model.layers=[4,pool,8]",
                "optimizer=adam",
                "training.early_stopping.patience=null",
            ],
        ),
        (BLOCKS.replace("\n", "\r\n"), ["schedule=step", "schedule.every=3", "training.augmentation.rotate=5"]),
    ],
)
def test_every_way_to_write_params_is_edited_and_keeps_its_comments(
    project: Path, called: Callable, monkeypatch: pytest.MonkeyPatch, head: str, overrides: list[str]
):
    monkeypatch.chdir(project)
    run_id = recorded(project, *overrides)  # made from another params.yaml than the one that is edited
    wanted = composition.compose(overrides).hash
    with_head(project, head)
    before = (project / "params.yaml").read_bytes()
    done = called("adopt", run_id[:6])
    assert done.returncode == 0, done.stderr
    after = (project / "params.yaml").read_bytes()
    assert composition.compose().hash == wanted
    assert re.findall(b"#.*", after) == re.findall(b"#.*", before)
    assert (b"\r\n" in after) == (b"\r\n" in before)
    gone = set(before.splitlines()) - set(after.splitlines())
    assert len(gone) <= len(done.stdout.splitlines())  # what no setting asks for is as it was


def test_of_several_objectives_one_point_of_the_front_is_chosen(
    project: Path, called: Callable, monkeypatch: pytest.MonkeyPatch
):
    """Trials of a worker on another host: their runs are not here, their overrides are."""
    monkeypatch.chdir(project)
    study = optuna.create_study(study_name="two", storage=sweeps.storage(project), directions=["maximize", "minimize"])
    study.set_user_attr("objectives", ["val/accuracy", "latency_ms"])
    for rate, values in ((0.1, (0.9, 2.0)), (0.2, (0.8, 1.0)), (0.3, (0.7, 3.0))):
        overrides = [f"optimizer.lr={rate}"]
        about = {"overrides": overrides, "config.hash": composition.compose(overrides).hash, "run_id": "f" * 32}
        space = {"optimizer.lr": FloatDistribution(0.01, 1.0)}
        study.add_trial(
            create_trial(values=values, params={"optimizer.lr": rate}, distributions=space, user_attrs=about)
        )
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"reason": "killed"}))
    before = (project / "params.yaml").read_text()
    asked = called("adopt", "two")
    assert asked.returncode == 1
    lines = [line.split() for line in asked.stderr.splitlines()]
    assert ["trial", "val/accuracy", "latency_ms", "optimizer.lr"] in lines
    assert ["0", "0.9000", "2.0000", "0.1"] in lines
    assert not [line for line in lines if line[:1] == ["2"]]  # worse than the others in both
    failed = called("adopt", "two", "--trial", "3")
    assert "trial 3 of the study two is FAIL; those that are complete: 0, 1, 2" in failed.stderr
    assert (project / "params.yaml").read_text() == before
    assert called("adopt", "two", "--trial", "1").returncode == 0
    assert (project / "params.yaml").read_text() == before.replace("lr: 0.002", "lr: 0.2")
    (project / "params.yaml").write_text(before.replace("seed: 0", "seed: 7"))  # so its overrides mean another hash
    gone = called("adopt", "two", "--trial", "1")
    assert gone.returncode == 1
    assert "config.yaml is neither in .ratchet/journal/ffff" in gone.stderr


def test_a_run_whose_journal_is_elsewhere_comes_from_mlflow(
    project: Path, called: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    best = sweeps.study(project).best_trial.user_attrs
    shutil.rmtree(project / ".ratchet/journal")
    spec = project / "data/processed/spec.json"
    spec.write_text(json.dumps(json.loads(spec.read_text()) | {"fingerprint": "0" * 64}))
    done = called("adopt", best["run_id"][:8])
    assert done.returncode == 0, done.stderr
    assert f"run {best['run_id'][:12]} of sqlite:" in done.stdout
    assert "the data has changed since" in done.stdout
    assert composition.compose().hash == best["config.hash"]


def test_what_cannot_be_adopted_leaves_params_as_it_is(project: Path, called: Callable, monkeypatch):
    monkeypatch.chdir(project)
    before = (project / "params.yaml").read_bytes()
    run_id = recorded(project, "optimizer.lr=0.5")
    config = project / ".ratchet/journal" / run_id / "artifacts/config.yaml"
    config.write_text(config.read_text().replace("lr: 0.5", "lr: 0.6"))
    for given, words in (
        ([run_id], "they were made by another"),
        (["mnist_mpl"], "Did you mean mnist_mlp"),
        ([run_id, "--trial", "1"], "the studies are mnist_mlp"),
        (["--trial", "9"], "trial 9 of the study mnist_mlp is none; those that are complete: 0, 1"),
    ):
        done = called("adopt", *given)
        assert done.returncode == 1
        assert words in done.stderr
    config.write_text(config.read_text().replace("lr: 0.6", "lr: fast"))
    assert "not of this version of Ratchet" in called("adopt", run_id).stderr
    assert (project / "params.yaml").read_bytes() == before
    aliased = before.replace(b"lr: 0.002", b"lr: &rate 0.002\n  weight_decay: *rate")
    (project / "params.yaml").write_bytes(aliased)
    assert "can't be edited so that it gives these settings" in called("adopt").stderr
    assert (project / "params.yaml").read_bytes() == aliased
    (project / ".ratchet/sweeps.db").unlink()
    assert "Type: ratchet sweep" in called("adopt").stderr
    assert not (project / ".ratchet/sweeps.db").exists()
