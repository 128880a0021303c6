"""Each command that Ratchet advises is typed somewhere, or there is a reason why not; some of them are typed here."""

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.faults.advice import SITUATIONS
from pipeline.project.errors import DataError, DiskError
from pipeline.project.files import opening, require_writable
from pipeline.store import processed
from pipeline.training import run
from tests.conftest import REPOSITORY, lean
from tests.support.advice import listed

FLOW = re.compile(r"ratchet [a-z]+|dvc repro( --force)?( [a-z]+| \{\w+\})?|\{.*\}")  # all verbs and stages are tested
INSTALLS = "not typed: it installs a package"
PROSE = "a sentence"
FILL_IN = "not typed as it is: a person fills in a name"
SETTING = "a setting beside the verb that was typed"
GIT = "tests/test_doctor_git.py::test_the_cure_of_a_broken_repository_keeps_all_that_is_there"
LOCKS = "tests/test_doctor_git.py::test_locks_that_a_killed_git_left_are_named_and_those_of_one_at_work_are_not"
DVC = "tests/test_doctor_git.py::test_no_dvc_comes_back_from_git_or_is_made"
TRUST = "tests/test_doctor_git.py::test_a_folder_of_another_user_is_told_with_gits_own_cure"
CACHE = "tests/test_doctor.py::test_what_it_says_to_type_mends_dvc_lock_and_dvcs_cache"
LEDGER = "tests/test_ledger.py::test_"  # as a whole: promotions and ways back
LOOKS = "not typed: it shows something, and alters nothing"

TYPED = {
    # git and DVC
    'git add --all && git commit --message "Start"': GIT,
    "git config user.name {name} && git config user.email {name}@localhost && {commit}": GIT,
    "git init && {first_commit(anew=True)}": GIT,
    "mkdir -p {quoted(aside.parent)} && mv .git {quoted(aside)}": GIT,
    "mv {quoted(config)} {quoted(aside)} && {top} init": GIT,
    "mv {quoted(index)} {quoted(aside)} && {top} reset": GIT,
    "echo {shlex.quote(f'ref: {branch}')} > {quoted(file)}": GIT,
    "rm -f {quoted(place / name)} && git update-ref {shlex.quote(name)} {commit}": GIT,
    "rm {shlex.join(map(str, locks))}": LOCKS,
    "git config --global --add safe\\.directory .+": TRUST,
    "git does not trust this folder, for another user owns it": PROSE,
    "git -C {quoted(place.parent)}": "a part of others: the repository begins above the project",
    "git -C {quoted(place.parent)} fsck --full": LOOKS,
    "git checkout HEAD -- .dvc": DVC,
    "dvc init": DVC,
    "dvc init --subdir": "not typed: as `dvc init`, where the repository begins above the project",
    "unset GIT_DIR GIT_WORK_TREE": "not typed: it is for the person's own shell",
    "time git status": LOOKS,
    "apt-get install git": INSTALLS,
    "git checkout HEAD -- {DVC_LOCK}": CACHE,
    "rm {DVC_LOCK}": "row 42: dvc.lock damaged in the commit too",
    "{away} && dvc repro": "row 42: dvc.lock damaged in the commit too",
    "git add {path}": "not typed: a person edits the file first",
    "git can't be run: {error.strerror}": PROSE,
    "git did not answer within {PATIENCE} seconds": PROSE,
    "git ended with {done.returncode}": PROSE,
    "git log": LOOKS,
    "git pull && make install": "not typed: a newer Ratchet has to be there; git pull keeps what is here",
    "git fetch --all": "not typed: what it fetches another has to push",
    "git checkout {known[:12]}": "not typed: git itself refuses where it would overwrite anything",
    "git checkout {tags['git.commit']}": "not typed: git itself refuses where it would overwrite anything",
    # DVC's cache and what lies in it
    "cp {quoted(database)} {quoted(free(Path(f'{database}.before')))} && {typed}": "not typed: as `mlflow db upgrade`",
    "install -m 444 {quoted(copy)} {quoted(file)}": CACHE,
    "mkdir -p {shlex.join(map(str, folders))}": "row 42: a hole in the cache, the source is away",
    "rm -f {quoted(file)} && dvc repro {stage}": "row 42: flipped bits in the cache and the project",
    "dvc pull {path}": "not typed: it needs a remote, and only adds",
    "dvc pull data/feedback": "not typed: it needs a remote, and only adds",
    "rm -r {PROCESSED} && dvc checkout --force {PROCESSED}": "row 42: altered prepared data",
    "rm -r {paths.BUNDLE} && dvc checkout --force {paths.BUNDLE}": "row 42: altered weights, evaluated",
    "mv {RAW} {RAW}.altered && dvc repro download": "row 42: edited raw data, the source is away",
    # what is kept in .ratchet
    "rm -r {quoted(path.parent)}": "tests/test_advice.py::test_a_damaged_fold_goes_and_nothing_else",
    "rm -r {quoted(spec.parent)}": "tests/test_advice.py::test_a_damaged_fold_goes_and_nothing_else",
    "rm -r {quoted(file.parent)}": "row 42: damaged best weights",
    "rm {quoted(file)}": "row 42: a checkpoint cut off",
    "rm {quoted(path)}": "not typed: the checkpoint that would have run code",
    "rm -r {quoted(folder(run_id))}": "row 42: a journal without a run",
    "rm -r {shlex.join(map(str, found[:SHOWN]))}": "tests/test_doctor.py::test_leftovers_of_killed_processes_are_notes",
    "rm {quoted(file)} && ratchet sync": "row 42: no offset",
    "less {quoted(file)}": LOOKS,
    "less {quoted(journal_file(run_id))}": LOOKS,
    "ratchet doctor --deep": LOOKS,
    # the tracking server
    "MLFLOW_TRACKING_URI={shlex.quote(uri)} {command}": "row 42: a deleted experiment",
    "mlflow experiments restore --experiment-id {found.experiment_id}": "row 42: a deleted experiment",
    "mkdir {aside} && mv {shlex.join((str(file) for file in beside if file.exists()))} {aside}": "row 42: no database",
    "{put_aside(database)} && rm -f .ratchet/journal/*/{sync.beside('', 'shipped.json').name} && ratchet sync": (
        "row 42: no database"
    ),
    "mlflow db upgrade {address}": "not typed: it needs a database that an older MLflow made; a copy is made before",
    "dvc repro --force register && ratchet promote": "not typed: as `dvc repro && ratchet promote`, the first register",
    "  dvc repro && ratchet promote": "tests/test_own.py::test_",
    "dvc repro && ratchet promote": "tests/test_pipeline.py::test_",
    "grep -l {mlflow_id} .ratchet/journal/*/shipped-*.json | xargs rm && ratchet sync": "tests/test_tracking.py::test_",
    "MLFLOW_TRACKING_URI={redact(client.tracking_uri)} mlflow runs restore --run-id {mlflow_id}": (
        "tests/test_tracking.py::test_"
    ),
    "MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id {experiment}": "row 42: a deleted experiment",
    "ratchet sync && dvc repro && ratchet promote": "tests/test_moved.py::test_",
    "ratchet register && ratchet promote": "tests/test_moved.py::test_",
    "dvc repro && ratchet promote'}": "tests/test_moved.py::test_",
    "rm -rf .venv && make install": "not typed: it installs everything anew",
    "ratchet rollback --to {champion}": LEDGER,
    "ratchet rollback --to {version}": LEDGER,
    "ratchet promote --version {alias}": LEDGER,
    "ratchet promote --version {target}": LEDGER,
    "ratchet promote: could not decide: {redact(str(error))}": PROSE,
    # the machine
    "chmod u+rwx {shown}": "tests/test_advice.py::test_a_file_in_a_folders_place_and_a_closed_folder_are_opened",
    "mv {shown} {quoted(free(Path(f'{place}.file')))}": (
        "tests/test_advice.py::test_a_file_in_a_folders_place_and_a_closed_folder_are_opened"
    ),
    "sudo chown -R {os.getuid()} {shown}": "not typed: it needs sudo",
    "findmnt --target {shown}": LOOKS,
    "du -xsh .ratchet/* .dvc/cache data models mlartifacts": LOOKS,
    "nvidia-smi": LOOKS,
    "nvidia-smi says: {(done.stderr or done.stdout).strip()[:300]}": PROSE,
    'python -c "import torch; torch.cuda.init()"': LOOKS,
    "make install": INSTALLS,
    "make install PYTHON=python3.11": INSTALLS,
    'pip install "{wanted}"': INSTALLS,
    'pip install --force-reinstall "torch>=2.11,<3"': INSTALLS,
    'pip install --force-reinstall "{name}!=2.6.2,!=2.6.3"': INSTALLS,
    "pip install 'ratchet-ml[onnx]'": INSTALLS,
    "pip install 'ratchet-ml[sweep]'": INSTALLS,
    "pip install 'ratchet-ml[{EXTRAS[launcher]}]'": INSTALLS,
    "pip install huggingface_hub": INSTALLS,
    "pip install {error.name}": INSTALLS,
    "pip install {package}": INSTALLS,
    "pip can't fetch {package}; it says:\n{last_lines(failure) or 'nothing'}": PROSE,
    "pip had not fetched it after {PIP_SECONDS} seconds": PROSE,
    # verbs with arguments
    "ratchet feedback --export && dvc repro": "tests/test_labels.py::test_",
    "ratchet feedback --retrain": "tests/test_circle.py::test_",
    "ratchet feedback: error: {redact(str(error))}": PROSE,
    "ratchet init --data {shlex.quote(source.folder)}": "tests/test_folders.py::test_",
    "ratchet init --data {quoted(path)} --target COLUMN": FILL_IN,
    "ratchet init --kind images with its folder": FILL_IN,
    "--task classification, or name another column": SETTING,
    "--task regression": SETTING,
    "date, format: '{form}'}": "tests/test_dates.py::test_init_says_how_to_choose_and_preprocess_obeys",
    "python -m zipfile -e {quoted(path)} unpacked, then: ratchet init --data unpacked/FILE": FILL_IN,
    "tar -xf {quoted(path)}, then give the file that it held": FILL_IN,
    "pip install 'ratchet-ml[excel]' (in a checkout: pip install -e '.[excel]'), or save the sheet as CSV": INSTALLS,
    "ratchet compose && ratchet promote": "tests/test_gate.py::test_",
    (
        "ratchet predict: warning: {self.left} records have no prediction; {self.unusable} lists them with the reason. "
        "The first: {self.first}"
    ): PROSE,
    "ratchet init --data FOLDER": FILL_IN,
    "ratchet init {shlex.join(arguments)}": "a comment in params.yaml: how it was made",
    "ratchet adopt {study.study_name}{which}": "tests/test_adopt.py::test_",
    "ratchet sweep …": FILL_IN,
    "ratchet reproduce models:/{model}/N": FILL_IN,
    "ratchet runs --all": "tests/test_runs.py::test_",
    "ratchet runs: error: {redact(str(error))}": PROSE,
    "ratchet runs{study} --all": "tests/test_runs.py::test_",
    "ratchet train --fresh": "tests/test_training.py::test_",
    "ratchet {verb}: error: {redact(message)}": PROSE,
    "ratchet {verb}": PROSE,
    "ratchet serve {cure}": "not typed: another port, or an address of this machine",
    "ratchet serve: champion and token file are always read anew; other settings need a restart": PROSE,
    "chmod u+w {shlex.quote(path)}": "not typed: of the store's own file",
    "ratchet serve 'serving.hosts=[NAME]'": FILL_IN,
    "ratchet serve: the watcher ended with {watcher.returncode}; another one starts": PROSE,
    "ratchet serve: {problem}": PROSE,
    "openssl rand -hex 32 > {quoted(token)}": "not typed: the file does not exist, so nothing is overwritten",
    "openssl rand -hex 32 > {file}": "not typed: of an empty file; a token in it is kept",
    "rm -r {quoted(place)}": "not typed: a copy of a version, which is fetched again",
    "export NAME=VALUE": FILL_IN,
    "sweep.sampler=tpe": SETTING,
    "sweep.sampler=tpe, or sweep.sampler=gp": SETTING,
    "sweep.sampler=tpe, or a range(low, high, step) in place of the interval": SETTING,
    "sweep.study={name}-2": SETTING,
    "model.norm=layer, or trainer.devices=1": SETTING,
    "trainer.devices={there}": SETTING,
    "trainer=cpu, or trainer=auto": SETTING,
    "number, category, date or ignore}": SETTING,
    "application/json": "a header",
    "time (UTC)": PROSE,
    "make a version again from its commit and data, and compare": PROSE,
    "make the bundle a version in MLflow's registry, alias challenger": PROSE,
}


def test_no_advice_is_left_out():
    """A new one is added above with the test that types it where it is said, or with the reason why none can."""
    advised = {one: name for name, all_ in listed().items() for one in all_ if not FLOW.fullmatch(one)}
    assert {one: advised[one] for one in sorted(advised.keys() - TYPED.keys())} == {}
    assert TYPED.keys() - advised.keys() == set(), "no longer advised"


def test_those_that_type_it_are_there():
    for where in set(TYPED.values()):
        if where.startswith("row 42: "):
            assert where.removeprefix("row 42: ") in SITUATIONS
        elif where.startswith("tests/"):
            file, _, name = where.partition("::")
            assert f"def {name}" in (REPOSITORY / file).read_text(), where


def type_in(project: Path, error: Exception | str) -> None:
    command = str(error).partition("Type: ")[2].partition("\n")[0].partition("   (")[0]
    done = subprocess.run(["bash", "-c", command], cwd=project, env=lean(), capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def test_nothing_that_destroys_is_advised():
    """DVC's settings and cache, git's changes and history, and forced removals of more than one thing."""
    dvc, git = (
        r"dvc (init (-f|--force)|gc|destroy|checkout --force($| &))",
        "git (reset --hard|clean|push (-f|--force))",
    )
    several = r"rm (?!-f \.ratchet/journal/\*/{sync)[^&]*\*"  # but for what says how far runs are shipped
    never = re.compile(f"{dvc}|{git}|{several}")
    found = [one for all_ in listed().values() for one in all_ if never.search(one)]
    assert found == []


def test_a_damaged_fold_goes_and_nothing_else(tmp_path):
    fold, other = tmp_path / "my folds" / "0", tmp_path / "my folds" / "1" / "spec.json"
    for folder in (fold, other.parent):
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text('{"fingerprint": "other"}')
    with pytest.raises(DataError) as refused:
        processed.load_spec(fold)
    type_in(tmp_path, refused.value)
    assert not fold.exists()
    assert other.is_file()


def test_a_checkpoints_place_that_says_nothing_is_moved_aside(tmp_path):
    """Not removed: its checkpoints are hours of work."""
    place = tmp_path / "my checkpoints"
    place.mkdir()
    for name in ("run.json", "00000001-abc.ckpt"):
        (place / name).write_text("{")
    with pytest.raises(DataError) as refused:
        run.kept(place / "run.json")
    type_in(tmp_path, refused.value)
    assert not place.exists()
    assert (tmp_path / "my checkpoints.damaged/00000001-abc.ckpt").is_file()


def test_a_file_in_a_folders_place_and_a_closed_folder_are_opened(tmp_path):
    folder = tmp_path / "anna's data" / "models"
    folder.parent.write_text("mine")
    for _ in range(2):
        with pytest.raises(DiskError) as refused:
            require_writable(folder)
        type_in(tmp_path, refused.value)
        require_writable(folder)
        folder.parent.write_text("mine")
    assert [one.read_text() for one in sorted(tmp_path.glob("*.file*"))] == ["mine", "mine"]
    closed = tmp_path / "anna's place"
    closed.mkdir(mode=0o500)
    type_in(tmp_path, f"Type: {opening(closed / 'below')}")
    assert closed.stat().st_mode & 0o700 == 0o700
