"""ratchet preprocess: what it stores, what it refuses, and what a kill leaves."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars
import pytest
from safetensors.numpy import load_file

from tests.conftest import Ratchet, lay, lean
from tests.support import digits

Splits = dict[str, tuple[np.ndarray, np.ndarray]]


def stored(project: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (project / "data/processed").iterdir()}


def spec(project: Path) -> dict:
    return json.loads((project / "data/processed/spec.json").read_text())


def copied() -> Splits:
    return {part: (pictures.copy(), labels.copy()) for part, (pictures, labels) in digits.published().items()}


def test_the_published_rows_are_stored_split_and_described(prepared: Path, ratchet: Ratchet) -> None:
    (pictures, labels), (test_pictures, test_labels) = (digits.published()[part] for part in ("train", "test"))
    expected = {
        "train": (pictures[:1000], labels[:1000], np.arange(1000)),
        "val": (pictures[1000:], labels[1000:], np.arange(1000, 1200)),
        "test": (test_pictures, test_labels, np.arange(300)),
    }
    described = spec(prepared)
    for name, (inputs, targets, rows) in expected.items():
        split = load_file(prepared / f"data/processed/{name}.safetensors")
        assert (split["inputs"].dtype, split["targets"].dtype, split["rows"].dtype) == (np.uint8, np.int64, np.int64)
        np.testing.assert_array_equal(split["inputs"], inputs[:, None])
        np.testing.assert_array_equal(split["targets"], targets)
        np.testing.assert_array_equal(split["rows"], rows)
        assert described["splits"][name]["per_class"] == np.bincount(targets, minlength=10).tolist()
        assert described["splits"][name]["rows"] == len(rows)
    assert described["counts"] == {"in": 1500, "kept": 1500, "quarantined": 0}
    assert described["classes"] == [str(digit) for digit in range(10)]
    assert described["statistics"]["mean"] == pytest.approx(pictures[:1000].mean())
    assert described["statistics"]["std"] == pytest.approx(pictures[:1000].std())
    assert polars.read_parquet(prepared / "data/processed/quarantine.parquet").is_empty()

    first = stored(prepared)
    again = ratchet("preprocess")
    assert again.returncode == 0, again.stderr
    assert stored(prepared) == first, "byte-identical on rerun"
    assert re.search(r"val +200 +0", again.stdout)
    assert described["fingerprint"][:12] in again.stdout


@pytest.mark.parametrize(
    ("scaling", "low", "high"), [("unit", 0.0, 1.0), ("symmetric", -1.0, 1.0), ("standard", None, None)]
)
def test_scaling_is_fitted_on_train(project: Path, called: Ratchet, scaling: str, low: float, high: float) -> None:
    lay(project, digits.idx_files())
    assert called("preprocess", f"data.prepare.scaling={scaling}").returncode == 0
    scale = json.loads((project / "data/processed/encoder.json").read_text())["scaling"]
    train = load_file(project / "data/processed/train.safetensors")["inputs"].astype(np.float64)
    train = train * scale["multiply"] + scale["add"]
    if scaling == "standard":
        assert (train.mean(), train.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    else:
        assert (train.min(), train.max()) == (pytest.approx(low), pytest.approx(high))


def test_unusable_rows_are_quarantined_up_to_the_share_that_is_allowed(project: Path, called: Ratchet) -> None:
    splits = copied()
    splits["train"][1][7] = 11
    splits["train"][0][1100] = 0  # in val
    splits["test"][0][3] = 255
    lay(project, digits.idx_files(splits))

    refused = called("preprocess")
    assert refused.returncode == 1
    assert "3 of 1,500 rows (0.20%) can't be used; data.prepare.max_quarantined allows 0.00%" in refused.stderr
    assert "row 7 of train: label 11 is not one of 0 to 9" in refused.stderr
    allowed = re.search(r"set data.prepare.max_quarantined to ([\d.]+)", refused.stderr)[1]
    assert not (project / "data/processed").exists()

    done = called("preprocess", f"data.prepare.max_quarantined={allowed}")
    assert done.returncode == 0, done.stderr
    assert spec(project)["counts"] == {"in": 1500, "kept": 1497, "quarantined": 3}
    kept = {name: split["rows"] for name, split in spec(project)["splits"].items()}
    assert kept == {"train": 999, "val": 199, "test": 299}
    rows = polars.read_parquet(project / "data/processed/quarantine.parquet").rows()
    assert [(split, row) for split, row, _, _ in rows] == [("train", 7), ("val", 1100), ("test", 3)]
    assert rows[0][3] == bytes([11]) + splits["train"][0][7].tobytes()
    assert "blank" in rows[1][2]
    assert "blank" in rows[2][2]
    train = load_file(project / "data/processed/train.safetensors")
    assert train["rows"].tolist() == [*range(7), *range(8, 1000)]
    np.testing.assert_array_equal(train["inputs"][7, 0], splits["train"][0][8])


def row_into_test(splits: Splits) -> None:
    splits["test"][0][4] = splits["train"][0][17]


def row_into_val(splits: Splits) -> None:
    splits["train"][0][1150] = splits["train"][0][17]


def no_seven_in_val(splits: Splits) -> None:
    labels = splits["train"][1]
    labels[1000:][labels[1000:] == 7] = 1


def single_class(splits: Splits) -> None:
    splits["test"][1][:] = 3


def fewer_labels(splits: Splits) -> None:
    splits["train"] = (splits["train"][0], splits["train"][1][:-1])


def smaller_pictures(splits: Splits) -> None:
    splits["test"] = (splits["test"][0][:, :27], splits["test"][1])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (row_into_test, "1 rows stand in two splits, the first of them train row 17 = test row 4"),
        (row_into_val, "1 rows stand in two splits, the first of them train row 17 = val row 1150"),
        (no_seven_in_val, "val has no row of class 7; each split needs all of 0, 1"),
        (single_class, "test has no row of class 0, 1, 2, 4, 5, 6, 7, 8, 9"),
        (fewer_labels, "has 1,200 pictures and .*train-labels-idx1-ubyte 1,199 labels"),
        (smaller_pictures, r"dimensions \[300, 27, 28\].*\s.*expected magic 0x0803, dimensions \['N', 28, 28\]"),
    ],
)
def test_data_that_would_mislead_is_refused(
    project: Path, called: Ratchet, spoil: Callable[[Splits], None], reason: str
) -> None:
    splits = copied()
    spoil(splits)
    lay(project, digits.idx_files(splits))
    refused = called("preprocess")
    assert refused.returncode == 1
    assert re.search(reason, refused.stderr), refused.stderr
    assert not (project / "data/processed").exists()


@pytest.mark.parametrize("length", [0, 3, 15, 5000, None])
def test_a_raw_file_that_is_torn_altered_or_gone_is_named(project: Path, called: Ratchet, length: int | None) -> None:
    files = digits.idx_files()
    lay(project, files)
    path = project / "data/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:length]) if length is not None else path.unlink()
    refused = called("preprocess")
    assert refused.returncode == 1
    assert "data/raw/train-images-idx3-ubyte" in refused.stderr
    expected = (
        "Type: dvc repro download" if length is None else "Type: mv data/raw data/raw.altered && dvc repro download"
    )
    assert expected in refused.stderr

    if length is not None:  # and a torn file that was published so
        lay(project, files | {path.name: files[path.name][:length] or b"?"})
        refused = called("preprocess")
        assert refused.returncode == 1
        assert "is no IDX file of this kind" in refused.stderr


def test_validation_must_leave_rows_to_train_on(project: Path, called: Ratchet) -> None:
    lay(project, digits.idx_files())
    refused = called("preprocess", "data.prepare.validation=1200")
    assert refused.returncode == 1
    assert "data.prepare.validation is 1,200" in refused.stderr
    assert "allowed are 1 to 1,199" in refused.stderr


def killed(project: Path, moment: Callable[[], bool]) -> bool:
    """SIGKILL to a real preprocess at `moment`; whether it came before the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "preprocess"], cwd=project, env=lean(), stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not moment():
        pass
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("before", [False, True])
def test_a_kill_leaves_nothing_or_the_whole(project: Path, ratchet: Ratchet, before: bool, tmp_path: Path) -> None:
    lay(project, digits.idx_files())
    assert ratchet("preprocess").returncode == 0
    whole = stored(project)
    data, processed = project / "data", project / "data/processed"
    kills = 0
    for name in ("encoder.json", "train.safetensors", "spec.json"):
        if before:
            assert processed.exists() or ratchet("preprocess").returncode == 0
        elif processed.exists():
            processed.rename(tmp_path / f"before {name}")
        kills += killed(project, lambda name=name: (data / ".processed.new" / name).exists())
        assert not processed.exists() or stored(project) == whole
    assert kills > 0
    done = ratchet("preprocess")
    assert done.returncode == 0, done.stderr
    assert stored(project) == whole
    assert sorted(path.name for path in data.iterdir()) == [".processed.lock", "processed", "raw"]
