"""Numbers as people write them: which form a column has, and what its cells then are."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from pipeline.kinds.table import numerals
from pipeline.kinds.table.cells import read, read_frame
from pipeline.kinds.table.encoder import encode
from pipeline.own_data.column_types import infer
from pipeline.own_data.table_settings import prepare_defaults

READ = [
    ("1.234,5", "4273,73", 4273.73),
    ("1.234,5", "-1.234.567,89 €", -1234567.89),
    ("1.234,5", "12,5 %", 12.5),
    ("1.234,5", "EUR 7", 7),
    ("1.234,5", "1.23,4", None),
    ("1,234.5", "$6,574.33", 6574.33),
    ("1,234.5", "-$5", -5),
    ("1,234.5", "$ (1,250.00)", -1250),
    ("1,234.5", "12,34,567.8", 1234567.8),  # India
    ("1,234.5", "\u22122", -2),
    ("1,234.5", "12,5", None),
    ("1 234,5", "1\u202f234,5 kr", 1234.5),
    ("1 234,5", "040 123 456", None),  # a telephone
    ("1'234.5", "CHF 1\u2019234.50", 1234.5),
]


@pytest.mark.parametrize(("form", "text", "value"), READ)
def test_a_number_is_read_in_its_form(form: str, text: str, value: float | None) -> None:
    assert numerals.parse(pl.Series([text]), form).to_list() == [value]


FORMS = [
    (["4.222", "0.202"], None, None),
    (["14.891"] * 99 + ["3,5"] * 3, None, None),  # what is plainly a number wins; the three are set apart
    (["1.234", "999", "12.345"], None, "1.234,5"),
    (["12.345"] * 80 + ["1.234.567"] * 2, "1.234,5", None),
    (["1,234", "5,678"], "1,234.5", "1.234,5"),
    (["4273,73", "12"], "1.234,5", None),
    (["45 %", "3%"], "1,234.5", None),
    (["1 234", "5"], "1 234.5", None),
    (["Oslo", "Rome"], None, None),
]


def chosen(texts: list[str], comma: bool) -> tuple[str | None, str | None]:
    (tally,) = numerals.tally(pl.Series(texts), np.zeros(len(texts), int), 1)
    return numerals.choose(tally, comma)


@pytest.mark.parametrize(("texts", "form", "rival"), FORMS)
def test_the_form_of_a_column_is_that_of_all_its_cells(texts: list[str], form: str | None, rival: str | None) -> None:
    found = chosen(texts, comma=False)
    assert found[0] == form
    assert rival is None or found[1] == rival


def test_decimal_commas_are_likelier_beside_semicolons() -> None:
    assert chosen(["1,234", "5,678"], comma=True) == ("1.234,5", "1,234.5")


def test_columns_that_are_counted_together_are_judged_each_by_itself() -> None:
    columns = [texts for texts, _, _ in FORMS]
    place = np.repeat(np.arange(len(columns)), [len(texts) for texts in columns])
    tallies = numerals.tally(pl.Series([text for texts in columns for text in texts]), place, len(columns))
    together = [numerals.choose(tally, comma=False) for tally in tallies]
    assert together == [chosen(texts, comma=False) for texts in columns]


def test_columns_that_are_read_together_read_as_each_by_itself() -> None:
    words = ["1.5", " 7.0", "?", "true", "TRUE", "", None, "1.234,5", "45 %", "2024-01-31", "31.01.24", "inf", "-999"]
    given = {f"texts {i}": pl.Series(np.roll(words, i).tolist()) for i in range(3)}
    given |= {"whole": pl.Series(range(13)), "real": pl.Series([float("nan"), *range(12)])}
    given |= {"choice": pl.Series([str(i % 2) for i in range(13)], dtype=pl.Categorical)}
    marks = ["?", "-999"]
    for way in [("number", None), ("number", "1.234,5"), ("category", None), ("date", ["%d.%m.%y"])]:
        read_alone = {name: read(way[0], cells, way[1], marks) for name, cells in given.items()}
        together = read_frame(pl.DataFrame(given), dict.fromkeys(given, way), marks)
        assert together.equals(pl.DataFrame(read_alone))


@pytest.mark.parametrize("text", ["-999", " -999.0 ", -999, -999.0, "unknown", "Unknown", "inf", None])
def test_marks_of_missing_cells_are_words_and_numbers(text: object) -> None:
    marks = ["unknown", "-999", "inf"]
    assert read("number", pl.Series([text]), None, marks).to_list() == [None]
    assert np.isnan(read("number", pl.Series(["unknwon"]), None, marks)[0])


def table(folder: Path, columns: dict[str, list[str]], separator: str = ",") -> Path:
    rows = zip(*columns.values(), strict=True)
    lines = [separator.join(f'"{cell}"' for cell in row) for row in rows]
    file = folder / "own.csv"
    file.write_text("\n".join([separator.join(columns), *lines]) + "\n", encoding="utf-8")
    return file


def classes(number: int) -> list[str]:
    return ["ab"[i % 2] for i in range(number)]


@pytest.mark.parametrize(
    ("cells", "form", "note"),
    [
        ([f"{i * 37 % 1000},{i % 10}" for i in range(200)], "1.234,5", "written as 1.234,5"),
        ([f"${i * 371:,}.50" for i in range(200)], "1,234.5", "written as 1,234.5"),
        ([f"{i * 7 % 100} %" for i in range(200)], "1,234.5", "written as"),
        ([f"{1000 + i * 371:,}" for i in range(200)], "1,234.5", "may be meant as in 1.234,5"),
        (["unknown" if i % 40 == 0 else f"{i * 0.37:.2f}" for i in range(200)], None, "missing: 'unknown' 5"),
        (["n.d." if i % 40 == 0 else f"{i * 0.37:.2f}" for i in range(200)], None, "are taken as missing"),
        (["inf" if i % 50 == 7 else f"{i * 0.37:.2f}" for i in range(200)], None, "are taken as missing"),
        ([f"{i}x" if i % 50 == 7 else f"{i * 0.37:.2f}" for i in range(200)], None, "such rows are set apart"),
    ],
)
def test_what_holds_numbers_is_a_number(tmp_path: Path, cells: list[str], form: str | None, note: str) -> None:
    found = infer(table(tmp_path, {"x": cells, "y": classes(200)}), "y", marks=prepare_defaults(None)["missing_marks"])
    (column,) = found.columns
    assert (column.type, column.format) == ("number", form)
    assert note in column.reason


@pytest.mark.parametrize(("values", "use"), [(200, "ignore"), (90, "category"), (3, "category")])
def test_numbers_with_a_unit_are_named_so(tmp_path: Path, values: int, use: str) -> None:
    cells = [f"{i % values} km" for i in range(200)]
    file = table(tmp_path, {"x": cells, "other": [f"{i % 7}" for i in range(200)], "y": classes(200)})
    column = infer(file, "y").columns[0]
    assert column.type == use
    assert ("numbers with a unit, such as '0 km'" in column.reason) == (values > 20)  # a few are classes, as "3 doors"


def test_a_target_of_percents_is_a_number(tmp_path: Path) -> None:
    file = table(tmp_path, {"x": [f"{i % 7}" for i in range(200)], "y": [f"{i % 97},5 %" for i in range(200)]}, ";")
    found = infer(file, "y")
    assert (found.task, found.target.format) == ("regression", "1.234,5")


# The encoder's columns as they were before missing_marks and the form of numbers
OLD = """{"kind": "table", "task": "classification", "shape": [4], "dtype": "float32", "labels": ["no", "yes"],
"missing": "fill", "columns": [
{"name": "age", "type": "number", "fill": 40.0, "low": null, "high": null, "flag": true,
 "parts": [{"part": "value", "subtract": 40.0, "multiply": 0.1}]},
{"name": "since", "type": "date", "fill": 0.0, "low": null, "high": null, "flag": false, "format": "%d.%m.%Y",
 "start": 0.0, "parts": [{"part": "seconds", "subtract": 0.0, "multiply": 1e-06}]},
{"name": "city", "type": "category", "values": ["Oslo", "unknown", null]}]}"""


def test_an_encoder_of_before_reads_as_it_did() -> None:
    records = [
        {"age": "50", "since": "11.01.1970", "city": "unknown"},  # a value, as it was no mark then
        {"age": "?", "since": "1970-01-01", "city": "NA"},
    ]
    np.testing.assert_allclose(encode(json.loads(OLD), records), [[1, 0, 0.864, 2], [0, 1, 0, 3]], rtol=1e-6)


def test_the_form_of_numbers_stands_in_the_settings_and_is_checked(tmp_path: Path) -> None:
    from pipeline.config.data import Column

    assert all(Column(name="x", type="number", format=form).format == form for form in numerals.FORMS)
    with pytest.raises(ValueError, match=r"the format of numbers is one of '1,234\.5'"):
        Column(name="x", type="number", format="1234,5")
    assert yaml.safe_load(yaml.safe_dump({"format": "1.234,5"})) == {"format": "1.234,5"}
