"""A bundle that is damaged, or made by whoever wishes harm, is refused by its name, by all that load one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.models.bundle import DESCRIPTION, Bundle
from pipeline.project.errors import DataError
from tests.support import untrained

KINDS = [*untrained.NETS]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    project = tmp_path_factory.mktemp("bundles") / "project"
    return {kind: project / ".ratchet/served/mnist" / untrained.lay(project, kind) / "bundle" for kind in KINDS}


@pytest.fixture
def altered(bundles: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """altered(kind, change): a copy whose description `change` has changed, in place or by what it returns."""

    def make(kind: str, change: Callable[[Any], Any]) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir()
        for file in bundles[kind].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        changed = change(description)
        (folder / DESCRIPTION).write_text(json.dumps(description if changed is None else changed), encoding="utf-8")
        return folder

    return make


def put(path: str, value: Any) -> Callable[[Any], None]:
    """Changes one value: put("encoder.kind", 3)."""
    *parts, last = path.split(".")

    def change(description: Any) -> None:
        for part in parts:
            description = description[part]
        if value is ...:
            del description[last]
        else:
            description[last] = value

    return change


HOSTILE = [
    ("image", lambda _: [], "it holds a list"),
    ("image", lambda _: "bundle", "it holds a text"),
    ("image", lambda _: {"format": 2}, "net is missing"),
    ("image", put("format", 3), "format 3"),
    *(("image", put(key, ...), f"{key} is missing") for key in ("net", "loss", "encoder", "weights_sha256")),
    ("image", put("data_fingerprint", 3), "data_fingerprint is 3"),
    ("image", put("weights_sha256", ["a"]), "weights_sha256 is ['a']"),
    ("image", put("net", []), "net is []"),
    ("image", put("net.name", 7), "net.name is 7"),
    ("image", put("net.name", "../../evil"), "net.name is '../../evil'"),
    ("image", put("net.name", "resnet"), "resnet"),
    ("image", put("net.name", "network"), "is no net"),
    ("image", put("net.widths", [-4]), "negative dimension"),
    ("image", put("net.widths", [1 << 30]), "net.1."),
    ("image", put("net.widths", [10**30]), "bundle.json"),
    ("image", put("net.widths", "wide"), "bundle.json"),
    ("image", put("net.widths", ...), "widths"),
    ("image", put("net.activation", "explode"), "explode"),
    ("image", put("net.dropout", 7), "bundle.json"),
    ("image", put("encoder.kind", "sound"), "encoder.kind is 'sound'"),
    ("image", put("encoder.kind", {}), "encoder.kind is {}"),
    ("image", put("encoder.kind", "text"), "encoder.shape"),
    ("image", put("encoder.task", "magic"), "encoder.task is 'magic'"),
    ("image", put("encoder.labels", []), "labels"),
    ("image", put("encoder.labels", [1, 2]), "labels"),
    ("image", put("encoder.labels", ["a", "b"]), "weight"),
    ("image", put("encoder.shape", [1, 0, 28]), "encoder.shape"),
    ("image", put("encoder.shape", [1, 1 << 30, 1 << 30]), "encoder.shape"),
    ("image", put("encoder.shape", [True, 28, 28]), "encoder.shape"),
    ("image", put("encoder.scaling", {"multiply": "x"}), "encoder"),
    ("image", put("loss", "binary"), "weight"),
    ("image", put("note", float("nan")), "JSON"),
    ("table", put("encoder.columns", [{}]), "bundle.json"),
    ("table", put("encoder.columns", 3), "bundle.json"),
    ("regression", put("encoder.target", ...), "target"),
    ("behaviour", put("encoder.titles", ["one"]), "titles"),
    ("behaviour", put("encoder.window", -1), "bundle.json"),
    ("behaviour", put("net.half_lives", ["x"]), "bundle.json"),
    ("text", put("encoder.tokenizer", "{}"), "bundle.json"),
    ("text", put("encoder.architecture.num_hidden_layers", 1 << 40), "num_hidden_layers"),
    ("text", put("encoder.architecture.model_type", "nothing"), "nothing"),
    ("text", put("encoder.architecture", []), "bundle.json"),
]


@pytest.mark.parametrize(("kind", "change", "said"), HOSTILE)
def test_a_description_that_can_not_be_is_refused(altered, kind: str, change: Callable, said: str) -> None:
    with pytest.raises(DataError) as error:
        Bundle.load(altered(kind, change))
    assert DESCRIPTION in str(error.value) or "bundle format" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_as_it_was_made_is_taken(bundles: dict[str, Path], kind: str) -> None:
    assert Bundle.load(bundles[kind]).digest == bundles[kind].parent.name


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\udcff", ""])
def test_a_file_that_is_no_json_is_refused(altered, content: str) -> None:
    folder = altered("table", lambda _: None)
    (folder / DESCRIPTION).write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=DESCRIPTION):
        Bundle.load(folder)


def test_verbs_refuse_it_without_a_traceback(altered, called, project: Path) -> None:
    folder = altered("table", put("net.widths", [-4]))
    (project / "some.csv").write_text("age\n3\n", encoding="utf-8")
    for verb in (["predict", "some.csv"], ["export", "onnx"]):
        done = called(*verb, "--bundle", str(folder))
        assert (done.returncode, DESCRIPTION in done.stderr, "Traceback" in done.stderr) == (1, True, False), (
            done.stderr
        )
    (project / "models").mkdir(exist_ok=True)
    folder.rename(project / "models/bundle")
    (project / "models/run.json").write_text("{}", encoding="utf-8")
    done = called("register")
    assert (done.returncode, DESCRIPTION in done.stderr) == (1, True), done.stderr
