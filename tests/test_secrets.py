"""What must not be known stays unknown: secrets of the environment, in settings, in addresses and on the command line.

They are looked for in every byte that a project, its git history, MLflow and its server leave behind, as they are, in
URLs and in base64. params.yaml is the user's own file: it holds what the user writes there.
"""

import base64
import gzip
import hashlib
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import use
from tests.support import digits, registered, runs, trackers
from tests.support.servers import Server, well


def made(name: str) -> str:
    """The same in every process, and not in this file, which each test's project holds a copy of."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


KEPT = {
    "AWS_SECRET_ACCESS_KEY": f"{made('aws')}/+=q",
    "MLFLOW_TRACKING_PASSWORD": f"{made('mlflow')}/+=q",
    "MLFLOW_TRACKING_TOKEN": made("bearer"),
    "HF_TOKEN": made("hub"),
    "MIRROR_TOKEN": made("mirror"),
}
PASSWORD = made("uri")
ALL = [*KEPT.values(), PASSWORD]


def forms(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield urllib.parse.quote(secret, safe="").encode()
    for before in range(3):  # where in a group of three bytes it begins
        coded = base64.b64encode(b"\0" * before + secret.encode())
        yield coded[(0, 2, 3)[before] : len(coded) // 4 * 4 - 4]


def holders(folder: Path) -> list[str]:
    """Every file with a secret in it, and the secret's form."""
    wanted = [form for secret in ALL for form in forms(secret)]
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(files) > 50
    return [
        f"{file.relative_to(folder)}: {form.decode()}" for file in files for form in wanted if form in file.read_bytes()
    ]


@pytest.fixture
def mirror() -> Iterator[Server]:
    """Answers to nobody without the token."""
    packed = {name: gzip.compress(content, mtime=0) for name, content in digits.idx_files().items()}
    token = KEPT["MIRROR_TOKEN"]
    server = Server({f"/{name}.gz?token={token}": content for name, content in packed.items()}, well)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


STAGES = (["compose"], ["download"], ["feedback", "--bring"], ["preprocess"], ["train"])


def test_nothing_that_is_left_behind_holds_a_secret(project: Path, mirror: Server, tmp_path: Path, empty_database):
    address = mirror.url("{file}.gz?token=${oc.env:MIRROR_TOKEN}")
    use(project, digits.idx_files(), mirrors=[{"url": address, "unpack": "gzip"}])
    (tmp_path / "tmp").mkdir()
    port = trackers.free_port()
    known = KEPT | {"TMPDIR": str(tmp_path / "tmp")}
    away = known | {"MLFLOW_TRACKING_URI": f"http://me:{PASSWORD}@127.0.0.1:9"}
    there = known | {"MLFLOW_TRACKING_URI": f"http://me:{PASSWORD}@127.0.0.1:{port}"}
    said = [registered.good(project, *verb, **away) for verb in STAGES]
    said.append(registered.good(project, "evaluate", **away))
    refused = runs.called(project, "register", **away)
    assert refused.returncode == 1
    assert "can't be used" in refused.stderr
    said.append(refused.stderr)
    with trackers.server(tmp_path / "server", port, empty_database):
        for verb in ("sync", "register", "promote", "lineage", "history", "doctor", "runs"):
            said.append(registered.good(project, verb, **there))
    registered.dvc(project, "commit", "--quiet", "--force", *registered.STAGES)
    registered.git(project, "add", "--all")
    registered.git(project, "commit", "--quiet", "--message", "Ran")
    (project / "said").write_text("\n".join([*said, registered.git(project, "log", "--patch", "--all")]))
    assert "oc.env:MIRROR_TOKEN" in (project / "params.lock.yaml").read_text()
    assert "oc.env:MIRROR_TOKEN" in (project / "said").read_text()
    assert holders(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{PASSWORD}@host/{{file}}",
        f"https://me:{PASSWORD}@host/${{oc.env:FOLDER}}/{{file}}",
        f"https://host/{{file}}?a=b&token={PASSWORD}",
        f"https://host/{{file}}?token=${{oc.env:FOLDER}}{PASSWORD}",
        f"https://host/{{file}}?a=b&auth={PASSWORD}",
        f"https://host/{{file}}#jwt={PASSWORD}",
        f"https://{PASSWORD}{PASSWORD}@host/{{file}}",
        f"https://host/{{file}}?X-Amz-Signature={PASSWORD}",
        f"https://host/{KEPT['HF_TOKEN']}/{{file}}",
    ],
)
@pytest.mark.parametrize("typed", ["in params.yaml", "on the command line"])
def test_a_secret_that_is_written_into_an_address_is_refused_unseen(project: Path, url: str, typed: str):
    lock = project / "params.lock.yaml"
    before = lock.read_bytes()
    mirrors, arguments = [{"url": url, "unpack": "none"}], []
    if typed == "in params.yaml":
        use(project, digits.idx_files(), mirrors=mirrors)
    else:
        arguments = [f"data.source.mirrors=[{{url: '{url}', unpack: none}}]"]
    for verb in ("compose", "train"):
        done = runs.called(project, verb, *arguments, HF_TOKEN=KEPT["HF_TOKEN"])
        assert done.returncode == 1
        assert "${oc.env:" in done.stderr, "what to write instead"
        assert not [secret for secret in ALL if secret in done.stderr + done.stdout]
    assert lock.read_bytes() == before
    (project / "params.yaml").unlink()  # the user's own
    assert holders(project) == []


def test_an_error_of_the_server_does_not_show_its_password(project: Path):
    for verb in ("promote", "lineage", "history", "rollback", "reproduce", "doctor"):
        done = runs.called(project, verb, MLFLOW_TRACKING_URI=f"http://me:{PASSWORD}@127.0.0.1:9")
        assert "127.0.0.1:9" in done.stderr + done.stdout
        assert PASSWORD not in done.stderr + done.stdout
