"""Tables of any person: what is read, split, encoded, inferred and refused."""

import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest
import torch
import yaml

from pipeline.config.data import TableData
from pipeline.datasets import table
from pipeline.kinds.table.encoder import decode, encode
from pipeline.models.table import build
from pipeline.own_data.column_types import infer
from pipeline.project.errors import DataError
from pipeline.project.files import sha256
from pipeline.store.assignment import assign
from pipeline.store.splits import Fold, Prepared
from pipeline.tables.sniffing import format_of
from tests.conftest import REPOSITORY

ROWS = 60
HEADER = "age,city,since,y"
LINES = [
    f"{20 + i},{('Oslo', 'Rome', '北京')[i % 3]},2024-{1 + i % 12:02}-15,{'yes' if i % 2 else 'no'}"
    for i in range(ROWS)
]
COLUMNS = {"age": "number", "city": "category", "since": "date"}

Prepare = Callable[..., Prepared]


def csv(lines: list[str], header: str = HEADER) -> bytes:
    return ("\n".join([header, *lines]) + "\n").encode()


def changed(row: int, line: str) -> bytes:
    """The usual table with another line in the given row, which is line row + 2 of the file."""
    return csv([*LINES[:row], line, *LINES[row + 1 :]])


def own(path: Path, columns: dict[str, str], target: str, **changes: Any) -> TableData:
    data = yaml.safe_load((REPOSITORY / "conf/data/table.yaml").read_text())
    data |= {
        "name": "own",
        "source": {
            "files": {path.name: {"bytes": path.stat().st_size or 1, "sha256": sha256(path)}},
            "mirrors": [{"url": f"file:{path}", "unpack": "none"}],
        },
    }
    prepare = data["prepare"] | {"target": target, "task": "classification"}
    listed = changes.pop("listed", None)
    prepare["columns"] = listed or [{"name": name, "type": kind} for name, kind in columns.items()]
    prepare["format"] |= {"name": "csv"}
    for key, value in changes.items():
        prepare[key] = prepare[key] | value if isinstance(value, dict) else value
    return TableData.model_validate(data | {"prepare": prepare})


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """prepare(content, fold=…, columns=…, target=…, **settings): the table of a file with that content."""
    monkeypatch.chdir(tmp_path)

    def call(content: bytes, name: str = "own.csv", fold: Fold | None = None, **changes: Any) -> Prepared:
        path = tmp_path / name
        path.write_bytes(content)
        columns, target = changes.pop("columns", COLUMNS), changes.pop("target", "y")
        return table.prepare(tmp_path, SimpleNamespace(data=own(path, columns, target, **changes)), fold)

    return call


def rows_of(prepared: Prepared) -> dict[str, list[int]]:
    return {name: split.rows.tolist() for name, split in prepared.splits.items()}


def every(prepared: Prepared) -> list[int]:
    return [row for rows in rows_of(prepared).values() for row in rows]


def column_of(prepared: Prepared, name: str) -> dict[str, Any]:
    return next(column for column in prepared.encoder["columns"] if column["name"] == name)


def test_a_table_is_split_encoded_and_described(prepare: Prepare) -> None:
    made = prepare(csv(LINES), slices=["age", "city"])
    rows = rows_of(made)
    assert {name: len(chosen) for name, chosen in rows.items()} == {"train": 42, "val": 10, "test": 8}
    assert sorted(every(made)) == list(range(ROWS))
    for split in made.splits.values():
        assert (split.inputs.dtype, split.targets.dtype, split.rows.dtype) == (np.float32, np.int64, np.int64)
        assert split.targets.tolist() == (split.rows % 2).tolist()
        assert 0.4 <= split.targets.mean() <= 0.6, "stratified"
    assert made.encoder["labels"] == ["no", "yes"]
    assert made.encoder["shape"] == [1 + 3 + 1], "the age; month, weekday and seconds; the city"

    train = made.splits["train"].inputs
    np.testing.assert_allclose(train[:, :4].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train[:, :4].std(0), 1, atol=1e-6)
    assert set(train[:, 4]) == {1, 2, 3}
    json.dumps([made.encoder, made.statistics, made.examples], allow_nan=False)

    test = made.splits["test"]
    assert list(made.examples[0]) == ["age", "city", "since"]
    np.testing.assert_array_equal(encode(made.encoder, made.examples), test.inputs[:2])
    first = test.rows[0]
    line = LINES[first].split(",")
    assert decode(made.encoder, test.inputs)[0] == f"age={line[0]}, since={line[2]} 00:00, city={line[1]}"
    assert test.slices["city"] == [LINES[row].split(",")[1] for row in test.rows]
    assert len(set(test.slices["age"])) > 2


def test_the_same_file_gives_the_same_bytes_and_each_fold_the_same_test(prepare: Prepare) -> None:
    first, again = prepare(csv(LINES)), prepare(csv(LINES))
    assert first.encoder == again.encoder
    for name, split in first.splits.items():
        np.testing.assert_array_equal(split.inputs, again.splits[name].inputs)
    validated = []
    for index in range(5):
        made = prepare(csv(LINES), fold=Fold(index, 5))
        assert rows_of(made)["test"] == rows_of(first)["test"]
        ages = [20 + row for row in rows_of(made)["train"]]
        assert column_of(made, "age")["parts"][0]["subtract"] == pytest.approx(np.mean(ages)), "fitted on this fold"
        validated += rows_of(made)["val"]
    assert sorted(validated + rows_of(first)["test"]) == list(range(ROWS))


def test_nothing_is_fitted_on_test(prepare: Prepare) -> None:
    usual = prepare(csv(LINES))
    lines = list(LINES)
    for row in rows_of(usual)["test"] + rows_of(usual)["val"]:
        lines[row] = f"{1e6 + row},Paris,1999-01-01,{LINES[row].split(',')[3]}"
    other = prepare(csv(lines))
    assert other.encoder == usual.encoder
    assert other.splits["test"].inputs[:, -1].tolist() == [0] * len(other.splits["test"].rows), "a city never seen"


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (b"", {}, r"own.csv is empty, 0 bytes"),
        (csv([]), {}, r"has no rows below its header"),
        (csv(LINES[:3]), {}, r"can't be used|2 are needed"),
        (csv(LINES), {"target": "yy"}, r"no column 'yy'. Did you mean 'y'\?"),
        (csv(LINES), {"columns": {**COLUMNS, "aged": "number"}}, r"no column 'aged'. Did you mean 'age'\?"),
        (csv(LINES), {"columns": {"age": "number"}}, r"has a column 'city' that data.prepare.columns does not name"),
        (csv(LINES), {"columns": dict.fromkeys(COLUMNS, "ignore")}, r"no column to learn from"),
        (csv(LINES), {"columns": {**COLUMNS, "y": "category"}}, r"gives the target 'y' to the net as an input"),
        (changed(4, "1,Oslo,2024-01-01,yes,more"), {}, r"line 6: it has 5 fields, where the table has 4"),
        (changed(4, '1,"Oslo,2024-01-01,yes'), {}, r"line 6: a quote without its pair"),
        (changed(4, "old,Oslo,2024-01-01,yes"), {}, r"line 6: column 'age' holds 'old'; it needs a finite number"),
        (changed(4, "inf,Oslo,2024-01-01,yes"), {}, r"line 6: column 'age' holds 'inf'"),
        (changed(4, '"1,234",Oslo,2024-01-01,yes'), {}, r"line 6: column 'age' holds '1,234'"),
        (changed(4, "1,Oslo,soon,yes"), {}, r"line 6: column 'since' holds 'soon'; it needs a date"),
        (changed(4, "1,Oslo,2024-01-01,"), {}, r"line 6: column 'y' is empty; it needs a class"),
        (changed(4, "1,Oslo,2024-01-01,rare"), {}, r"holds 'rare'; it needs a class of 3 usable rows"),
        (changed(4, '1,"Os\nlo",2024-01-01,yes').replace(b"30,", b"x,"), {}, r"line 13: column 'age' holds 'x'"),
        (csv(LINES).replace("北京".encode(), b"\xd6\xd0"), {}, r"line 4 of .* is not utf-8: byte 0xd6"),
        (csv(LINES), {"format": {"encoding": "utf-99"}}, r"'utf-99', which Python does not know"),
        (csv([line.replace("yes", "no") for line in LINES]), {}, r"has 1 classes .*; 2 are needed"),
        (csv([f",{line.split(',', 1)[1]}" for line in LINES]), {}, r"'age' is empty in every row of train"),
        (csv([line.replace("-15", "") for line in LINES]), {}, r"column 'since' holds '2024-01'"),
        (csv(LINES), {"split": {"group": "city"}, "columns": COLUMNS | {"city": "ignore"}}, r""),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(
    prepare: Prepare, content: bytes, changes: dict[str, Any], message: str
) -> None:
    if not message:
        assert prepare(content, **changes).splits
        return
    with pytest.raises(DataError, match=message):
        prepare(content, **changes)


def test_days_that_may_be_months_are_refused(prepare: Prepare) -> None:
    lines = [line.replace("2024-", "").replace("-15", "/01/2024") for line in LINES]
    with pytest.raises(
        DataError, match=r"dates of column 'since', such as '01/01/2024', may be day/month or month/day"
    ):
        prepare(csv(lines))
    lines[0] = lines[0].replace("01/01/2024", "31/01/2024")
    assert column_of(prepare(csv(lines)), "since")["format"] == "%d/%m/%Y"


def test_unusable_rows_are_quarantined_up_to_the_share_that_is_allowed(prepare: Prepare) -> None:
    content = changed(4, "old,Oslo,2024-01-01,yes").replace(LINES[9].encode(), b"29,Oslo,2024-01-01,null")
    made = prepare(content, max_quarantined=0.05)
    assert [(one.row, one.reason) for one in made.splits["train"].quarantined] == [
        (4, "line 6: column 'age' holds 'old'; it needs a finite number, such as 1234.5"),
        (9, "line 11: column 'y' is empty; it needs a class"),
    ]
    record = {"age": "old", "city": "Oslo", "since": "2024-01-01", "y": "yes"}
    assert json.loads(made.splits["train"].quarantined[0].record) == record
    assert sorted(every(made)) == [row for row in range(ROWS) if row not in (4, 9)]


@pytest.mark.parametrize("word", ["", "NA", "N/A", "null", "NaN", "nan", "None", "?", "-", " "])
def test_missing_cells_are_filled_and_flagged(prepare: Prepare, word: str) -> None:
    gaps = range(0, ROWS, 5)
    lines = [f"{word},{word},{word},{LINES[i].rsplit(',', 1)[1]}" if i in gaps else LINES[i] for i in range(ROWS)]
    made = prepare(csv(lines))
    age, city = column_of(made, "age"), column_of(made, "city")
    train = made.splits["train"]
    given = [20 + row for row in train.rows if row not in gaps]
    assert age["fill"] == np.median(given)
    assert city["values"][-1] is None
    missing = np.isin(train.rows, gaps)
    np.testing.assert_array_equal(train.inputs[:, 1] == 1, missing)
    np.testing.assert_array_equal(train.inputs[:, -1] == len(city["values"]), missing)
    line = decode(made.encoder, encode(made.encoder, [{"age": None, "city": word, "since": float("nan")}]))
    assert line == ["age=?, since=?, city=?"]
    if word == "":
        dropped = prepare(csv(lines), missing="drop")
        assert dropped.statistics["dropped"]["missing"] == len(gaps)
        with pytest.raises(
            DataError, match="record 0: column 'age' is empty, and the model was made without such rows"
        ):
            encode(dropped.encoder, [{"age": None, "city": "Oslo", "since": "2024-01-01"}])


@pytest.mark.parametrize(("scaling", "low", "high"), [("unit", 0, 1), ("symmetric", -1, 1)])
def test_scaling_is_that_of_train(prepare: Prepare, scaling: str, low: float, high: float) -> None:
    age = prepare(csv(LINES), scaling=scaling).splits["train"].inputs[:, 0]
    assert (age.min(), age.max()) == (pytest.approx(low), pytest.approx(high))


def test_outliers_of_train_are_clipped_or_dropped(prepare: Prepare) -> None:
    row = rows_of(prepare(csv(LINES)))["train"][5]
    content = changed(row, f"99999,Oslo,2024-01-15,{LINES[row].rsplit(',', 1)[1]}")
    ages = [99999 if i == row else 20 + i for i in rows_of(prepare(content))["train"]]
    lower, upper = np.quantile(ages, [0.25, 0.75])
    clipped = prepare(content, outliers="clip", outlier_iqr=1.5)
    assert column_of(clipped, "age")["high"] == pytest.approx(upper + 1.5 * (upper - lower))
    assert clipped.statistics["columns"]["age"]["max"] == pytest.approx(upper + 1.5 * (upper - lower))
    dropped = prepare(content, outliers="drop", outlier_iqr=1.5)
    assert dropped.statistics["dropped"]["outliers"] == 1
    assert row not in rows_of(dropped)["train"]
    assert rows_of(dropped)["test"] == rows_of(clipped)["test"]


def test_equal_rows_are_dropped_or_kept_on_one_side(prepare: Prepare) -> None:
    content = csv(LINES * 3)
    assert prepare(content, duplicates="drop").dropped["duplicates"] == 2 * ROWS
    made = prepare(content)
    assert made.statistics["equal"] == {"rows": 2 * ROWS, "apart": 0}
    kept = rows_of(made)
    assert sum(map(len, kept.values())) == 3 * ROWS
    sides = {name: {row % ROWS for row in rows} for name, rows in kept.items()}
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["val"]
    assert not sides["val"] & sides["test"]


def test_many_values_share_one_code_and_a_group_or_time_stays_on_one_side(prepare: Prepare) -> None:
    lines = [f"{i % 7},v{i // 2},2024-01-{1 + i // 2:02},{'yes' if i % 2 else 'no'}" for i in range(ROWS)]
    made = prepare(csv(lines), max_categories=3, split={"group": "city"})
    assert len(column_of(made, "city")["values"]) == 3
    assert (made.splits["train"].inputs[:, -1] == 0).sum() == len(rows_of(made)["train"]) - 6
    groups = [{row // 2 for row in rows} for rows in rows_of(made).values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == ROWS // 2
    ordered = rows_of(prepare(csv(lines), split={"time": "since"}))
    assert max(ordered["train"]) < min(ordered["val"])
    assert max(ordered["val"]) < min(ordered["test"])
    folds = [rows_of(prepare(csv(lines), split={"time": "since"}, fold=Fold(i, 3))) for i in range(3)]
    assert all(fold["test"] == ordered["test"] and max(fold["train"]) < min(fold["val"]) for fold in folds)
    assert [len(fold["train"]) for fold in folds] == sorted(len(fold["train"]) for fold in folds)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-8", csv(LINES).decode().encode("utf-8-sig")),
        ("utf-16", csv(LINES).decode().encode("utf-16")),
        ("gb18030", csv(LINES).decode().encode("gb18030")),
        ("utf-8", csv(LINES).replace(b"\n", b"\r\n") + b"\r\n\r\n"),
        ("utf-8", csv(LINES).replace(b"Oslo", b'" Oslo"')),
    ],
)
def test_other_encodings_line_ends_and_blank_lines_read_as_the_plain_file(
    prepare: Prepare, encoding: str, content: bytes
) -> None:
    usual, made = prepare(csv(LINES)), prepare(content, format={"encoding": encoding})
    assert made.encoder == usual.encoder
    assert rows_of(made) == rows_of(usual)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_parquet_and_json_lines_read_as_the_csv(prepare: Prepare, tmp_path: Path, form: str) -> None:
    frame = pl.read_csv(csv(LINES), try_parse_dates=form == "parquet")
    file = tmp_path / f"made.{form}"
    frame.write_parquet(file) if form == "parquet" else frame.write_ndjson(file)
    usual, made = prepare(csv(LINES)), prepare(file.read_bytes(), f"own.{form}", format={"name": form})
    assert made.encoder == usual.encoder
    np.testing.assert_array_equal(made.splits["test"].inputs, usual.splits["test"].inputs)


def test_a_broken_line_of_json_is_named(prepare: Prepare) -> None:
    content = b'{"age": 1, "y": "a"}\n\n{"age": 2,\n'
    with pytest.raises(DataError, match=r"line 3 of .*own.jsonl is no JSON"):
        prepare(content, "own.jsonl", format={"name": "jsonl"}, columns={"age": "number"})


def test_a_regression_has_its_targets_as_they_are(prepare: Prepare) -> None:
    lines = [f"{i % 7},v,2024-01-{1 + i % 28:02},{1.5 * i}" for i in range(ROWS)]
    made = prepare(csv(lines), task="regression")
    train = made.splits["train"]
    assert train.targets.dtype == np.float32
    assert train.targets.tolist() == (1.5 * train.rows).tolist()
    assert made.encoder["labels"] == []
    assert made.encoder["target"] == {
        "mean": pytest.approx(train.targets.mean()),
        "std": pytest.approx(train.targets.std()),
    }
    with pytest.raises(DataError, match="line 6: column 'y' holds 'much'; it needs a finite number"):
        prepare(csv([*lines[:4], "1,v,2024-01-01,much", *lines[5:]]), task="regression")


def test_a_table_without_a_header_is_named_by_the_settings(prepare: Prepare) -> None:
    content = b"60,4,no,yes\n" + csv(LINES)[len(HEADER) + 1 :]
    made = prepare(content, format={"header": False, "skip_lines": 1})
    assert made.encoder == prepare(csv(LINES)).encoder
    turned = [",".join(line.split(",")[i] for i in (0, 3, 1, 2)) for line in LINES]
    placed = {"age": "number", "y": "ignore", "city": "category", "since": "date"}
    inside = prepare(csv(turned)[len(HEADER) + 1 :], format={"header": False}, columns=placed)
    assert inside.encoder == made.encoder
    columns = {"age": "number", "city": "category"}
    with pytest.raises(DataError, match=r"first row of .* has 4 fields, but data.prepare.columns and target name 3"):
        prepare(content, format={"header": False, "skip_lines": 1}, columns=columns)


def test_records_of_every_form_encode_alike(prepare: Prepare) -> None:
    encoder = prepare(csv(LINES)).encoder
    records = [
        {"since": "2024-03-15", "age": 30, "city": "Oslo", "more": "x"},
        {"city": None, "age": "41.5", "since": datetime.date(2024, 5, 1), "more": []},
    ]
    expected = encode(encoder, records)
    assert expected.shape == (2, 5)
    assert np.isfinite(expected).all()
    columns = {name: [record[name] for record in records] for name in records[0]}
    forms = [
        columns,
        pandas.DataFrame(records),
        pandas.DataFrame(records).convert_dtypes(),
        pl.DataFrame({**columns, "age": [30.0, 41.5]}, strict=False).drop("more"),
        {**columns, "age": np.array([30, 41.5])},
    ]
    for form in forms:
        np.testing.assert_array_equal(encode(encoder, form), expected)
    np.testing.assert_array_equal(encode(encoder, records[0]), expected[:1])
    assert encode(encoder, []).shape == (0, 5)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"age": 1, "citty": "x", "since": None}], r"record 0 has no column 'city'. Did you mean 'citty'\?"),
        ({"age": [1], "since": [None]}, r"the records have no column 'city'"),
        ([{"age": "old", "city": "x", "since": None}], r"record 0: column 'age' holds 'old'; it needs a finite number"),
        ({"age": [1, np.inf], "city": ["x", "y"], "since": [None, None]}, r"record 1: column 'age' holds inf"),
        ({"age": [1, 2], "city": ["x"], "since": [None]}, r"the columns have different lengths"),
        ([{"age": [1], "city": "x", "since": None}], r"record 0: column 'age' holds \[1\]; a cell is one number"),
        ([{"age": 1, "city": "x", "since": 20240101}], r"record 0: column 'since' holds 20240101; it needs a date"),
        ([1], r"record 0 is 1; allowed are a Polars or pandas frame"),
        ("age", r"the records are 'age'; allowed are"),
    ],
)
def test_records_that_are_none_are_refused(prepare: Prepare, records: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode(prepare(csv(LINES)).encoder, records)


def test_equal_values_are_one_category_however_they_are_written(prepare: Prepare) -> None:
    lines = [f"{i},{i % 3},2024-01-01,{'True' if i % 2 else 'False'}" for i in range(ROWS)]
    made = prepare(csv(lines), columns=COLUMNS | {"since": "ignore"})
    assert made.encoder["labels"] == ["false", "true"]
    codes = [encode(made.encoder, [{"age": 1, "city": one}])[0, -1] for one in ("2", 2, 2.0, "2.0", np.int64(2), " 2 ")]
    assert len(set(codes)) == 1
    assert codes[0] > 0


def test_the_net_takes_what_the_encoder_makes(prepare: Prepare) -> None:
    made = prepare(csv(LINES))
    settings = {
        "embedding": 16,
        "widths": [8],
        "activation": "relu",
        "norm": "layer",
        "init": "kaiming",
        "dropout": 0.1,
    }
    net = build(settings, made.encoder, 2)
    inputs = torch.from_numpy(np.array(made.splits["train"].inputs))
    outputs = net(inputs)
    assert outputs.shape == (len(inputs), 2)
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    unseen = encode(made.encoder, [{"age": 1, "city": "Paris", "since": None}])
    assert torch.isfinite(net(torch.from_numpy(unseen))).all()


def test_shares_are_kept_and_each_class_is_in_each_split() -> None:
    targets = np.array([0] * 500 + [1] * 60 + [2] * 3)
    sides = assign(targets, 0.2, 0.1)
    counted = [np.bincount(sides[targets == index], minlength=3).tolist() for index in range(3)]
    assert counted == [[350, 100, 50], [42, 12, 6], [1, 1, 1]]
    groups = np.arange(563) % 50
    sides = assign(targets, 0.2, 0.1, groups=groups)
    assert all(len(set(sides[groups == group])) == 1 for group in range(50))
    assert np.bincount(sides) / 563 == pytest.approx([0.7, 0.2, 0.1], abs=0.06)
    with pytest.raises(DataError, match=r"2 usable groups; .* need 3 or more"):
        assign(targets, 0.2, 0.1, groups=groups % 2)
    with pytest.raises(DataError, match="2 usable rows"):
        assign(np.array([0.5, 1.5]), 0.2, 0.1)


MESSY = {
    "number": [f"{i * 0.37:.2f}" for i in range(50)],
    "count": [str(i * i % 13) for i in range(50)],
    "city": [("Oslo", "Rome")[i % 2] for i in range(50)],
    "flag": [("true", "false")[i % 2] for i in range(50)],
    "since": [f"2024-01-{1 + i % 28:02}" for i in range(50)],
    "day": [f"{1 + i % 28}.1.2024" for i in range(50)],
    "either": [f"0{1 + i % 9}/0{1 + i % 7}/2024" for i in range(50)],
    "id": [str(1000 + i) for i in range(50)],
    "code": [f"X{i}Y" for i in range(50)],
    "zip": [f"0{i % 5}123" for i in range(50)],
    "customer_id": [f"{i // 4}" for i in range(50)],
    "empty": ["NA"] * 50,
    "same": ["1"] * 50,
    "note": [f"这是第{i}个很长的评论，内容各不相同" for i in range(50)],
    "euro": [f'"1.{100 + i},5"' for i in range(50)],
    "mixed": [str(i % 4) if i % 3 else "many" for i in range(50)],
    "y": [("a", "b", "c")[i % 3] for i in range(50)],
}


def test_what_is_inferred_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "messy.csv"
    rows = [",".join(cells) for cells in zip(*MESSY.values(), strict=True)]
    path.write_bytes(csv(rows, ",".join(MESSY)))
    found = infer(path, "y")
    assert (found.kind, found.rows, found.task, found.text) == ("table", 50, "classification", "note")
    assert found.target.reason == "3 classes"
    types = {one.name: one.type for one in found.columns}
    used = {"number": "number", "count": "number", "city": "category", "flag": "category", "since": "date"}
    used |= {"day": "date", "zip": "category", "mixed": "category", "euro": "number"}
    assert types == dict.fromkeys(types, "ignore") | used
    reasons = {one.name: one.reason for one in found.columns}
    expected = {
        "either": "day and month can't be told apart",
        "id": "an id: nearly all values are different",
        "code": "an id: nearly all values are different",
        "customer_id": "may be the group of the split",
        "empty": "all cells are empty",
        "same": "constant: always '1'",
        "note": "free text",
        "euro": "written as 1.234,5",
        "mixed": "words in the others",
    }
    for name, reason in expected.items():
        assert reason in reasons[name], name
    assert (found.groups, found.times) == (["customer_id"], ["since", "day"])


def test_the_time_for_a_wide_table_grows_with_its_columns_alone(tmp_path: Path) -> None:
    def seconds(columns: int) -> float:
        rows = [",".join(str(row * place % 7) for place in range(columns)) for row in range(20)]
        file = tmp_path / "wide.csv"
        file.write_bytes(csv(rows, ",".join(f"c{place}" for place in range(columns))))
        began = time.process_time()
        infer(file, "c1")
        return time.process_time() - began

    seconds(10)
    assert seconds(600) < 11 * min(seconds(100), seconds(100))


@pytest.mark.parametrize(
    ("targets", "task"),
    [
        ([i % 2 for i in range(40)], "classification"),
        ([i % 5 for i in range(40)], "classification"),
        ([i * 1.5 for i in range(40)], "regression"),
        (list(range(40)), "regression"),
        ([("真", "假")[i % 2] for i in range(40)], "classification"),
    ],
)
def test_the_task_is_inferred(tmp_path: Path, targets: list[Any], task: str) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(csv([f"{i * 0.7:.1f},{target}" for i, target in enumerate(targets)], "x,目标"))
    assert infer(path, "目标").task == task


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "x;y\n1;a\n2;b\n3;a\n".encode("latin-1"), {"separator": ";", "encoding": "utf-8"}),
        ("a.tsv", "größe\ty\n1\tà\n2\té\n3\tà\n".encode("latin-1"), {"separator": "\t", "encoding": "latin-1"}),
        ("a.csv", "x,y\n1,“a”\n2,b\n3,b\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("a.csv", "年龄,城市\n1,北京\n2,上海\n3,北京\n".encode("gb18030"), {"encoding": "gb18030"}),
        ("a.csv", "x,y\n1,a\n2,b\n3,b\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("a.csv", "x,y\n1,a\n2,b\n3,b\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("a.csv", "x,y\n1,a\n2,b\n3,b\n".encode("utf-8-sig"), {"encoding": "utf-8-sig"}),
        ("a.csv", b"1,a\n2,b\n3,b\n", {"header": False}),
        ("a.csv", b'"x, of all",y\n"1\n",a\n2,b\n3,b\n', {"header": True, "separator": ","}),
        ("a.jsonl", b'{"x": 1, "y": "a"}\n{"x": 2, "y": "b"}\n{"x": 3, "y": "b"}\n', {"name": "jsonl"}),
    ],
)
def test_the_format_is_inferred(tmp_path: Path, name: str, content: bytes, expected: dict[str, Any]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = format_of(path).model_dump()
    assert found | expected == found


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        (b"", "y", "is empty, 0 bytes"),
        (b"x,y\n", "y", "has no rows below its header"),
        (b"age,churned\n1,a\n2,b\n", "churn", "has no column 'churn'. Did you mean 'churned'?"),
        (b"age,churned\n1,a\n2,b\n", None, "no target was given.* The columns are: 'age', 'churned'"),
        (b"x,y\n1,a\n2,a\n", "y", "the target 'y' of .* is 'a' in every row"),
        (b"x,y\n1,a\n1,b\n1,b\n", "y", "has no column to learn from besides the target. x: constant"),
        (b"x,y\n1,a\n2,b\n3,c\n4,d\n", "y", "4 different values in 4 rows, such as 'a': neither classes nor numbers"),
    ],
)
def test_what_can_not_be_inferred_is_refused(tmp_path: Path, content: bytes, target: str | None, message: str) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        infer(path, target)
