"""A stage knows its code: what it can import is found by reading, and an edit of it, and of nothing else, counts."""

import shutil
import textwrap
from pathlib import Path

import pytest

from pipeline.project.code import PACKAGE, STAGES, Sources, sources

MLP = {"image", "classification", "mlp", "mnist"}
BERT = {"text", "classification", "bert", "reviews"}


def package(folder: Path, **files: str) -> Sources:
    """A package `pipeline` of these files; `models_cnn` is models/cnn.py."""
    for name, text in {"__main__": "", "__init__": "", **files}.items():
        file = folder / "pipeline" / f"{name.replace('_of_', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(textwrap.dedent(text))
    return Sources(folder / "pipeline")


def reached(folder: Path, *components: str, **files: str) -> set[str]:
    found = package(folder, **files).closure("train", components)
    return {name.removeprefix("pipeline.") for name in found} - {"pipeline", "__main__", "train"}


def test_imports_are_followed_wherever_they_stand(tmp_path):
    files = {
        "train": "import pipeline.a\nfrom pipeline import b\nfrom pipeline.c import x\n"
        "from . import d\nfrom .nouns.e import y",
        "a": "if True:\n    import pipeline.f", "b": "", "c": "", "d": "", "f": "",
        "nouns_of_e": "from ..g import z\nfrom . import h", "g": "", "nouns_of_h": "", "z": "", "unused": "",
    }  # fmt: skip
    assert reached(tmp_path, **files) == {"a", "b", "c", "d", "f", "g", "nouns", "nouns.e", "nouns.h"}


def test_an_import_in_a_function_counts_when_something_speaks_of_the_function(tmp_path):
    noun = """
        class Noun:
            def scored(self):
                import pipeline.a
            def drawn(self):
                import pipeline.b
        class Part(Noun):
            def drawn(self):
                import pipeline.c
    """
    files = {"noun": noun, "a": "import pipeline.d", "b": "", "c": "", "d": "noun.drawn", "e": ""}
    assert reached(tmp_path / "1", train="from pipeline import noun", **files) == {"noun"}
    assert reached(tmp_path / "2", train="from pipeline import noun\nprint(noun.Part().scored)", **files) == {
        "noun", "a", "b", "c", "d",
    }  # fmt: skip
    assert reached(tmp_path / "3", train="from pipeline import noun\ngetattr(noun, 'drawn')", **files) == {
        "noun", "b", "c",
    }  # fmt: skip


def test_what_a_library_calls_counts_though_nothing_speaks_of_it(tmp_path):
    train = """
        import library
        class Task(library.Module):
            def on_start(self):
                import pipeline.a
        def __getattr__(name):
            import pipeline.b
    """
    assert reached(tmp_path, train=train, a="", b="") == {"a", "b"}


def test_what_only_a_type_checker_imports_does_not_count(tmp_path):
    train = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pipeline.a\nelse:\n    import pipeline.b"
    assert reached(tmp_path, train=train, a="", b="") == {"b"}


def test_of_what_is_found_by_name_the_chosen_counts(tmp_path):
    files = {
        "train": "import importlib\nimportlib.import_module(f'pipeline.models.{name}')",
        "models_of_mlp": "from pipeline.models import layers",
        "models_of_layers": "",
        "models_of_bert": "",
    }
    assert reached(tmp_path / "1", "mlp", **files) == {"models", "models.mlp", "models.layers"}
    assert reached(tmp_path / "2", "bert", **files) == {"models", "models.bert"}
    assert reached(tmp_path / "3", **files) == set()


def test_what_is_started_as_a_process_of_its_own_counts(tmp_path):
    assert reached(tmp_path, train="command = ['-m', 'pipeline.worker']", worker="") == {"worker"}


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("house") / "pipeline"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def digests(folder: Path, components: set[str]) -> dict[str, str]:
    found = Sources(folder)
    return {stage: found.stage_digest(stage, components) for stage in STAGES}


def changed(folder: Path, components: set[str], name: str, text: str) -> set[str]:
    """The stages that run again when `text` is added to a file."""
    file, before = folder / name, digests(folder, components)
    kept = file.read_text()
    file.write_text(kept + text)
    try:
        return {stage for stage, digest in digests(folder, components).items() if digest != before[stage]}
    finally:
        file.write_text(kept)


@pytest.mark.parametrize("components", [MLP, BERT], ids=["mlp", "bert"])
def test_an_edit_of_any_file_runs_the_stages_again_that_import_it(house, components):
    """Each file by itself: tests/test_scenarios.py sees that what a stage calls is among what it can import."""
    found = Sources(house)
    closures = {stage: set(found.closure(stage, components)) for stage in STAGES}
    assert all(f"pipeline.{stage}" in closures[stage] for stage in STAGES)
    before = digests(house, components)
    for name, module in [(name, found.module(name)) for name in found.files]:
        kept, module.sha256 = module.sha256, "edited"
        again = {stage for stage in STAGES if found.stage_digest(stage, components) != before[stage]}
        module.sha256 = kept
        assert again == {stage for stage in STAGES if name in closures[stage]}, name


def test_a_comment_a_docstring_and_a_line_break_run_nothing_again(house):
    assert changed(house, MLP, "training/task.py", "\n# a comment\n'''a text'''\n\n") == set()
    assert changed(house, MLP, "training/task.py", "\nx = 1\n") == {"train"}
    spaced = (house / "training/task.py").read_text()
    before = digests(house, MLP)
    (house / "training/task.py").write_text(spaced.replace("(self, ", "(\n    self,   # spaced\n    "))
    assert digests(house, MLP) == before
    (house / "training/task.py").write_text(spaced)


def test_who_runs_again_for_whose_edit(house):
    edit = "\nx = 1\n"
    assert changed(house, MLP, "models/bert.py", edit) == set()
    assert "train" in changed(house, BERT, "models/bert.py", edit)
    assert changed(house, MLP, "models/bundle.py", edit) >= {"train", "evaluate"}
    assert changed(house, MLP, "models/network.py", edit) >= {"train", "evaluate"}
    assert "train" in changed(house, MLP, "tracking/lines.py", edit)
    assert changed(house, MLP, "evaluation/classification.py", edit) == {"evaluate"}
    assert "train" not in changed(house, MLP, "kinds/text/encoder.py", edit)
    assert changed(house, MLP, "serving/app.py", edit) <= {"feedback"}
    assert "preprocess" in changed(house, MLP, "datasets/mnist.py", edit)


def test_the_digests_are_those_of_the_installed_package():
    assert sources().closure("train", MLP) == Sources().closure("train", MLP)
