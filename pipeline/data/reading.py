"""Tables in files: CSV, Parquet and JSON lines, as a Polars scan that never holds the file in memory."""

import codecs
import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config.data import FileFormat, Source
from pipeline.project.errors import DataError
from pipeline.project.files import sha256
from pipeline.project.paths import RAW_AGAIN

CHUNK = 1 << 24  # bytes recoded at a time
HEAD = 10_000  # lines of JSON whose keys are the columns
UTF8 = ("utf-8", "ascii")

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(frozen=True)
class Table:
    """`frame` has String columns, but of Parquet its own; its rows are the file's records, blank lines of CSV too."""

    path: Path
    format: FileFormat
    utf8: Path  # the file itself, or a recoded copy
    names: list[str]
    frame: pl.LazyFrame
    before: int = 0  # lines before the first record

    @property
    def schema(self) -> pl.Schema:
        return self.frame.collect_schema()

    def where(self, rows: Sequence[int], total: int) -> list[str]:
        """ "line 7", counted from 1 over the whole file, for each of the rows, ascending; "row 5" of Parquet."""
        if self.format.name == "parquet":
            return [f"row {row}" for row in rows]
        if line_ends(self.utf8) - self.before == total:  # no record takes two lines
            return [f"line {self.before + row + 1}" for row in rows]
        return [f"line {line}" for line in lines_of(self, rows)]


def only_file(raw: Path, source: Source) -> Path:
    """The path of the one file that a table's source names, verified if it is there."""
    if len(source.files) != 1:
        raise DataError(f"data.source.files names {', '.join(source.files)}; a table is one file")
    ((name, wanted),) = source.files.items()
    path = raw / name
    if path.is_file() and (given := sha256(path)) != wanted.sha256:
        raise DataError(f"{path} was altered: SHA-256 {given};\nexpected {wanted.sha256}.\nType: {RAW_AGAIN}")
    return path


def open_table(path: Path, form: FileFormat, scratch: Path, names: list[str] | None = None) -> Table:
    """The table in `path`; `names` are those of a CSV without a header. DataError for a file that is none."""
    if not path.is_file():
        raise DataError(f"{path} is missing, or no file.\nType: dvc repro download")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty, 0 bytes; give a table with a row for each example")
    if form.name == "parquet":
        return parquet(path, form)
    utf8 = recoded(path, form, scratch)
    return delimited(path, form, utf8, names) if form.name == "csv" else json_lines(path, form, utf8)


def parquet(path: Path, form: FileFormat) -> Table:
    try:
        frame = pl.scan_parquet(path, glob=False)
        given = frame.collect_schema().names()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} is no whole Parquet file: {error}") from None
    names = stripped(path, given)
    return Table(path, form, path, names, frame.rename(dict(zip(given, names, strict=True))))


def delimited(path: Path, form: FileFormat, utf8: Path, names: list[str] | None) -> Table:
    with utf8.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        for _ in range(form.skip_lines):
            file.readline()
        reader = csv.reader(file, delimiter=form.separator)
        first = next(reader, None)
        header_lines = reader.line_num if form.header else 0
    if not first:
        raise DataError(
            f"line {form.skip_lines + 1} of {path} is blank or not there; it must hold the first row of the table.\n"
            "Set data.prepare.format.skip_lines to the number of lines before it"
        )
    if form.header or names is None:
        names = first if form.header else [""] * len(first)
    elif len(names) != len(first):
        raise DataError(
            f"the first row of {path} has {len(first)} fields, but data.prepare.columns and target name {len(names)}; "
            "without a header they name every field in order.\nCorrect data.prepare.columns, or format.separator"
        )
    names = stripped(path, names)
    skip = form.skip_lines + header_lines
    schema = dict.fromkeys(names, pl.String)
    frame = pl.scan_csv(
        utf8,
        has_header=False,
        skip_lines=skip,
        schema=schema,
        separator=form.separator,
        glob=False,
        raise_if_empty=False,
    )
    return Table(path, form, utf8, names, frame, skip)


def json_lines(path: Path, form: FileFormat, utf8: Path) -> Table:
    names: dict[str, None] = {}
    for line, record in itertools.islice(json_records(path, utf8), HEAD):
        names.update(dict.fromkeys(record))
    frame = pl.scan_ndjson(utf8, schema=dict.fromkeys(names, pl.String))
    clean = stripped(path, list(names))
    return Table(path, form, utf8, clean, frame.rename(dict(zip(names, clean, strict=True))))


def json_records(path: Path, utf8: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, record) of each line that is not blank."""
    with utf8.open(encoding="utf-8") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except ValueError as error:
                raise DataError(f"line {line} of {path} is no JSON: {error}. Each line must be one object") from None
            if not isinstance(record, dict):
                raise DataError(
                    f"line {line} of {path} is {text[:60]!r}; each line must be one object {{column: value}}"
                )
            yield line, record


def stripped(path: Path, names: Sequence[str]) -> list[str]:
    """Names without blanks around them; a column without a name is column_3, by its place."""
    clean = [name.strip() or f"column_{place}" for place, name in enumerate(names, 1)]
    for place, name in enumerate(clean):
        if name in clean[:place]:
            raise DataError(
                f"columns {clean.index(name) + 1} and {place + 1} of {path} are both named {name!r}; "
                "rename one of them in the file, so that each can be told from the other"
            )
    return clean


def recoded(path: Path, form: FileFormat, scratch: Path) -> Path:
    """The file in UTF-8, as Polars wants it: itself, or a copy in `scratch`."""
    encoding = form.encoding.lower().replace("_", "-")
    if encoding in UTF8 or (encoding == "utf-8-sig" and form.name == "csv"):
        return path
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise DataError(
            f"data.prepare.format.encoding is {form.encoding!r}, which Python does not know; "
            "common ones are utf-8, utf-16, latin-1, cp1252, gb18030"
        ) from None
    copy, done = scratch / "utf8", 0
    with path.open("rb") as source, copy.open("wb") as target:
        while chunk := source.read(CHUNK):
            try:
                target.write(decoder.decode(chunk, final=len(chunk) < CHUNK).encode())
            except UnicodeError as error:
                raise DataError(f"{path} is not {form.encoding}, about byte {done:,}: {error}.\n{ANOTHER}") from None
            done += len(chunk)
    return copy


ANOTHER = "Set data.prepare.format.encoding, to utf-8, utf-16, latin-1, cp1252 or gb18030"


def line_ends(path: Path) -> int:
    """Lines; the last may lack its end."""
    found, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found, last = found + chunk.count(b"\n"), chunk[-1:]
    return found + (last != b"\n")


def lines_of(table: Table, rows: Iterable[int]) -> Iterator[int]:
    """The line on which each of the rows, ascending, begins."""
    begins = (
        csv_lines(table) if table.format.name == "csv" else (line for line, _ in json_records(table.path, table.utf8))
    )
    done = 0
    for row in rows:
        yield next(itertools.islice(begins, row - done, None))
        done = row + 1


def csv_lines(table: Table) -> Iterator[int]:
    for line, _, _ in csv_records(table):
        yield line


def csv_records(table: Table) -> Iterator[tuple[int, list[str], str]]:
    """(line on which it begins, fields, as written) of each record after the header."""
    written: list[str] = []
    with table.utf8.open(encoding="utf-8-sig", newline="") as file:
        for _ in range(table.format.skip_lines):
            file.readline()
        reader = csv.reader(kept(file, written), delimiter=table.format.separator)
        if table.format.header:
            next(reader)
        while True:
            written.clear()
            line = table.format.skip_lines + reader.line_num + 1
            fields = next(reader, None)
            if fields is None:
                return
            yield line, fields, "".join(written)


def kept(lines: Iterable[str], written: list[str]) -> Iterator[str]:
    for line in lines:
        written.append(line)
        yield line
