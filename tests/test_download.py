"""ratchet download: against mirrors that serve, cut, alter, lie and attack."""

import gzip
import io
import os
import re
import shutil
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.fetch import web
from tests.conftest import Ratchet, use
from tests.support import digits
from tests.support.servers import IMAGES, Server, cut_always, cut_once, flip, well


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def start(fault: Callable[[bytes, int], bytes] = well, **replaced: bytes) -> Server:
        files = {f"/{name}.gz": gzip.compress(content, mtime=0) for name, content in digits.idx_files().items()}
        server = Server(files | {f"/{IMAGES}.gz": content for content in replaced.values()}, fault)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/{{file}}"


def web_mirror(url: str) -> dict[str, str]:
    return {"url": url, "unpack": "gzip"}


def folder_mirror(project: Path) -> dict[str, str]:
    return {"url": f"file:{project.parent}/mirror/{{file}}", "unpack": "none"}


def raw(project: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (project / "data/raw").iterdir()}


def leftovers(project: Path) -> list[str]:
    return sorted(path.name for path in (project / ".ratchet/downloads").iterdir() if path.name != "lock")


def test_a_folder_serves_and_verified_files_are_kept(project: Path, ratchet: Ratchet) -> None:
    done = ratchet("download")
    assert (done.returncode, done.stdout.count("verified")) == (0, 4)
    assert raw(project) == digits.idx_files()
    assert leftovers(project) == []

    before = {path.name: path.stat().st_mtime_ns for path in (project / "data/raw").iterdir()}
    altered = project / "data/raw" / IMAGES
    altered.write_bytes(flip(altered.read_bytes(), 1))
    again = ratchet("download")
    assert again.returncode == 0
    assert "fetched anew" in again.stderr
    assert raw(project) == digits.idx_files()
    after = {path.name: path.stat().st_mtime_ns for path in (project / "data/raw").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {IMAGES}


@pytest.mark.parametrize("fault", [well, cut_once])
def test_a_server_serves_and_a_dropped_connection_is_resumed(project, ratchet, serve, fault) -> None:
    server = serve(fault)
    use(project, digits.idx_files(), mirrors=[web_mirror(server.url())])
    done = ratchet("download")
    assert done.returncode == 0, done.stderr
    assert raw(project) == digits.idx_files()
    assert leftovers(project) == []
    starts = [start for path, start in server.asked if IMAGES in path]
    whole = len(server.files[f"/{IMAGES}.gz"])
    assert starts == ([0] if fault is well else [0, whole * 6 // 10])


def test_a_later_run_goes_on_where_an_earlier_one_was_cut_off(project, called, serve) -> None:
    server = serve(lambda content, times: content[: len(content) // 2] if times <= 3 else content)
    use(project, digits.idx_files(), mirrors=[web_mirror(server.url())])
    assert called("download").returncode == 1
    assert [name.startswith(IMAGES) for name in leftovers(project)] == [True]
    assert called("download").returncode == 0
    assert raw(project) == digits.idx_files()
    starts = [start for path, start in server.asked if IMAGES in path]
    assert starts == sorted(set(starts))
    assert len(starts) == 4


BAD = {
    "always cut": (cut_always, None, "the connection dropped after"),
    "a flipped byte": (flip, None, "SHA-256|gzip"),
    "another file": (well, digits.idx_files()[IMAGES].replace(b"\xff", b"\xfe"), r"expected [\d,]+ bytes, SHA-256"),
    "a bomb": (well, bytes(10**8), "more than the expected"),
    "too large": (well, os.urandom(2 * 10**6), "the right file has at most"),
    "no gzip": (well, "raw", "gzip"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_mirror_is_refused_and_the_next_one_tried(project, called, serve, bad) -> None:
    fault, content, reason = BAD[bad]
    packed = {} if content is None else {"it": b"no" if content == "raw" else gzip.compress(content, mtime=0)}
    mirror = web_mirror(serve(fault, **packed).url())

    use(project, digits.idx_files(), mirrors=[mirror])
    refused = called("download")
    assert refused.returncode == 1
    assert re.search(reason, refused.stderr), refused.stderr
    assert digits.sums(digits.idx_files())[IMAGES]["sha256"] in refused.stderr
    assert "Traceback" not in refused.stderr
    assert raw(project).keys() == digits.idx_files().keys() - {IMAGES}

    use(project, digits.idx_files(), mirrors=[mirror, folder_mirror(project)])
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert raw(project) == digits.idx_files()
    assert leftovers(project) == []


def test_without_network_each_mirror_is_listed_with_its_reason(project, ratchet, serve) -> None:
    gone = serve().url("gone/{file}")
    closed, folder = closed_port(), {"url": "file:/nowhere/{file}", "unpack": "none"}
    members = {name: {"path": f"in/{name}", "unpack": "none"} for name in digits.idx_files()}
    package = {"package": "absent==1.0", "sha256": "0" * 64, "members": members}
    archive = {"archive": closed.replace("{file}", "all.zip"), "members": members}
    installed = [{"installed": name, "members": members} for name in ("ratchet-nowhere", "scikit-learn")]
    use(
        project,
        digits.idx_files(),
        mirrors=[web_mirror(closed), web_mirror(gone), folder, package, archive, *installed],
    )
    done = ratchet("download", env={"PIP_NO_INDEX": "1"})
    assert done.returncode == 1
    report = done.stderr.partition("Tried 7 mirrors:")[2]
    for part in (closed, "Connection refused", gone, "HTTP 404", "no file /nowhere/", "absent==1.0", "pip can't"):
        assert part in report
    assert "ratchet-nowhere is not installed" in report
    assert "as it is installed here, has no file in/" in report
    assert report.partition("absent==1.0")[0].count("Connection refused") == 1, (
        "a server that can't be reached is asked once, not for each file"
    )
    assert "data: {source: {mirrors:" in report, "what to type next"
    assert "Traceback" not in done.stderr
    assert raw(project) == {}


def test_a_variable_in_an_address_is_used_and_never_shown(project, ratchet, serve) -> None:
    server = serve()
    server.files = {path.replace("/", "/canary-7431/"): content for path, content in server.files.items()}
    use(project, digits.idx_files(), mirrors=[web_mirror(server.url("${oc.env:FOLDER}/{file}.gz"))])
    unset = ratchet("download")
    assert unset.returncode == 1
    assert "'FOLDER' not found" in unset.stderr
    wrong = ratchet("download", env={"FOLDER": "canary-9999"})
    assert wrong.returncode == 1
    assert "canary-9999" not in wrong.stderr + wrong.stdout
    right = ratchet("download", env={"FOLDER": "canary-7431"})
    assert right.returncode == 0, right.stderr
    assert "canary" not in right.stderr + right.stdout


def archive_of(files: dict[str, bytes], form: str) -> bytes:
    """An archive with the files in folder in/, written as `tar -C folder .` writes it."""
    made = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"in/{name}", content)
        return made.getvalue()
    with tarfile.open(fileobj=made, mode=f"w:{form}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./in/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize("form", ["zip", "", "gz", "bz2", "xz"])
def test_an_archive_gives_the_files_from_a_server_and_from_a_folder(project, called, serve, form) -> None:
    files = digits.idx_files()
    server = serve(cut_once)
    server.files = {f"/{IMAGES}.archive": archive_of(files, form)}  # its fault is for this name
    members = {name: {"path": f"in/{name}", "unpack": "none"} for name in files}
    use(project, files, mirrors=[{"archive": server.url(f"{IMAGES}.archive"), "members": members}])
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert raw(project) == files
    assert leftovers(project) == []
    assert [start > 0 for _, start in server.asked] == [False, True], (
        "one request, and one that goes on where it was cut"
    )

    shutil.rmtree(project / "data/raw")
    (project.parent / "made").write_bytes(archive_of(files, form))
    use(project, files, mirrors=[{"archive": f"file:{project.parent}/made", "members": members}])
    assert called("download").returncode == 0
    assert raw(project) == files


def test_files_come_from_several_mirrors_and_a_wrong_one_hinders_no_other(project, called) -> None:
    files = digits.idx_files()
    names = sorted(files)
    wrong = files | {names[0]: flip(files[names[0]], 1)}
    (project.parent / "made.zip").write_bytes(archive_of(wrong, "zip"))
    members = {name: {"path": f"in/{name}", "unpack": "none"} for name in names[:3]}
    archive = {"archive": f"file:{project.parent}/made.zip", "members": members}

    use(project, files, mirrors=[archive])
    refused = called("download")
    assert refused.returncode == 1
    assert f"it has no {names[3]}" in refused.stderr
    assert re.search(f"{names[0]}: given [0-9,]+ bytes, SHA-256", refused.stderr)
    assert raw(project).keys() == set(names[1:3])

    use(project, files, mirrors=[archive, folder_mirror(project)])
    assert called("download").returncode == 0
    assert raw(project) == files


def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(web.Unreachable, match="no answer in"):
        web.extend(tmp_path / "part", f"http://127.0.0.1:{silent.getsockname()[1]}/", 10)
    assert not (tmp_path / "part").exists()
