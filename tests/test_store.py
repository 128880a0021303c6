"""data/processed: read back only if it is byte for byte what preprocess wrote."""

import os
from pathlib import Path

import pytest

from pipeline.project.errors import DataError
from pipeline.store import processed
from tests.conftest import Ratchet, lay
from tests.support import digits


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_a_flipped_bit_is_refused_though_mode_and_time_are_the_same(project: Path, called: Ratchet, name: str) -> None:
    lay(project, digits.idx_files())
    assert called("preprocess").returncode == 0
    folder = project / "data/processed"
    whole = processed.load_split(name, folder=folder)
    assert {key: str(tensor.dtype) for key, tensor in whole.items()} == {
        "inputs": "torch.uint8",
        "targets": "torch.int64",
        "rows": "torch.int64",
    }
    described = processed.load_spec(folder)
    path = folder / f"{name}.safetensors"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=f"{name}.safetensors is not what preprocess wrote") as refused:
        processed.load_split(name, folder=folder)
    assert described["splits"][name]["sha256"] in str(refused.value)
    assert "dvc repro --force preprocess" in str(refused.value)
    path.unlink()
    with pytest.raises(DataError, match=f"{name}.safetensors is missing"):
        processed.load_split(name, described, folder)


def test_an_altered_encoder_or_spec_is_refused(project: Path, called: Ratchet) -> None:
    lay(project, digits.idx_files())
    assert called("preprocess").returncode == 0
    folder = project / "data/processed"
    assert processed.load_encoder(folder)["shape"] == [1, 28, 28]
    encoder = folder / "encoder.json"
    encoder.write_text(encoder.read_text().replace("0.0", "0.5"))
    with pytest.raises(DataError, match=r"encoder.json is not what preprocess wrote"):
        processed.load_encoder(folder)
    path = folder / "spec.json"
    for content, reason in [
        (path.read_text().replace('"in": 1500', '"in": 1501'), "spec.json is not what preprocess wrote"),
        ("[1, 2]", "spec.json is not what preprocess wrote"),
        ("{", "spec.json is damaged"),
    ]:
        path.write_text(content)
        with pytest.raises(DataError, match=reason):
            processed.load_spec(folder)
    path.unlink()
    with pytest.raises(DataError, match="Type: dvc repro preprocess"):
        processed.load_spec(folder)
