"""`make install`, wherever the project lies. Without network: what builds the package is linked into the new .venv."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.conftest import clone, lean

BUILDERS = ("pip", "hatchling", "editables", "packaging", "pathspec", "pluggy", "trove_classifiers")


def test_make_installs_into_a_folder_with_spaces_and_letters_of_any_alphabet(tmp_path, project_files):
    project = clone(tmp_path / "my projekt é", project_files)
    (project / "requirements.lock").write_text("")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=project, env=lean(), check=True)
    (packages,) = project.glob(".venv/lib/*/site-packages")
    for name in BUILDERS:
        (packages / name).symlink_to(Path(sysconfig.get_path("purelib"), name))
    done = subprocess.run(["make", "install"], cwd=project, env=lean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    script = '.venv/bin/ratchet help && cd / && "$OLDPWD/.venv/bin/ratchet" help'
    shown = subprocess.run(["sh", "-c", script], cwd=project, env=lean(), capture_output=True, text=True)
    assert shown.stdout.count("usage: ratchet VERB") == 2, shown.stderr
