"""`ratchet predict`: every record that can be answered is, the others are listed with the reason; none is lost."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from pipeline.kinds.encoding import encode_usable
from pipeline.models.bundle import Bundle
from pipeline.project.spreadsheets import guarded, unguarded
from pipeline.tables import batches
from tests.conftest import Ratchet
from tests.support import untrained
from tests.test_model_api import COLUMNS, LINES

GOOD = [line.replace("北京", "Bern") for line in LINES[:40]]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """kind → the folder of a bundle that nobody trained."""
    folder, made = tmp_path_factory.mktemp("bundles"), {}

    def lay(kind: str) -> Path:
        if kind not in made:
            project = folder / kind / "project"
            project.mkdir(parents=True)
            made[kind] = project / ".ratchet/served/mnist" / untrained.lay(project, kind) / "bundle"
        return made[kind]

    return lay


@pytest.fixture
def predicted(called: Ratchet, bundles: Callable[[str], Path]) -> Callable[..., Any]:
    return lambda kind, file, *options: called("predict", str(file), "--bundle", str(bundles(kind)), *options)


def read(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, infer_schema=False)


def lay(folder: Path, lines: list[str], header: str = ",".join(COLUMNS)) -> Path:
    file = folder / "new.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def test_rows_that_can_not_be_used_are_listed_and_all_others_answered(predicted, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(batches, "ROWS", 7)
    lines = [*GOOD, "Total,,,"]
    lines[3] = "wide,Oslo,1,02.02.2024"
    lines[11] = "5,Oslo,1,the day before"
    lines[20] = ""
    lines[30] = "6,Oslo, and more,1,02.02.2024"
    file = lay(tmp_path, lines)
    done = predicted("table", file)
    assert done.returncode == 0, done.stderr
    assert "41 records = 36 predictions" in done.stdout
    assert "5 unusable" in done.stdout
    assert "warning: 5 records have no prediction" in done.stderr
    assert "row 3: column 'age' holds 'wide'" in done.stderr
    answers, left = read(tmp_path / "new.csv.predictions.csv"), read(tmp_path / "new.csv.unusable.csv")
    assert left["row"].to_list() == ["3", "11", "20", "30", "40"]
    assert answers["row"].to_list() == [str(row) for row in range(41) if str(row) not in left["row"]]
    reasons = left["reason"].to_list()
    assert "column 'since' holds 'the day before'" in reasons[1]
    assert reasons[2] == batches.BLANK
    assert "it has 5 fields, where the table has 4 columns" in reasons[3]
    assert json.loads(left["record"][0]) == {"age": "wide", "city": "Oslo", "class": "1", "since": "02.02.2024"}
    assert json.loads(left["record"][3])["city"] == "Oslo"
    assert "beyond them stands '02.02.2024'" in reasons[3]

    alone = lay(tmp_path, [line for row, line in enumerate(lines) if str(row) not in left["row"]])
    assert "none unusable" in predicted("table", alone).stdout
    assert not (tmp_path / "new.csv.unusable.csv").exists()  # that of the run before
    again = read(tmp_path / "new.csv.predictions.csv")
    assert again["label"].equals(answers["label"])
    np.testing.assert_allclose(again["p_no"].cast(float), answers["p_no"].cast(float), rtol=1e-6)


def test_a_missing_cell_where_the_model_knows_none_is_listed(predicted, tmp_path: Path) -> None:
    file = lay(tmp_path, [GOOD[0], ",Oslo,1,02.02.2024", GOOD[2]])
    assert predicted("drop", file, "--out", str(tmp_path / "out.jsonl")).returncode == 0
    assert pl.read_ndjson(tmp_path / "out.jsonl")["row"].to_list() == [0, 2]
    assert "column 'age' is empty" in read(tmp_path / "out.unusable.csv")["reason"][0]


def test_where_nothing_can_be_answered_nothing_is_written(predicted, tmp_path: Path) -> None:
    for lines, words in ((["wide,Oslo,1,02.02.2024"] * 3, "none of the 3 records"), ([], "nothing to answer")):
        refused = predicted("table", lay(tmp_path, lines))
        assert refused.returncode == 1
        assert words in refused.stderr
        assert [file.name for file in tmp_path.glob("*new*")] == ["new.csv"]
    refused = predicted("table", lay(tmp_path, ["1,Oslo"], "age,city"))
    assert refused.returncode == 1
    assert "no column 'class'" in refused.stderr
    refused = predicted("table", tmp_path / "nowhere.csv")
    assert refused.returncode == 1
    assert "does not exist" in refused.stderr


def test_the_file_itself_is_never_written_over(predicted, tmp_path: Path) -> None:
    file = lay(tmp_path, GOOD).rename(tmp_path / "new.unusable.csv")
    before = file.read_bytes()
    refused = predicted("table", file, "--out", str(tmp_path / "new.csv"))
    assert refused.returncode == 1
    assert "would be overwritten" in refused.stderr
    assert file.read_bytes() == before


def test_of_a_folder_every_picture_is_answered_and_other_files_are_listed(predicted, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    (folder / "more").mkdir(parents=True)
    content = io.BytesIO()
    Image.linear_gradient("L").save(content, "PNG")
    for name in ("b.png", "more/a.png", "=1+1.png"):
        (folder / name).write_bytes(content.getvalue())
    (folder / "torn.png").write_bytes(content.getvalue()[:100])
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "notes.txt").write_text("which camera?")
    (folder / "gone.png").symlink_to("nowhere.png")
    done = predicted("image", folder)
    assert done.returncode == 0, done.stderr
    assert "7 records = 3 predictions" in done.stdout
    assert read(tmp_path / "new.predictions.csv")["file"].to_list() == ["'=1+1.png", "b.png", "more/a.png"]
    left = read(tmp_path / "new.unusable.csv")
    assert left.columns == ["file", "reason"]
    assert left["file"].to_list() == [".DS_Store", "gone.png", "notes.txt", "torn.png"]
    assert not left["reason"].str.contains("record 0").any()
    refused = predicted("image", folder / "notes.txt")
    assert refused.returncode == 1
    assert "no picture that can be read" in refused.stderr


def test_texts_and_histories_that_are_none_are_listed(predicted, bundles, tmp_path: Path) -> None:
    for kind, column in (("text", "text"), ("behaviour", "items")):
        bundle = Bundle.load(bundles(kind))
        good = "a fine film" if kind == "text" else list(bundle.labels[:2])
        column = bundle.encoder.get("column", column)
        lines = [json.dumps({column: good}), json.dumps({column: None}), "{", json.dumps({column: good})]
        if kind == "behaviour":
            lines.append(json.dumps({column: [*good, "no such item"]}))
        (tmp_path / "new.jsonl").write_text("\n".join(lines) + "\n")
        done = predicted(kind, tmp_path / "new.jsonl")
        assert done.returncode == 0, done.stderr
        assert read(tmp_path / "new.jsonl.predictions.csv")["row"].to_list() == ["0", "3"]
        left = read(tmp_path / "new.jsonl.unusable.csv")
        assert left["row"].to_list() == ["1", "2", "4"][: len(lines) - 2]
        assert left["record"][1] == "{"
    assert "'no such item' is not one of" in left["reason"][2]


def test_cells_that_a_spreadsheet_would_run_have_an_apostrophe(predicted, tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text('{"age": 1, "city": "x", "class": 1, "since": null}\n=HYPERLINK("x")\n')
    assert predicted("table", tmp_path / "new.jsonl").returncode == 0
    left = tmp_path / "new.jsonl.unusable.csv"
    assert read(left)["record"][0].startswith("'=HYPERLINK")
    assert predicted("table", tmp_path / "new.jsonl", "--raw-cells").returncode == 0
    assert read(left)["record"][0].startswith("=HYPERLINK")


def test_a_record_without_a_finite_answer_is_listed(predicted, bundles, tmp_path: Path, monkeypatch) -> None:
    def outputs(self: Bundle, inputs: torch.Tensor) -> torch.Tensor:
        found = self.network(inputs).float().detach()
        return torch.where(torch.arange(len(found))[:, None] == 1, torch.inf, found)

    monkeypatch.setattr(Bundle, "outputs", outputs)
    assert predicted("regression", lay(tmp_path, GOOD[:3])).returncode == 0
    assert "no finite answer" in read(tmp_path / "new.csv.unusable.csv")["reason"][0]
    assert read(tmp_path / "new.csv.predictions.csv")["row"].to_list() == ["0", "2"]


def test_many_columns_and_records_of_every_form_are_encoded_or_named(bundles) -> None:
    encoder = Bundle.load(bundles("drop")).encoder
    (number,) = (one for one in encoder["columns"] if one["type"] == "number")
    many = [number | {"name": f"c{place}"} for place in range(1001)]
    wide = encoder | {"columns": many, "shape": [1001]}
    frame = pl.DataFrame({one["name"]: ["1.5", "2.5", "wide"] for one in many})
    inputs, found = encode_usable(wide, frame)
    assert inputs.shape == (2, 1001)
    assert list(found) == [2]
    assert found[2].startswith("column 'c0' holds 'wide'")
    good = {"age": 1.5, "city": "Oslo", "class": "1", "since": "2024-02-02"}
    inputs, found = encode_usable(encoder, [good, good | {"age": "?"}, 5, good | {"since": "then"}, good])
    assert list(found) == [1, 2, 3]
    assert found[2].startswith("the record is 5; allowed are")
    np.testing.assert_array_equal(inputs[0], inputs[1])


def test_only_what_a_spreadsheet_would_run_gets_an_apostrophe() -> None:
    runs = ["=1", "+x", "+5", "@a", "-1+cmd|' /C calc'!A0", "-a", "- 5", "\tx", "\r=1", "=\n1"]
    others = ["-5", "-1.5e3", "-.5", "-1,234.5", "-", "+", "=", "", "x=1", None, "'=1", "北京"]
    frame = pl.DataFrame({"text": runs + others, "number": [-1.5] * len(runs + others)})
    found = guarded(frame)
    assert found["text"].to_list() == [f"'{text}" for text in runs] + others
    assert found["number"].equals(frame["number"])
    assert unguarded(found)["text"].to_list()[:-2] == frame["text"].to_list()[:-2]
