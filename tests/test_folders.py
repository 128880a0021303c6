"""ratchet download of a person's own folder, of encoders and installed files, and of what an earlier scenario left."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

from pipeline.fetch import folders, hub
from tests.conftest import Ratchet, use
from tests.support import digits

ENCODER = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": save({"a": np.zeros(3, np.float32)})}
CSV = {"name": "csv", "separator": ",", "encoding": "utf-8", "header": True, "skip_lines": 0}


@pytest.fixture
def pictures(project: Path) -> Path:
    """A folder of class folders, beside the project."""
    folder = project.parent / "pet pictures"
    for name, content in {
        "cat/1.png": b"cat",
        "cat/2 ü.png": b"cat 2",
        "dog/more/1.png": b"dog",
        "dog/0.png": b"",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / ".DS_Store").write_bytes(b"comes and goes")
    return folder


def choose(project: Path, kind: str, scenario: str, data: dict[str, object], **more: object) -> None:
    params = {"scenario": scenario, "data": {"kind": kind, "name": "own", **data}, **more}
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def own_folder(project: Path, folder: Path) -> None:
    files = folders.sums(folder)
    source = {"folder": str(folder), "files": len(files), "sha256": folders.digest_of(files)}
    choose(project, "images", "images_cnn", {"source": source})


def own_text(project: Path, source: dict[str, object], **more: object) -> None:
    prepare = {"format": CSV, "text": "text", "target": "label"}
    choose(project, "text", "text_bert", {"source": source, "prepare": prepare}, **more)


def own_encoder(project: Path, encoder: str) -> None:
    (project.parent / "notes.csv").write_bytes(b"text,label\n")
    mirrors = [{"url": f"file:{project.parent}/{{file}}", "unpack": "none"}]
    source = {"files": digits.sums({"notes.csv": b"text,label\n"}), "mirrors": mirrors}
    own_text(project, source, pretrained={"name": "hub", "path": encoder})


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def held(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_copied_as_it_is(project: Path, called: Ratchet, pictures: Path) -> None:
    own_folder(project, pictures)
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert held(project / "data/raw") == {
        name: content for name, content in held(pictures).items() if name != ".DS_Store"
    }
    assert done.stdout.count("verified") == 4

    (project / "data/raw/cat/1.png").write_bytes(b"altered")
    before = (project / "data/raw/dog/0.png").stat().st_mtime_ns
    assert called("download").returncode == 0
    assert (project / "data/raw/cat/1.png").read_bytes() == b"cat"
    assert (project / "data/raw/dog/0.png").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["altered", "more", "fewer", "renamed", "gone"])
def test_a_folder_that_has_changed_since_init_is_refused(project, called, pictures, change) -> None:
    own_folder(project, pictures)
    assert called("download").returncode == 0
    before = held(project / "data/raw")
    match change:
        case "altered":
            (pictures / "cat/1.png").write_bytes(b"dog")
        case "more":
            (pictures / "cat/3.png").write_bytes(b"cat")
        case "fewer":
            (pictures / "cat/1.png").unlink()
        case "renamed":
            (pictures / "cat/1.png").rename(pictures / "dog/1.png")
        case "gone":
            shutil.rmtree(pictures)
    refused = called("download")
    assert refused.returncode == 1
    if change == "gone":
        assert f"{pictures} can't be read: No such file" in refused.stderr
    else:
        assert "has changed since `ratchet init`" in refused.stderr
        assert f"type: ratchet init --data '{pictures}'" in refused.stderr
    assert held(project / "data/raw") == before, "refused before anything is touched"


@pytest.mark.parametrize("odd", ["link to a file", "link to a folder", "pipe"])
def test_links_and_devices_in_a_folder_are_refused_by_name(project, called, pictures, odd) -> None:
    own_folder(project, pictures)
    if odd == "pipe":
        os.mkfifo(pictures / "cat/odd")
    else:
        (pictures / "cat/odd").symlink_to("/etc/passwd" if odd == "link to a file" else "/etc")
    refused = called("download")
    assert refused.returncode == 1
    assert f"{pictures / 'cat/odd'}' is a link, a device" in refused.stderr
    assert not (project / "data/raw").exists()


def test_data_raw_is_no_source_of_itself(project: Path, called: Ratchet) -> None:
    own = lay(project / "data/raw/pets", {"1.png": b"cat"})
    for folder in (own, project / "data/raw", project):
        own_folder(project, folder)
        refused = called("download")
        assert refused.returncode == 1
        assert f"{folder} can't be a source of the data" in refused.stderr
    mirrors = [{"url": f"file:{own}/{{file}}", "unpack": "none"}]
    use(project, digits.idx_files(), mirrors=mirrors)
    assert "can't be a source of the data" in called("download").stderr
    assert held(own) == {"1.png": b"cat"}


def test_what_an_earlier_scenario_left_is_removed_and_nothing_else(project: Path, called: Ratchet) -> None:
    outside = lay(project.parent / "outside", {"kept": b"kept"})
    raw = project / "data/raw"
    lay(raw / "encoder/deep", {"config.json": b"{}"})
    lay(raw / next(iter(digits.idx_files())), {"in a folder of a file's name": b""})
    (raw / "link").symlink_to(outside)
    (project / "data/beside").write_bytes(b"kept")
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert {path.relative_to(raw).as_posix() for path in raw.rglob("*")} == digits.idx_files().keys()
    assert "removed from data/raw, since the settings don't name them: encoder/deep/config.json, link, " in done.stderr
    assert "(3 files)" in done.stderr
    assert held(outside) == {"kept": b"kept"}
    assert (project / "data/beside").read_bytes() == b"kept"
    assert "removed" not in called("download").stderr


def test_an_installed_package_gives_a_file_and_its_first_line_can_be_left_out(project: Path, called: Ratchet) -> None:
    package = Path(importlib.util.find_spec("sklearn").submodule_search_locations[0])
    whole = (package / "datasets/data/breast_cancer.csv").read_bytes()
    files = {"whole.csv": whole, "rows.csv": whole.partition(b"\n")[2]}
    path = "sklearn/datasets/data/breast_cancer.csv"
    members = {
        name: {"path": path, "unpack": how} for name, how in [("whole.csv", "none"), ("rows.csv", "without_first_line")]
    }
    source = {"files": digits.sums(files), "mirrors": [{"installed": "scikit-learn", "members": members}]}
    own_text(project, source, pretrained={"name": "hub", "path": str(lay(project.parent / "encoder", ENCODER))})
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert {name: held(project / "data/raw")[name] for name in files} == files


def test_a_local_encoder_is_copied(project: Path, called: Ratchet) -> None:
    folder = lay(project.parent / "encoder", ENCODER | {"README.md": b"not needed"})
    own_encoder(project, str(folder))
    done = called("download")
    assert done.returncode == 0, done.stderr
    assert held(project / "data/raw/encoder") == ENCODER
    assert held(project / "data/raw").keys() == {"notes.csv", *(f"encoder/{name}" for name in ENCODER)}
    assert done.stdout.count("verified") == 4


def test_an_encoder_that_can_not_be_used_is_refused_with_what_to_do(project: Path, called: Ratchet) -> None:
    folder = lay(project.parent / "encoder", {"config.json": b"{}", "pytorch_model.bin": b""})
    own_encoder(project, str(folder))
    refused = called("download")
    assert refused.returncode == 1
    assert f"the encoder {folder} has no tokenizer.json, model.safetensors" in refused.stderr
    assert "safe_serialization=True" in refused.stderr

    lay(project.parent / "pointer", ENCODER | {"model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"})
    own_encoder(project, str(project.parent / "pointer"))
    assert "git lfs pull" in called("download").stderr

    own_encoder(project, str(project.parent / "nowhere"))
    assert "there is no such folder" in called("download").stderr
    assert not (project / "data/raw").exists()


def test_an_encoder_by_name_comes_from_the_hub_or_its_cache(project: Path, ratchet: Ratchet) -> None:
    """As huggingface_hub keeps what it once fetched, so that it needs no network."""
    cached = project.parent / "home/hub/models--owner--tiny"
    lay(cached / "refs", {"main": b"0" * 40})
    lay(cached / f"snapshots/{'0' * 40}", ENCODER)
    offline = {"HF_HOME": str(project.parent / "home"), "HF_HUB_OFFLINE": "1"}
    own_encoder(project, "owner/tiny")
    done = ratchet("download", env=offline)
    assert done.returncode == 0, done.stderr
    assert held(project / "data/raw/encoder") == ENCODER
    assert json.loads((project / "data/raw/encoder/config.json").read_bytes()) == {}

    own_encoder(project, "owner/absent")
    refused = ratchet("download", env=offline)
    assert refused.returncode == 1
    assert "Hugging Face does not give owner/absent" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert set(hub.FILES) == ENCODER.keys()
