"""A project made by an earlier commit, gone on with by this one: what people have stays readable.

    python -m benchmarks.upgrade COMMIT [FOLDER]

The own code of the commit makes a small project (real DVC, training, registry, sweep) and commits it; then this
code takes its place, as `git pull` does, and every verb is tried on what is there. Prints a line for each; exit code 1
if one of them failed.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ["pipeline", "conf", "hydra_plugins", "dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", "pyproject.toml"]
PARTS += [".dvc/plots", "tests"]
BEFORE = [
    ["dvc", "repro"],
    ["ratchet", "promote"],
    ["ratchet", "sweep", "optimizer.lr=choice(0.002,0.004)", "sweep.n_trials=2", "sweep.sampler=grid"],
    ["ratchet", "sync"],
]
# Tiny raw files as that commit's tests have them, wherever they stand there
RAW = """
import sys
from pathlib import Path
try:
    from tests.support import digits
except ImportError:
    from tests import digits
from tests.conftest import use
use(Path(sys.argv[1]), digits.idx_files())
"""
# Each with a word that its output holds; predict reads the pictures that are laid beside the project
AFTER = [
    (["ratchet", "runs"], "FINISHED"),
    (["ratchet", "history"], "champion"),
    (["ratchet", "lineage", "models:/mnist@champion"], "config hash"),
    (["ratchet", "doctor"], "champion"),
    (["ratchet", "predict", "../picture", "--bundle", "models/bundle"], "predictions"),
    (["ratchet", "predict", "../picture"], "predictions"),
    (["ratchet", "evaluate", "--locked"], "rows"),
    (["ratchet", "register", "--locked"], "version 1"),
    (["ratchet", "adopt"], "config hash"),
    (["ratchet", "reproduce", "models:/mnist@champion"], "match"),
    (["git", "checkout", "params.yaml"], ""),
    (["dvc", "repro"], "→ alias challenger"),
    (["ratchet", "promote"], "does not become champion"),  # its weights are the champion's
    (["ratchet", "sync"], ""),
]


def lay(project: Path, commit: str) -> None:
    """The commit's files, over what is there; a part that it does not have stays away."""
    listed = run(ROOT, ["git", "ls-tree", "--name-only", "-r", commit, "--", *PARTS])[1].split("\n")
    packed = subprocess.run(
        ["git", "archive", commit, *filter(None, listed)], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(project, filter="data")


def run(folder: Path, command: list[str]) -> tuple[int, str]:
    if command[0] == "ratchet":
        command = [sys.executable, "-m", "pipeline", *command[1:]]
    tools = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    quiet = {"DVC_NO_ANALYTICS": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "2"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))}
    done = subprocess.run(command, cwd=folder, env=environment | tools | quiet, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def begin(project: Path, commit: str) -> None:
    project.mkdir(parents=True)
    lay(project, commit)
    made = [sys.executable, "-c", RAW, str(project)]
    code, said = run(project, made)
    assert code == 0, said
    params = project / "params.yaml"
    settings = yaml.safe_load(params.read_text()) | {"model": {"widths": [16]}}
    params.write_text(yaml.safe_dump(settings))
    for words in (["init", "-q"], ["config", "user.name", "A"], ["config", "user.email", "a@localhost"], ["add", "-A"]):
        run(project, ["git", *words])
    run(project, ["git", "commit", "-qm", "Start"])


def tell(command: list[str], code: int, said: str, word: str = "") -> bool:
    wanted = (0, 1) if command[:2] == ["ratchet", "promote"] else (0,)
    good = code in wanted and word in said and "Traceback" not in said
    print(f"{'ok    ' if good else 'FAILED'} {' '.join(command)}", flush=True)
    if not good:
        print("\n".join(f"       {line}" for line in said.strip().splitlines()[-12:]), flush=True)
    return good


def main(commit: str, folder: Path) -> int:
    project = folder / "project"
    begin(project, commit)
    good = all([tell(command, *run(project, command)) for command in BEFORE])
    pictures = folder / "picture"
    pictures.mkdir()
    code, said = run(
        project,
        [
            sys.executable,
            "-c",
            "import sys; from PIL import Image; from safetensors.numpy import load_file; "
            "[Image.fromarray(one[0]).save(f'../picture/{place}.png') for place, one in "
            "enumerate(load_file('data/processed/test.safetensors')['inputs'][:3])]",
        ],
    )
    good &= tell(["three pictures of its test split"], code, said)
    run(project, ["git", "add", "-A"])
    run(project, ["git", "commit", "-qm", "Ran"])
    before = json.loads((project / "models/bundle/bundle.json").read_text())
    for name in ("pipeline", "conf", "hydra_plugins", "tests"):
        subprocess.run(["git", "rm", "-rq", name], cwd=project, check=True)
    lay(project, "HEAD")
    run(project, ["git", "add", "-A"])
    run(project, ["git", "commit", "-qm", "Upgraded"])
    print(f"-- upgraded; its bundle has format {before['format']}", flush=True)
    good &= all([tell(command, *run(project, command), word) for command, word in AFTER])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(
        main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="upgrade-")).resolve())
    )
