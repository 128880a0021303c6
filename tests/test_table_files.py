"""Files as people have them: each is read as the plain table that it holds, or refused with what to type."""

import bz2
import datetime
import decimal
import gzip
import io
import json
import lzma
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.own_data.column_types import infer
from pipeline.project.errors import DataError
from pipeline.tables.reading import RAGGED, Table, open_table, ragged
from pipeline.tables.sniffing import look
from tests.conftest import Ratchet
from tests.test_table import HEADER, LINES, Prepare, csv, every, prepare  # noqa: F401 (a fixture)

NAMES = HEADER.split(",")
CELLS = [line.split(",") for line in LINES]
PLAIN = csv(LINES)


def by(separator: str, end: str = "\n") -> bytes:
    """The usual table."""
    return PLAIN.decode().replace(",", separator).replace("\n", end).encode()


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def workbook(rows: list[list[Any]], *more: str) -> bytes:
    """The parts of an .xlsx that its readers ask for: a sheet of texts and numbers, and empty ones named `more`."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
    titles = ["Orders", *more]
    numbers = range(1, len(titles) + 1)

    def cell(value: Any) -> str:
        if value is None:
            return "<c/>"
        text = str(value).replace("&", "&amp;").replace("<", "&lt;")
        return (
            f"<c><v>{text}</v></c>"
            if isinstance(value, int | float)
            else (f'<c t="inlineStr"><is><t>{text}</t></is></c>')
        )

    lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    sheets = "".join(f'<sheet name="{titles[n - 1]}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    parts = "".join(
        f'<Relationship Id="rId{n}" Type="{office}/worksheet" Target="worksheets/{n}.xml"/>' for n in numbers
    )
    kinds = "".join(f'<Override PartName="/xl/worksheets/{n}.xml" ContentType="{kind}"/>' for n in numbers)
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    files = {
        "[Content_Types].xml": f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">{kinds}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations}"><Relationship Id="rId1" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{relations}">{parts}</Relationships>',
    }
    for n in numbers:
        data = f"<sheetData>{lines if n == 1 else ''}</sheetData>"
        files[f"xl/worksheets/{n}.xml"] = f'<worksheet xmlns="{main}">{data}</worksheet>'
    return zipped(**{name: f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode() for name, text in files.items()})


def read(folder: Path, name: str, content: bytes, header: bool | None = None) -> tuple[Table, list[str]]:
    path, scratch = folder / name, folder / "scratch"
    path.write_bytes(content)
    scratch.mkdir(exist_ok=True)
    form, guessed = look(path, header)
    table = open_table(path, form, scratch)
    return table, guessed + table.notes


RECORDS = [dict(zip(NAMES, cells, strict=True)) for cells in CELLS]
TABLES: dict[str, tuple[str, bytes]] = {
    "a title": ("a.csv", b"Customer report 2024,,,\n" + PLAIN),
    "titles and blank lines": ("a.csv", b"Customer report 2024\n\n2024-06-30,,,\nby,North,,\n\n" + PLAIN),
    "a title in UTF-16": ("a.csv", ("Report\n" + PLAIN.decode()).encode("utf-16")),
    "sep=": ("a.csv", b"sep=;\n" + by(";")),
    "a title that holds the separator of the table": ("a.csv", b"Orders; 2024\n" + by(";")),
    "carriage returns": ("a.csv", by(",", "\r")),
    "carriage returns in UTF-16": ("a.txt", by("\t", "\r").decode().encode("utf-16")),
    "blanks": ("a.txt", by(" ")),
    "columns set with blanks": ("a.dat", "\n".join(f"  {'   '.join(row)} " for row in [NAMES, *CELLS]).encode()),
    "bars": ("a.txt", by("|")),
    "quotes after blanks": ("a.csv", ", ".join(f'"{name}"' for name in NAMES).encode() + b"\n" + "\n".join(
        f'{row[0]}, "{row[1]}", "{row[2]}", "{row[3]}"' for row in CELLS).encode()),
    "a separator at the end of each row": ("a.csv", PLAIN.replace(b"\n", b",\n").replace(b"y,\n", b"y\n", 1)),
    "separators at the end of some rows": ("a.csv", PLAIN.replace(b"yes\n", b"yes,,\n", 5)),
    "gz": ("a.csv.gz", gzip.compress(PLAIN)),
    "bz2": ("a.csv.bz2", bz2.compress(PLAIN)),
    "xz": ("a.tsv.xz", lzma.compress(by("\t"))),
    "zip": ("a.zip", zipped(**{"report/a.csv": PLAIN, "__MACOSX/._a.csv": b"x", "report/.DS_Store": b"x"})),
    "gz by its content": ("a.csv", gzip.compress(PLAIN)),
    "xlsx": ("a.xlsx", workbook([["Report"], [], NAMES, *[[int(row[0]), *row[1:]] for row in CELLS]])),
    "a CSV called xlsx": ("a.xlsx", PLAIN),
    "no suffix": ("orders", PLAIN),
    "JSON list": ("a.json", json.dumps(RECORDS).encode()),
    "JSON list, indented": ("a.json", json.dumps(RECORDS, indent=2).encode()),
    "JSON list in an object": ("a.json", json.dumps({"count": 60, "orders": RECORDS}).encode()),
    "JSON columns": ("a.json", json.dumps({n: [row[i] for row in CELLS] for i, n in enumerate(NAMES)}).encode()),
    "JSON as pandas writes it": (
        "a.json",
        json.dumps({n: {str(k): row[i] for k, row in enumerate(CELLS)} for i, n in enumerate(NAMES)}).encode(),
    ),
    "JSON lines called json, zipped": ("a.zip", zipped(**{"a.json": "\n".join(map(json.dumps, RECORDS)).encode()})),
    "a gz in a zip": ("a.zip", zipped(**{"a.csv.gz": gzip.compress(PLAIN)})),
    "comments above": ("a.csv", b"# made by X, on 2024\n# from, North, and, so, on\n" + PLAIN),
    "as NumPy saves it": ("a.txt", b"# " + by(" ")),
    "a quote within a quoted field": ("a.csv", PLAIN.replace(b"22,", b'"22",')),
    "blanks on blank lines": ("a.csv", PLAIN + b"   \n"),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_a_table_is_read_however_it_lies_in_its_file(tmp_path: Path, case: str) -> None:
    table, _ = read(tmp_path, *TABLES[case])
    frame = table.frame.filter(pl.col("y").is_not_null()).collect()
    assert table.names == NAMES
    assert frame.select(NAMES).rows() == [tuple(row) for row in CELLS]
    assert frame[RAGGED].null_count() == len(CELLS)


@pytest.mark.parametrize(
    ("header", "names", "note"),
    [
        ("city,since,y", ["column_1", "city", "since", "y"], "the first has none"),
        (",city,since,y", ["column_1", "city", "since", "y"], ""),
        ("age,city,since", ["column_1", "age", "city", "since"], "the first has none"),
        ("age,city", ["age", "city", "column_3", "column_4"], "the last 2 have none"),
        ("age,city,since,y,more", ["age", "city", "since", "y", "more"], ""),
        ("age,city,since,y,,", ["age", "city", "since", "y"], ""),
        ("age,age,since,y", ["age", "age_2", "since", "y"], "two columns are named 'age': that at place 2"),
    ],
)
def test_a_header_that_does_not_fit_names_what_it_can(tmp_path: Path, header: str, names: list[str], note: str) -> None:
    table, notes = read(tmp_path, "a.csv", csv(LINES, header))
    assert table.names == names
    assert table.frame.collect().select(names[:4]).rows() == [tuple(row) for row in CELLS]
    assert note in "".join(notes)


def test_a_header_that_is_too_short_by_one_may_lack_the_last_name(tmp_path: Path) -> None:
    table, _ = read(tmp_path, "a.csv", b"size,city\n" + b"1.5,Oslo,x\n2.5,Rome,y\n2.25,Oslo,z\n" * 3)
    assert table.names == ["size", "city", "column_3"]


def test_lines_that_are_no_rows_are_set_apart_with_their_place(prepare: Prepare) -> None:  # noqa: F811
    lines = list(LINES)
    lines[4] += ",more, of it"
    lines[9] = '29,"a\nb",2024-01-15,yes'
    lines[12] = "32,Oslo"
    lines[20] = '40,"Oslo,2024-01-15,no'
    lines[30] = ""
    made = prepare(csv(lines), max_quarantined=0.1, format={"skip_lines": 0})
    bad = made.splits["train"].quarantined
    assert [one.row for one in bad] == [4, 12, 20]
    assert [one.reason.split(";")[0] for one in bad] == [
        "line 6: it has 6 fields, where the table has 4 columns",
        "line 15: it has 2 fields, where the table has 4 columns",
        "line 23: a quote without its pair",
    ]
    assert "'more, of it'" in bad[0].reason
    assert json.loads(bad[1].record) == {"age": "32", "city": "Oslo", "since": None, "y": None}
    assert len(every(made)) + len(bad) + made.statistics["dropped"]["blank"] == 60
    with pytest.raises(DataError, match=r"3 of 60 rows .* can't be used"):
        prepare(csv(lines))


def test_a_quote_between_tabs_is_a_character(tmp_path: Path) -> None:
    lines = [f"{chr(34) if i % 9 == 0 else ''}film {i}\t{'ab'[i % 2]}" for i in range(60)]
    table, _ = read(tmp_path, "a.tsv", "\n".join(["text\ty", *lines]).encode())
    assert table.frame.collect()["text"].to_list() == [line.split("\t")[0] for line in lines]
    assert ragged(table) == (0, "")


def test_a_field_over_lines_is_one_field_and_a_stray_quote_takes_no_rows_with_it(tmp_path: Path) -> None:
    lines = [f'"film {i},\n{i}",x' if i % 7 == 0 else ('"' if i % 9 == 1 else "") + f"film {i},x" for i in range(60)]
    table, _ = read(tmp_path, "a.csv", "\n".join(["text,y", *lines]).encode())
    frame = table.frame.collect()
    assert frame.height == 60
    assert frame["text"][7] == "film 7,\n7"
    assert ragged(table)[0] == sum(i % 9 == 1 and i % 7 != 0 for i in range(60))


def test_init_counts_the_lines_that_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"Report\n" + PLAIN.replace(b"24,", b"24;", 1) + b"Total\n")
    found = infer(path, "y")
    assert (found.rows, found.ragged) == (59, 2)
    assert any("above the table, 'Report', is left out" in note for note in found.notes)
    assert any("2 lines are no rows of the table and are set apart, the first line 7" in note for note in found.notes)


def test_a_line_of_a_short_file_that_is_no_row_is_no_habit(tmp_path: Path) -> None:
    table, _ = read(tmp_path, "a.csv", csv([*LINES[:9], "Total,9"]))
    assert ragged(table) == (1, "line 11: it has 2 fields, where the table has 4 columns")


def test_rows_that_often_lack_their_last_cells_are_rows(tmp_path: Path) -> None:
    lines = [line.rsplit(",", 2)[0] if i % 3 == 0 else line for i, line in enumerate(LINES)]
    table, _ = read(tmp_path, "a.csv", csv(lines))
    assert ragged(table) == (0, "")
    assert table.frame.collect()["y"].null_count() == 20


@pytest.mark.parametrize(
    ("content", "header", "note"),
    [
        ("Oslo,red,no\nRome,blue,yes\nOslo,red,no\n", False, "was taken for data; if it names the columns"),
        ("town,colour,y\nRome,blue,yes\nOslo,red,no\n", True, "taken for the names of the columns; if it is data"),
        ("35,Oslo,yes\n41,Rome,no\n29,Oslo,no\n", False, ""),
        ("35,4,yes\n41,5,no\n29,4,no\n", False, ""),
        ("NA,Oslo,yes\n41,Rome,no\n29,Oslo,no\n", False, "was taken for data"),
        ("2024-01-31,Oslo,yes\n2024-02-28,Rome,no\n2024-03-31,Oslo,no\n", False, ""),
        ("12,5;Oslo;$1,5\n3,25;Rome;$2,5\n4,75;Oslo;$3,5\n", False, ""),
        ("price,city,y\n1.5,Oslo,a\nunknown,Rome,b\n2.5,Rome,a\n3,Rome,a\n4,Rome,a\n5,Oslo,b\n", True, ""),
        ("country,1990,2000,2010\nNorway,1.5,2.5,3.5\nItaly,4.5,5.5,6.5\n", True, "if it is data, add --no-header"),
        ("id,\n1,a\n2,b\n3,a\n", True, ""),
        ("5,\n1,a\n2,b\n3,a\n", False, ""),
    ],
)  # fmt: skip
def test_a_row_of_data_is_not_taken_for_names(tmp_path: Path, content: str, header: bool, note: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    form, notes = look(path)
    assert (form.header, form.skip_lines) == (header, 0)
    assert note in "".join(notes)
    assert bool(note) == bool(notes)
    assert look(path, not header)[0].header is not header


def test_no_row_of_a_table_without_titles_is_taken_for_one(tmp_path: Path) -> None:
    sparse = "\n".join(",".join("x" if (i + k) % 6 == 0 else "" for k in range(6)) for i in range(30))
    table, _ = read(tmp_path, "a.csv", sparse.encode())
    assert table.frame.collect().height == 30


def test_nested_objects_are_columns_and_lists_are_left_out_by_name(tmp_path: Path) -> None:
    records = [
        {"who": {"age": i, "home": {"city": "ab"[i % 2]}}, "who.age": -i, "tags": ["x"] * (i % 3), "y": i % 3 == 0}
        for i in range(60)
    ]
    contents = {"a.json": json.dumps(records), "a.jsonl": "\n".join(map(json.dumps, records))}
    for name, content in contents.items():
        table, _ = read(tmp_path, name, content.encode())
        assert table.names == ["who.age", "who.home.city", "who.age_2", "tags", "y"]
        found = {one.name: (one.type, one.reason) for one in infer(tmp_path / name, "y").columns}
        assert found["who.home.city"][0] == "category"
        assert found["tags"] == ("ignore", "values of type List(String)")
    with pytest.raises(DataError, match=r"line 2 of .* is no JSON"):
        read(tmp_path, "b.jsonl", b'{"a": {"b": 1}}\n{"a": 1,\n')


def test_every_type_of_parquet_is_used_or_left_out_by_name(prepare: Prepare, tmp_path: Path) -> None:  # noqa: F811
    n = 60
    days = pl.Series([datetime.datetime(2024, 1, 1 + i % 28) for i in range(n)])
    frame = pl.DataFrame(
        {
            "took": [datetime.timedelta(seconds=i) for i in range(n)],
            "at": [datetime.time(i % 24) for i in range(n)],
            "price": [decimal.Decimal(f"{i % 7}.25") for i in range(n)],
            "big": pl.Series([2**64 - 1 - i % 9 for i in range(n)], dtype=pl.UInt64),
            "raw": [bytes([i]) for i in range(n)],
            "size": pl.Series(["s", "m"] * (n // 2), dtype=pl.Enum(["s", "m"])),
            "zone": days.dt.replace_time_zone("Asia/Tokyo"),
            "none": pl.Series([None] * n, dtype=pl.Null),
            "part": [{"a": i * 0.5, "b": {"c": [i]}} for i in range(n)],
            "many": [[i] for i in range(n)],
            "pair": pl.Series([[i, i] for i in range(n)], dtype=pl.Array(pl.Int64, 2)),
            "y": pl.Series(["yes", "no", "no"] * (n // 3), dtype=pl.Categorical),
        }
    )  # fmt: skip
    path = tmp_path / "a.csv"  # by its content
    frame.write_parquet(path)
    found = infer(path, "y")
    types = {one.name: one.type for one in found.columns}
    left = ["took", "raw", "none", "part.b.c", "many", "pair"]
    assert {name for name, kind in types.items() if kind == "ignore"} == set(left)
    assert types["part.a"] == types["price"] == types["big"] == "number"
    assert types["zone"] == "date"
    assert {one.name: one.reason for one in found.columns}["took"] == "values of type Duration(time_unit='us')"
    content = path.read_bytes()
    made = prepare(content, name="a.parquet", columns=types, format={"name": "parquet"})
    assert len(every(made)) == n


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("two.zip", zipped(**{"a.csv": PLAIN, "b.csv": PLAIN}), ["2 files (a.csv, b.csv)", "python -m zipfile -e"]),
        ("a.csv.gz", gzip.compress(PLAIN)[:60], ["the archive can't be read", "give the unpacked file"]),
        ("a.zip", zipped(**{"a.csv": PLAIN})[:60], ["the archive can't be read"]),
        ("a.xlsx", workbook([]), ["the first sheet of", "is empty"]),
        ("a.xls", b"\xd0\xcf\x11\xe0" + bytes(600), ["can't be read as a workbook", "save the sheet as CSV"]),
        ("a.csv", b"<!DOCTYPE html><html><table></table></html>", ["a page of HTML or XML", "take the link"]),
        ("a.csv", b"%PDF-1.7 ...", ["is a PDF", "CSV or Parquet"]),
        ("a.dat", bytes(range(256)) * 4, ["is no text, and no Parquet or Excel file"]),
        ("a.parquet", b"PAR1" + bytes(50), ["is no whole Parquet file; download or write it again"]),
        ("a.json", b'[{"a": 1}, {"a": 2}', ["is no whole JSON", "write a list of objects"]),
        ("a.json", b'[{"a": 1}, 7]', ["record 2 of", "write a list of objects"]),
        ("a.json", b'{"a": {"b": [1]}, "c": 4}', ["is one JSON object without a list of records"]),
        ("a.csv", b" \n\n", ["is empty, 3 bytes"]),
    ],
    ids=range(13),  # not by their bytes: a zip holds the time
)  # fmt: skip
def test_what_is_no_table_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, name, content)[0].frame.collect()
    assert all(word in str(refused.value) for word in words)
    assert str(tmp_path / name) in str(refused.value)


def test_the_advice_for_a_zip_of_two_files_works(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, "two.zip", zipped(**{"a.csv": PLAIN, "b.csv": b"x"}))
    command = str(refused.value).split("Type: ")[1].split(", then")[0]
    subprocess.run([sys.executable, *command.split()[1:]], cwd=tmp_path, check=True)
    assert (tmp_path / "unpacked/a.csv").read_bytes() == PLAIN


def test_other_sheets_are_named_and_rows_counted_as_in_the_sheet(tmp_path: Path) -> None:
    content = workbook([["Report"], [None], NAMES, *CELLS], "Costs", "Notes")
    table, notes = read(tmp_path, "a.xlsx", content)
    assert notes[-1] == (
        "only its first sheet, 'Orders', is read; to use another ('Costs', 'Notes'), save that as a file of its own"
    )
    assert table.where([0, 59], 60) == ["row 4", "row 63"]


def test_init_says_how_a_file_was_read_and_no_header_is_obeyed(project: Path, called: Ratchet) -> None:
    file = project.parent / "words.csv.gz"
    lines = "".join(f"{'Oslo' if i % 2 else 'Rome'},c{i % 3},{'yes' if i % 5 else 'no'}\n" for i in range(40))
    file.write_bytes(gzip.compress(("town,colour,bought\n" + lines).encode()))
    shown = called("init", "--data", str(file), "--target", "bought").stdout
    assert "note: the first row (town, colour, bought) was taken for the names of the columns" in shown
    shown = called("init", "--data", str(file), "--target", "column_3", "--no-header").stdout
    assert "41 rows, csv, separator ',', utf-8, no header" in shown
    assert "note: the first row" not in shown
