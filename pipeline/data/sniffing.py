"""How a table lies in its file: format, encoding, separator, header; found by looking."""

import codecs
import csv
import re
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config.data import FileFormat
from pipeline.encoders.cells import read
from pipeline.project.errors import DataError

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
MARKS = {  # the longest first, since UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LOOK = 1 << 20  # bytes
LINES = 50
SEPARATORS = ",;\t|"


def format_of(path: Path) -> FileFormat:
    if not path.is_file():
        raise DataError(f"{path} is missing, or no file; give the path of a CSV, Parquet or JSON-lines file")
    with path.open("rb") as file:
        first = file.read(LOOK)
    if not first.strip():
        raise DataError(f"{path} is empty, {len(first)} bytes; give a table with a row for each example")
    name = "parquet" if first[:4] == b"PAR1" else SUFFIXES.get(path.suffix.lower())
    if name is None:
        raise DataError(
            f"{path} ends in {path.suffix!r}; known are {', '.join(SUFFIXES)}.\nRename the file, or convert it"
        )
    found: dict[str, Any] = {"name": name, "separator": ",", "encoding": "utf-8", "header": True, "skip_lines": 0}
    if name == "parquet":
        return FileFormat(**found)
    found["encoding"] = encoding_of(path, first)
    if name == "csv":
        text = codecs.getincrementaldecoder(found["encoding"])("replace").decode(first)
        whole = text if len(first) < LOOK else text[: text.rfind("\n")]
        lines = [line + "\n" for line in whole.splitlines() if line.strip()][:LINES]
        found["separator"] = separator_of(lines)
        found["header"] = has_header(list(csv.reader(lines, delimiter=found["separator"])))
    return FileFormat(**found)


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


def separator_of(lines: list[str]) -> str:
    """The one that cuts most lines into as many fields as the first, and into the most."""

    def score(separator: str) -> tuple[float, int]:
        widths = [len(fields) for fields in csv.reader(lines, delimiter=separator)]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return round(sum(width == widths[0] for width in widths) / len(widths), 1), widths[0]

    return max(SEPARATORS, key=score)


def has_header(rows: list[list[str]]) -> bool:
    """No cell of the first row is a number, or one is a word above numbers alone."""
    first, *rest = rows

    def numbers(cells: list[str]) -> pl.Series:
        return read("number", pl.Series(cells, dtype=pl.String))

    is_number = numbers(first).is_finite().fill_null(False).to_list()
    if not any(is_number):
        return True
    for place, cell in enumerate(first):
        below = numbers([row[place] for row in rest if len(row) > place])
        if not is_number[place] and cell.strip() and below.count() and below.is_finite().all():
            return True
    return False
