"""Settings: composed once, typed, and refused all together before anything runs."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from omegaconf import OmegaConf

from pipeline.__main__ import VERBS
from pipeline.config import composition
from pipeline.config.section import Neutral, Section
from pipeline.config.writing import parse_yaml
from pipeline.project.code import STAGES

SCENARIOS = sorted(file.stem for file in (Path(__file__).parent.parent / "conf/scenario").glob("*.yaml"))


@pytest.fixture
def settings(project, called):
    """Composes with the arguments and returns the lock's content."""

    def compose(*overrides: str) -> dict:
        done = called("compose", *overrides)
        assert done.returncode == 0, done.stderr
        return yaml.safe_load((project / "params.lock.yaml").read_text())

    return compose


def edit(project: Path, **values: object) -> None:
    file = project / "params.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_composes_or_says_that_init_comes_first(called, project, scenario):
    (project / "params.yaml").write_text(f"scenario: {scenario}\n")
    done = called("compose")
    if scenario in ("images_cnn", "text_bert"):
        assert done.returncode == 1
        assert "for data of your own, `ratchet init --data PATH` writes it" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert yaml.safe_load((project / "params.lock.yaml").read_text())["scenario"] == scenario


def test_a_scenario_overrides_the_space_and_params_override_the_scenario(called, project):
    (project / "params.yaml").write_text("scenario: reviews_bert\n")
    assert called("compose").returncode == 0
    lock = yaml.safe_load((project / "params.lock.yaml").read_text())
    assert (lock["training"]["max_epochs"], lock["training"]["bucket"]) == (3, 50)
    (project / "params.yaml").write_text("scenario: reviews_bert\ntraining: {bucket: null}\ngate: {minimum: {}}\n")
    assert called("compose").returncode == 0
    lock = yaml.safe_load((project / "params.lock.yaml").read_text())
    assert (lock["training"]["max_epochs"], lock["training"]["bucket"]) == (3, None)
    assert lock["gate"]["minimum"] == {}  # a mapping with such keys is replaced whole


@pytest.mark.parametrize("group", ["optimizer", "schedule", "trainer", "loss"])
def test_every_choice_of_a_group_composes(settings, project, group):
    for file in sorted((project / "conf" / group).glob("*.yaml")):
        if file.stem in ("mse", "huber"):
            continue  # of a regression: test_choices
        assert settings(f"{group}={file.stem}")[group]["name"] == file.stem


def test_the_repository_ships_its_lock_up_to_date(project, called):
    """But for the digests of code, which each commit changes and `dvc repro` writes first."""
    shipped = Path(__file__).parent.parent
    shutil.copy2(shipped / "params.yaml", project / "params.yaml")
    assert called("compose").returncode == 0
    there, here = ((folder / "params.lock.yaml").read_text() for folder in (shipped, project))
    assert without_code(there) == without_code(here)
    assert set(yaml.safe_load(there)["code"]) == set(STAGES)


def without_code(lock: str) -> str:
    return re.sub(r"^code:\n(  .*\n)*", "", lock, flags=re.MULTILINE)


def test_the_lock_is_the_same_bytes_each_time(settings, project):
    settings()
    once = (project / "params.lock.yaml").read_bytes()
    settings()
    assert (project / "params.lock.yaml").read_bytes() == once


def test_an_override_beats_params_which_beat_conf(settings, project):
    assert settings()["optimizer"]["lr"] == 0.001
    edit(project, optimizer={"lr": 0.002})
    assert settings()["optimizer"]["lr"] == 0.002
    assert settings("optimizer.lr=0.003")["optimizer"]["lr"] == 0.003


def test_params_and_command_line_choose_a_group_alike(settings, project):
    by_override = settings("optimizer=sgd", "optimizer.lr=0.05")
    edit(project, optimizer={"name": "sgd", "lr": 0.05})
    assert settings() == by_override
    assert by_override["optimizer"] == {
        "name": "sgd",
        "lr": 0.05,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "l1": 0.0,
    }


def test_a_list_is_replaced_whole(settings):
    assert settings("model.widths=[8,4,2]")["model"]["widths"] == [8, 4, 2]


WRITTEN = """
numbers: [1e-3, 1e3, .5, 1., 1_000, 0x1f, 017, -.inf, .nan, 190:20:30, 1:30.5, +4, 0b11]
texts: [2024-01-31, 2024-01-31T10:00:00Z, 1e, '1e-3', "${a}", "x: y", 0.1.2, e5]
others: [yes, No, on, true, null, ~, {a: [b, {c: d}]}, [], {}]
merged: {<<: {a: 1}, b: &x [1, 2], c: *x}
1: one
"""


def test_settings_are_read_as_omegaconf_reads_them():
    assert str(parse_yaml(WRITTEN)) == str(OmegaConf.to_container(OmegaConf.create(WRITTEN)))


@pytest.mark.parametrize("text", ["a: 1\na: 2", "a: {b: 1, b: 2}"])
def test_a_setting_that_stands_twice_is_a_mistake(project, called, text):
    (project / "params.yaml").write_text(f"scenario: mnist_mlp\n{text}\n")
    done = called("compose")
    assert done.returncode == 1
    assert "found duplicate key" in done.stderr


@pytest.mark.parametrize("length", [5, 500])
def test_a_list_of_any_length_can_be_referred_to_and_its_entries_be_overridden(project, monkeypatch, length):
    monkeypatch.chdir(project)
    leaves = [("scenario", "mnist_mlp"), ("model.widths", [3] * length), ("tracking.same", "${model.widths}")]
    settings, _ = composition.settled(leaves)
    assert settings["model"]["widths"] == settings["tracking"]["same"] == [3] * length
    settings, _ = composition.settled([*leaves, ("model.widths[2]", 7)])
    assert settings["model"]["widths"] == settings["tracking"]["same"] == [3, 3, 7, *[3] * (length - 3)]


def test_the_hash_is_of_what_decides_the_model(project, monkeypatch):
    monkeypatch.chdir(project)
    plain = composition.compose().hash
    assert composition.compose(["trainer=cpu", "trainer.threads=1", "tracking.log_every_steps=3"]).hash == plain
    assert composition.compose(["data.source.mirrors=[{url: 'file:/elsewhere', unpack: none}]"]).hash == plain
    assert composition.compose(["optimizer.lr=0.0011"]).hash != plain
    assert composition.compose(["seed=1"]).hash != plain
    assert composition.compose(["optimizer.lr=1e-3"]).hash == plain


def test_what_is_only_reported_or_says_where_data_lies_is_not_in_the_hash(project, monkeypatch):
    monkeypatch.chdir(project)
    plain = composition.compose()
    for override in ("data.prepare.max_quarantined=0.5", "registry.model=other"):
        assert composition.compose([override]).hash == plain.hash, override
    assert composition.compose(["data.prepare.validation=100"]).hash != plain.hash


def test_a_hash_from_before_settings_could_be_left_out_is_known_still(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent)
    config = composition.compose(["scenario=mnist_mlp"])
    assert config.is_of("cd99133427e3" + config.former_hash[12:])  # as it stands in runs of that time
    assert config.is_of(config.hash)
    assert not config.is_of(composition.compose(["seed=5"]).hash)
    assert not config.is_of(None)


def test_a_setting_that_is_added_keeps_the_hash_while_it_changes_nothing():
    class Before(Section):
        lr: float

    class After(Before):
        decay: Annotated[float, Neutral(0.0)]

    assert After(lr=0.1, decay=0.0).decisive() == Before(lr=0.1).decisive() == {"lr": 0.1}
    assert After(lr=0.1, decay=0.5).decisive() == {"lr": 0.1, "decay": 0.5}


def test_all_mistakes_are_reported_at_once_with_the_nearest_name(called, project):
    before = sorted(project.rglob("*"))
    mistakes = ["optimizer.lrr=1", "optimizer.lr=fast", "trainin.epochs=3", "training.early_stopping.patience=2"]
    done = called("train", *mistakes)
    assert done.returncode == 1
    for words in (
        "4 settings can't be used",
        "optimizer.lrr: given 1; no such setting; the settings here are betas, l1, lr, name, weight_decay.",
        "Did you mean lr?",
        "optimizer.lr: given 'fast'; input should be a valid number",
        "Did you mean training?",
        "training.early_stopping.patience: given 2; fewer than training.max_epochs = 2",
    ):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["scenario=mnist_mpl"], "Did you mean mnist_mlp?"),
        (["optimizer=adamm"], "one of adam, adamw, sgd. Did you mean adam?"),
        (["optimizer.lr=-1"], "greater than 0"),
        (["optimizer.lr=.inf"], "optimizer.lr"),
        (["training.batch_size=64", "training.accumulate=7"], "a divisor of training.batch_size = 64"),
        (["optimizer.lr=0.1,0.2"], "no single value"),
        (["~optimizer.lr"], "no single value"),
        (["optimizer.lr"], "key=value"),
        (["seed.deeper=1"], "seed"),
        (["data.source.mirrors=[{url: 'https://user:pass-word@host/{file}', unpack: gzip}]"], "${oc.env:NAME}"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(called, overrides, words):
    done = called("compose", *overrides)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "pass-word" not in done.stderr


EXPERIMENT = """# @package _global_
defaults:
  - override /model: cnn
  - override /optimizer: sgd
model: {layers: [4, pool], widths: [8]}
training: {max_epochs: 3}
"""


def test_a_group_of_ones_own_is_composed_as_hydras_users_expect(settings, called, project):
    for file in ("quick.yaml", "sub/deep.yaml"):
        (project / "conf/experiment" / file).parent.mkdir(parents=True, exist_ok=True)
        (project / "conf/experiment" / file).write_text(EXPERIMENT)
    (project / "conf/optimizer/mine.yaml").write_text("defaults: [adam]\nlr: 0.05\n")
    found = settings("+experiment=quick")  # above params.yaml, which says 2 epochs
    assert (found["model"]["name"], found["optimizer"]["name"], found["training"]["max_epochs"]) == ("cnn", "sgd", 3)
    assert settings("experiment=sub/deep") == found
    assert settings("+experiment=quick", "optimizer=mine")["optimizer"]["lr"] == 0.05  # the command line wins
    edit(project, experiment="quick")  # beside the 2 epochs
    assert settings() == found | {"training": found["training"] | {"max_epochs": 2}}
    assert "one of quick, sub/deep. Did you mean quick?" in called("compose", "+experiment=quik").stderr
    (project / "conf/experiment/quick.yaml").write_text("training: {max_epochs: 3}\n")
    assert "begin it with the line: # @package _global_" in called("compose").stderr


UNIONS = {
    "trainer.devices=x": "trainer.devices: given 'x'; input should be a valid integer or 'auto'",
    "trainer.devices=-1": "trainer.devices: given -1; input should be greater than 0 or 'auto'",
    "training.early_stopping.patience=[]": "patience: given []; input should be a valid integer or null",
    "gate.minimum={test/f1: [1]}": "gate.minimum.test/f1: given [1]; input should be a valid number or a valid string",
    "model={name: cnn, layers: [4, poool]}": "layers.1: given 'poool'; input should be a valid integer or 'pool'",
    "data.source.mirrors=[{url: 5, unpack: none}]": "mirrors.0.url: given 5; input should be a valid string",
    "data.source.mirrors=[3]": "data.source.mirrors.0: given 3; it holds settings by name",
    "training=5": "training: given 5; it holds settings by name: accumulate, augmentation, batch_size",
}


def test_a_value_that_no_member_of_a_union_takes_is_told_all_that_they_take(called):
    for override, words in UNIONS.items():
        done = called("compose", override)
        assert done.returncode == 1
        assert words in done.stderr


def test_a_text_that_needs_quotes_is_shown_in_quotes_that_a_shell_and_hydra_take(settings, called):
    for text in ("a=b", "a#b", "50%, 60%", "x=1 @y: z", "#1", "it's", 'say "a"', "Größe, ${x}", "(a)", "a=\\", "`a`"):
        done = called("compose", f"registry.limits={text}")
        assert done.returncode == 1
        (typed,) = shlex.split(done.stderr.partition("Type: ")[2])
        assert settings(typed)["registry"]["limits"] == text
    assert "can stand in params.yaml" in called("compose", "gate.minimum={'test/recall/<=50K': 0.5}").stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "scenario: mnist_mlp\n<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> other\n",
            "params.yaml:2 holds a conflict",
        ),
        ("scenario: [mnist_mlp\n", "no valid YAML"),
        ("- a list\n", "it must hold settings"),
        ("seed: 1\n", "names no scenario; the scenarios are images_cnn, mnist_cnn"),
        ("", "names no scenario"),
        ("scenario: mnist_mlp\nseed: ${nowhere.to.be.found}\n", "can't be resolved"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\nscenario: mnist_mlp\n", "no such setting"),
    ],
)
def test_a_broken_params_file_is_named(called, project, text, words):
    (project / "params.yaml").write_text(text)
    done = called("compose")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_conflict_markers_in_the_lock_name_the_cure(called, project):
    lock = project / "params.lock.yaml"
    lock.write_text("<<<<<<< HEAD\n" + lock.read_text())
    done = called("train", "--locked")
    assert done.returncode == 1
    assert "conflict marker" in done.stderr
    assert "ratchet compose" in done.stderr


def test_a_secret_from_the_environment_reaches_no_file(called, project, monkeypatch):
    monkeypatch.setenv("MIRROR_TOKEN", "canary-7f3a9")
    done = called("compose", "data.source.mirrors=[{url: 'https://host/canary-7f3a9/{file}', unpack: none}]")
    assert done.returncode == 1
    assert "${oc.env:MIRROR_TOKEN}" in done.stderr
    assert "canary-7f3a9" not in done.stderr
    by_name = "data.source.mirrors=[{url: 'https://host/${oc.env:MIRROR_TOKEN}/{file}', unpack: none}]"
    done = called("compose", by_name)
    assert done.returncode == 0, done.stderr
    lock = (project / "params.lock.yaml").read_text()
    assert "canary-7f3a9" not in lock
    assert "${oc.env:MIRROR_TOKEN}" in lock


def test_the_command_line_is_instant_and_imports_nothing_heavy(ratchet, project):
    assert "preprocess" in ratchet("--help").stdout
    probe = "import sys; from pipeline.__main__ import main; main(['--help']); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", probe], cwd=project, capture_output=True, text=True, check=True)
    assert not [name for name in ("'torch'", "'mlflow'", "'hydra'", "'pydantic'") if name in loaded.stdout]


def test_a_ranking_has_no_majority_class_to_be_better_than(called):
    done = called("compose", "scenario=movielens_dnn", "gate.over_baseline=true")
    assert done.returncode == 1
    assert "gate.over_baseline" in done.stderr


def test_an_unknown_verb_names_the_nearest(called):
    done = called("trian")
    assert done.returncode == 2
    assert "Did you mean `ratchet train`?" in done.stderr


def test_outside_a_project_it_says_where_to_go(ratchet, tmp_path):
    (tmp_path / "empty").mkdir()
    # `python -m` finds the package by the working folder; a person types the installed command
    done = ratchet("compose", cwd=tmp_path / "empty")
    assert done.returncode == 1
    assert "no Ratchet project" in done.stderr


def test_it_works_from_any_folder_inside_the_project(ratchet, project):
    (project / "docs" / "deep").mkdir(parents=True)
    done = ratchet("compose", cwd=project / "docs" / "deep")
    assert done.returncode == 0, done.stderr
    assert (project / "params.lock.yaml").is_file()


def test_the_readme_lists_the_verbs_that_there_are():
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## The verbs")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| ", section, re.MULTILINE)
    assert listed == list(VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_tells_its_usage(called, verb, capsys):
    with pytest.raises(SystemExit) as ended:
        called(verb, "--help")
    assert ended.value.code == 0
    assert f"usage: ratchet {verb}" in capsys.readouterr().out
