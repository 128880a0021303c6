"""How a table lies in its file: format, encoding, title lines, separator, header; found by looking."""

import codecs
import json
import re
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pipeline.config.data import FileFormat
from pipeline.kinds.table import cells
from pipeline.project.errors import DataError
from pipeline.tables.dates import is_date
from pipeline.tables.delimited import Shape, cut, read_records
from pipeline.tables.unpacking import is_workbook, unpack, write_sheet

MARKS = {  # the longest first, since UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FOREIGN = {  # what a file is by its first bytes → the program that opens it
    b"%PDF": ("a PDF", "the program that shows it"),
    b"ARROW1": ("an Arrow file", "polars.read_ipc and write_parquet"),
    b"SQLite format 3": ("a SQLite database", "the sqlite3 program"),
    b"\x89HDF": ("an HDF5 file", "pandas.read_hdf"),
    b"\x93NUMPY": ("a NumPy array", "numpy.load and numpy.savetxt"),
    b"\x80\x04\x95": ("a pickle", "the program that wrote it"),
    b"\x80\x05\x95": ("a pickle", "the program that wrote it"),
    b"\x89PNG": ("a picture", "ratchet init --kind images with its folder"),
    b"\xff\xd8\xff": ("a picture", "ratchet init --kind images with its folder"),
    b"RDX": ("a file of R", "write.csv in R"),
    b"X\n": ("a file of R", "write.csv in R"),
    b"Rar!": ("an archive", "unrar"),
    b"7z\xbc\xaf": ("an archive", "7z"),
}
MARKUP = re.compile(r"\s*<(!doctype|html|\?xml|table|head|body|meta)\b", re.IGNORECASE)
LOOK = 1 << 20  # bytes
LINES, SCORED, VALUES = 300, 50, 20  # lines that are looked at; for the separator; cells of a column for its type
COMMENTS = ("#", "//")
MOSTLY, SPARSE = 0.8, 0.2
YEAR = re.compile(r"(1[89]|20)\d\d")
TITLES = 30  # lines that may stand above the header
SPACE = " \t\r\n"
SEPARATORS = ",;\t|"
DECLARED = re.compile(r'"?sep=(.)"?;*,*\s*$', re.IGNORECASE)
NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?[-+]?(\d[\d.,'\u00a0\u202f ]*|[.,]\d+)(e[-+]?\d+)?\s?[%$€£¥)]*", re.IGNORECASE)


def format_of(path: Path, header: bool | None = None) -> FileFormat:
    """`header`: whether the first line names the columns; None: as it looks."""
    return look(path, header)[0]


def look(path: Path, header: bool | None = None) -> tuple[FileFormat, list[str]]:
    """The format, and what was guessed."""
    if not path.is_file():
        raise DataError(f"{path} is missing, or no file; give the path of a CSV, Parquet, JSON or Excel file")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty, 0 bytes; give a table with a row for each example")
    with tempfile.TemporaryDirectory(prefix="ratchet-") as scratch:
        return look_at(path, unpack(path, Path(scratch)), Path(scratch), header)


def look_at(path: Path, file: Path, scratch: Path, header: bool | None) -> tuple[FileFormat, list[str]]:
    """`file` is `path`, or what it holds."""
    with file.open("rb") as opened:
        first = opened.read(LOOK)
    if not first.strip():
        raise DataError(f"{path} is empty, {len(first)} bytes; give a table with a row for each example")
    found: dict[str, Any] = {"separator": ",", "encoding": "utf-8", "header": True, "skip_lines": 0}
    if first.startswith(b"PAR1"):
        return FileFormat(name="parquet", **found), []
    name: Literal["csv", "excel"] = "csv"
    if is_workbook(file, first):
        name = "excel"
        write_sheet(file, scratch / "sheet.csv")
        with (scratch / "sheet.csv").open("rb") as opened:
            first = opened.read(LOOK)
        text = first.decode(errors="replace")
        if not text.strip("," + SPACE):
            raise DataError(f"the first sheet of {path} is empty; move the table to it, or save it as CSV")
    else:
        refuse_foreign(path, first)
        found["encoding"] = encoding_of(file, first)
        text = codecs.getincrementaldecoder(found["encoding"])("replace").decode(first)
        refuse_no_text(path, text)
        if json_form := form_of_json(file, text):
            return FileFormat(name=json_form, **found), []
    lines = lines_in(text, len(first) == LOOK)
    if name == "excel":
        found["skip_lines"], rows = below_titles(lines, ",", 0)
    else:
        found["separator"], found["skip_lines"], rows = layout_of(lines)
    found["header"], sure = has_header(rows) if header is None else (header, True)
    notes = titles_of(lines[: found["skip_lines"]]) + ([] if sure else [guess(rows[0], found["header"])])
    return FileFormat(name=name, **found), notes


def titles_of(lines: list[str]) -> list[str]:
    shown = [line.strip() for line in lines if line.strip() and not DECLARED.match(line)]
    if not shown:
        return []
    return [f"what stands above the table, {shown[0][:60]!r}, is left out: data.prepare.format.skip_lines {len(lines)}"]


def guess(first: list[str], header: bool) -> str:
    shown = ", ".join(cell.strip() for cell in first[:5]) + (", …" if len(first) > 5 else "")
    if header:
        return f"the first row ({shown}) was taken for the names of the columns; if it is data, add --no-header"
    return f"the first row ({shown}) was taken for data; if it names the columns, add --header"


def refuse_foreign(path: Path, first: bytes) -> None:
    for magic, (kind, program) in FOREIGN.items():
        if first.startswith(magic):
            raise DataError(f"{path} is {kind}, no table of rows.\nTurn it into CSV or Parquet with {program}")


def refuse_no_text(path: Path, text: str) -> None:
    if MARKUP.match(text.lstrip("\ufeff")):
        raise DataError(
            f"{path} is a page of HTML or XML, no table of rows.\nIf it was downloaded, take the link to the file "
            "itself; if it is the table, open it in a spreadsheet and save it as CSV"
        )
    if "\0" in text[:10_000]:
        raise DataError(
            f"{path} is no text, and no Parquet or Excel file.\nSave the table as CSV, Parquet or JSON lines"
        )


def form_of_json(file: Path, text: str) -> Literal["jsonl", "json"] | None:
    """jsonl, json (one value), or None for what is no JSON."""
    by_name = file.suffix.lower() in (".jsonl", ".ndjson")
    begins = text.lstrip("\ufeff" + SPACE)
    line, _, rest = begins.partition("\n")
    try:
        alone = json.loads(line)
    except ValueError:
        alone = None
    if isinstance(alone, dict):
        return "jsonl" if by_name or rest.strip() else one_object(alone)
    if not by_name and re.match(r"\[\s*(\{|\]|$)|\{\s*(\"|$)", begins):
        return "json"
    return "jsonl" if by_name or file.suffix.lower() == ".json" else None


def one_object(value: dict[str, Any]) -> Literal["jsonl", "json"]:
    """A file of one line: a record, or columns, or what holds a list of records."""
    return "json" if any(isinstance(one, list | dict) for one in value.values()) else "jsonl"


def lines_in(text: str, cut_off: bool) -> list[str]:
    """The first lines with their ends; the last may be cut off."""
    ends = "\n" if "\n" in text else "\r"
    lines = [line + "\n" for line in text.lstrip("\ufeff").split(ends)]
    lines = lines[:-1] if cut_off and len(lines) > 1 else lines
    return lines[:LINES]


def encoding_of(path: Path, first: bytes) -> str:
    """By the mark at its beginning, else UTF-8 if the whole file is that, else what its first bytes look like."""
    for mark, name in MARKS.items():
        if first.startswith(mark):
            return name
    even, odd = first[::2].count(0), first[1::2].count(0)
    if even + odd > len(first) / 5:  # every other byte of Western text in UTF-16 is 0
        return "utf-16-be" if even > odd else "utf-16-le"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while chunk := file.read(1 << 24):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return single_or_double(error.object)
    return "utf-8"


def single_or_double(content: bytes) -> str:
    """Chinese GB 18030 writes pairs of high bytes; Latin-1, and Windows' form of it, single ones among ASCII."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", content)]
    if sum(length % 2 == 0 for length in runs) >= 0.9 * len(runs):
        return "gb18030"
    return "cp1252" if re.search(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]", content) else "latin-1"


def layout_of(lines: list[str]) -> tuple[str, int, list[list[str]]]:
    """The separator, the number of lines before the header, and the rows from there on."""
    declared = DECLARED.match(lines[0])
    if declared:
        return declared[1], *below_titles(lines[1:], declared[1], 1)
    separator = separator_of([line for line in lines if line.strip()][:SCORED])
    return separator, *below_titles(lines, separator, 0)


def separator_of(lines: list[str]) -> str:
    """The one that cuts most lines into as many fields, the header too, and into the most; blanks if there is none."""

    def score(separator: str) -> tuple[float, bool, float, int]:
        rows = [record.fields for record in read_records(lines, Shape(separator))]
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if width < 2:
            return 0.0, False, 0.0, 0
        others = sum(line.count(other) for line in lines for other in SEPARATORS if other not in (separator, ","))
        top = next(row for row in rows if len(row) > 1)
        clean = max(0.0, 1 - others / sum(map(len, rows)))  # in 1,5;2,5 the comma cuts as well as the semicolon
        return round(count / len(rows), 1), len(top) == width, round(clean, 1), width

    best = max(SEPARATORS, key=score)
    share, _, _, width = score(best)
    if width < 2 or share < 0.5:
        width, count = Counter(len(cut(line, " ") or []) for line in lines).most_common(1)[0]
        if width > 1 and count >= 0.9 * len(lines) and len(lines) > 2:
            return " "
    return best


def below_titles(lines: list[str], separator: str, before: int) -> tuple[int, list[list[str]]]:
    """Lines of one field, or of few where the table has many, are a title, as are blank lines above the header."""
    records = list(read_records(lines, Shape(separator), before + 1))
    width, _ = Counter(len(record.fields) for record in records if record.fields).most_common(1)[0]
    rows = [record for record in records if record.fields]
    titles = [is_title(one.fields, width) for one in rows]
    start = titles[:TITLES].index(False) if False in titles[:TITLES] else 0
    if sum(titles[start:]) > SPARSE * len(rows):  # most cells of this table are empty
        start = 0
    above = rows[start - 1].fields if start else []
    named = sum(bool(field.strip()) for field in above)
    if (named > 1 or (named and width == len(above) == 2)) and not has_header([one.fields for one in rows[start:]])[0]:
        start -= 1  # "id," above "1,a": a header that lacks names
    return rows[start].line - 1, [one.fields for one in rows[start:]]


def is_title(fields: list[str], width: int) -> bool:
    if fields[0].startswith(COMMENTS) and len(fields) != width and fields[0].strip() != "#":
        return True
    given = [bool(field.strip()) for field in fields]
    if any(given) and (width < 4 or sum(given) > 1) and all(is_value(field) for field in fields if field.strip()):
        return False
    if width == 2:
        return given in ([True], [True, False])
    return 2 * sum(given) <= width and width > 1


def has_header(rows: list[list[str]]) -> tuple[bool, bool]:
    """Whether the first row names the columns; and whether that is sure.

    It does where a word stands above numbers or dates. It does not where a number stands above numbers, or where
    one of its words comes again in its column. Words above words alone are a guess.
    """
    first, *rest = rows
    if not rest:
        return not any(is_value(cell) for cell in first), True
    again = numbers_above = False
    years = [cell.strip() for cell in first if is_value(cell)]
    if len(years) > 1 and all(map(YEAR.fullmatch, years)) and years == sorted(set(years)) and len(years) < len(first):
        return not any(years == [cell.strip() for cell in row if is_value(cell)] for row in rest), False
    for place, cell in enumerate(first):
        column = (row[place].strip() for row in rest if len(row) > place)
        below = list(islice((text for text in column if text not in cells.OLD.words), VALUES))
        if not below or cell.strip() in cells.OLD.words:
            continue
        values = sum(map(is_value, below)) >= MOSTLY * len(below)
        if values and not is_value(cell):
            return True, True
        numbers_above = numbers_above or values
        again = again or (not values and (cell.strip() in below or cell.strip() in column))
    if numbers_above:
        return False, True
    return not again and not any(map(is_value, first)), False


def is_value(cell: str) -> bool:
    """A number or date, however it is written."""
    text = cell.strip()
    return bool(NUMBER.fullmatch(text)) or is_date(text)
