"""Whoever may read a folder may read what Ratchet writes there: the umask alone decides."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.project.files import follow_umask, write_atomically, write_text

SMALL = ["model.widths=[16]", "training.max_epochs=4", "trainer.threads=1", "trainer=cpu"]


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


@pytest.mark.parametrize(("mask", "expected"), [(0o022, "644"), (0o002, "664"), (0o077, "600")])
def test_files_and_copies_have_the_mode_of_a_new_file(tmp_path, mask, expected):
    weights, text, copy = tmp_path / "weights.safetensors", tmp_path / "text", tmp_path / "tree" / "copy"
    copy.parent.mkdir()
    copy.touch(0o600 if mask != 0o077 else 0o644)
    with umask(mask):
        write_atomically(weights, lambda file: save_file({"a": torch.zeros(2)}, file))
        write_text(text, "a")
        follow_umask(copy.parent)
    assert [mode(path) for path in (weights, text, copy)] == [expected] * 3
    assert list(copy.parent.iterdir()) == [copy]


def test_a_group_can_write_all_that_a_training_and_its_version_are_made_of(prepared, run):
    """Checkpoints, bundle, journal, reports, and what MLflow keeps of them."""
    before = set(prepared.rglob("*"))
    with umask(0o002):
        for verb in (["train", *SMALL], ["evaluate"], ["register"]):
            run(*verb)
    made = [path for path in prepared.rglob("*") if path not in before]
    files = [path for path in made if path.is_file()]
    assert {"weights.safetensors", "pyfunc.py", "journal.jsonl", "predictions.parquet"} <= {path.name for path in files}
    assert {str(path): mode(path) for path in files if mode(path) != "664"} == {}
    assert {mode(path) for path in made if path.is_dir()} == {"775"}
