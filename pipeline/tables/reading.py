"""Tables in files: CSV, Parquet, JSON and workbooks, as a Polars scan that never holds the file in memory."""

import codecs
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from pipeline.config.data import FileFormat, Source
from pipeline.project.errors import DataError
from pipeline.project.files import sha256
from pipeline.project.paths import RAW_AGAIN
from pipeline.tables.delimited import Record, Shape, is_regular, read_records, write_regular
from pipeline.tables.names import align, unique, usual_width
from pipeline.tables.objects import document_records, json_records, write_lines
from pipeline.tables.unpacking import unpack, write_sheet

CHUNK = 1 << 24  # bytes recoded at a time
HEAD = 10_000  # lines of JSON whose keys are the columns
LOOK = 1000  # rows of CSV whose numbers of fields are those of the table
UTF8 = ("utf-8", "ascii")
RAGGED = " ragged"  # no column's name begins with a blank
PLACES = {"parquet": "row", "excel": "row", "json": "record"}


@dataclass(frozen=True)
class Table:
    """`frame` has String columns, but of Parquet its own; its rows are the file's records, blank lines of CSV too.

    Its last column, RAGGED, says of a line that is no row of the table why, and is null elsewhere.
    """

    path: Path
    format: FileFormat
    utf8: Path  # the file itself, or a recoded copy
    names: list[str]
    frame: pl.LazyFrame
    before: int = 0  # lines before the first record
    shape: Shape = field(default=Shape(","))
    notes: list[str] = field(default_factory=list)  # how the file was understood, where that was not plain

    @property
    def schema(self) -> pl.Schema:
        """Of the columns of `names`."""
        return pl.Schema({name: dtype for name, dtype in self.frame.collect_schema().items() if name != RAGGED})

    def where(self, rows: Sequence[int], total: int) -> list[str]:
        """ "line 7", counted from 1 over the whole file, for each of the rows, ascending; "row 5" of Parquet."""
        if self.format.name in PLACES:
            first = self.before + 1 if self.format.name == "excel" else 0
            return [f"{PLACES[self.format.name]} {first + row}" for row in rows]
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
    file = unpack(path, scratch)
    if form.name == "parquet":
        return parquet(path, file, form)
    if form.name == "excel":
        notes = write_sheet(file, scratch / "sheet.csv")
        return delimited(path, form, scratch / "sheet.csv", names, scratch, notes)
    utf8 = recoded(path, file, form, scratch)
    if form.name == "csv":
        return delimited(path, form, utf8, names, scratch)
    if form.name == "json":
        write_lines(document_records(path, utf8), scratch / "records.jsonl")
        utf8 = scratch / "records.jsonl"
    return json_lines(path, form, utf8, scratch)


def parquet(path: Path, file: Path, form: FileFormat) -> Table:
    """Its fields of structs are columns a.b."""
    try:
        frame = pl.scan_parquet(file, glob=False)
        schema = frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} is no whole Parquet file; download or write it again") from error
    parts = list(fields_of(schema.items()))
    names, notes = unique([name for name, _ in parts])
    frame = frame.select(part.alias(name) for name, (_, part) in zip(names, parts, strict=True))
    return Table(path, form, file, names, frame.with_columns(NONE), notes=notes)


def fields_of(
    columns: Iterable[tuple[str, pl.DataType | pl.datatypes.DataTypeClass]],
    before: str = "",
    within: pl.Expr | None = None,
) -> Iterator[tuple[str, pl.Expr]]:
    for name, dtype in columns:
        part = pl.col(name) if within is None else within.struct.field(name)
        if isinstance(dtype, pl.Struct) and dtype.fields:
            yield from fields_of(((one.name, one.dtype) for one in dtype.fields), f"{before}{name}.", part)
        else:
            yield f"{before}{name}", part


NONE = pl.lit(None, pl.String).alias(RAGGED)


def delimited(
    path: Path, form: FileFormat, utf8: Path, names: list[str] | None, scratch: Path, notes: Sequence[str] = ()
) -> Table:
    """Lines that are no rows of the table, and all else that Polars reads otherwise, come from a copy in `scratch`."""
    head = list(itertools.islice(lines_as(utf8, Shape(form.separator), form.skip_lines), LOOK))
    if not head or not head[0].fields:
        raise DataError(
            f"line {form.skip_lines + 1} of {path} is blank or not there; it must hold the first row of the table.\n"
            "Set data.prepare.format.skip_lines to the number of lines before it"
        )
    body = [record.fields for record in head[form.header :] if record.fields]
    if form.header:
        names, said = align(head[0].fields, body)
    else:
        width = usual_width(body)[0] or len(head[0].fields)
        said, names = [], names or [""] * width
        if len(names) != width:
            raise DataError(
                f"the first row of {path} has {width} fields, but data.prepare.columns and target name {len(names)}; "
                "without a header they name every field in order.\nCorrect data.prepare.columns, or format.separator"
            )
    names, doubled = unique(names)
    skip = (head[1].line if len(head) > 1 else line_ends(utf8) + 1) - 1 if form.header else form.skip_lines
    shape = Shape(form.separator, min(usual_width(body)[1], len(names)), len(names))
    notes = [*notes, *said, *doubled]
    if is_regular(utf8, skip, shape):
        frame = scan(utf8, names, form.separator, skip).with_columns(NONE)
    else:
        separator = write_regular(lines_as(utf8, shape, skip), shape, scratch / "regular.csv")
        frame = scan(scratch / "regular.csv", [*names, RAGGED], separator, 0)
    return Table(path, form, utf8, names, frame, skip, shape, notes)


def scan(file: Path, names: Sequence[str], separator: str, skip: int) -> pl.LazyFrame:
    return pl.scan_csv(
        file,
        has_header=False,
        skip_lines=skip,
        schema=dict.fromkeys(names, pl.String),
        separator=separator,
        glob=False,
        raise_if_empty=False,
        missing_columns="insert",
        extra_columns="ignore",
        truncate_ragged_lines=True,
    )


def lines_as(utf8: Path, shape: Shape, skip: int) -> Iterator[Record]:
    """The records after the first `skip` lines."""
    with utf8.open(encoding="utf-8" if skip else "utf-8-sig", newline="\n", errors="surrogateescape") as file:
        for _ in range(skip):
            file.readline()
        yield from read_records(file, shape, skip + 1)


def json_lines(path: Path, form: FileFormat, utf8: Path, scratch: Path) -> Table:
    names: dict[str, None] = {}
    nested = False
    lists: set[str] = set()
    for _, record in itertools.islice(json_records(path, utf8), HEAD):
        names.update(dict.fromkeys(record))
        nested = nested or any(isinstance(value, dict) and value for value in record.values())
        lists.update(name for name, value in record.items() if isinstance(value, list))
    if nested:
        write_lines((record for _, record in json_records(path, utf8)), scratch / "flat.jsonl")
        flat = json_lines(path, form, scratch / "flat.jsonl", scratch)
        return replace(flat, utf8=utf8)
    frame = pl.scan_ndjson(utf8, schema=dict.fromkeys(names, pl.String))
    clean, notes = unique(list(names))
    frame = frame.rename(dict(zip(names, clean, strict=True)))
    columns = [pl.concat_list(name) for old, name in zip(names, clean, strict=True) if old in lists]
    return Table(path, form, utf8, clean, frame.with_columns(*columns, NONE), notes=notes)


def recoded(path: Path, file: Path, form: FileFormat, scratch: Path) -> Path:
    """The file in UTF-8 and with lines that end in a line feed: itself, or a copy in `scratch`."""
    encoding = form.encoding.lower().replace("_", "-")
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise DataError(
            f"data.prepare.format.encoding is {form.encoding!r}, which Python does not know; "
            "common ones are utf-8, utf-16, latin-1, cp1252, gb18030"
        ) from None
    returns = ends_in_returns(file, encoding)
    if not returns and (encoding in UTF8 or (encoding == "utf-8-sig" and form.name == "csv")):
        return file
    copy, done = scratch / "utf8", 0
    with file.open("rb") as source, copy.open("wb") as target:
        while chunk := source.read(CHUNK):
            try:
                text = decoder.decode(chunk, final=len(chunk) < CHUNK)
            except UnicodeError as error:
                raise DataError(f"{path} is not {form.encoding}, about byte {done:,}: {error}.\n{ANOTHER}") from None
            target.write((text.replace("\r", "\n") if returns else text).encode())
            done += len(chunk)
    return copy


ANOTHER = "Set data.prepare.format.encoding, to utf-8, utf-16, latin-1, cp1252 or gb18030"


def ends_in_returns(file: Path, encoding: str) -> bool:
    """Whether its lines end in a carriage return alone, as old Macs and some instruments write them."""
    with file.open("rb") as source:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(source.read(1 << 20))
    return "\r" in text and "\n" not in text


def line_ends(path: Path) -> int:
    """Lines; the last may lack its end."""
    found, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found, last = found + chunk.count(b"\n"), chunk[-1:]
    return found + (last != b"\n")


def lines_of(table: Table, rows: Iterable[int]) -> Iterator[int]:
    """The line on which each of the rows, ascending, begins."""
    if table.format.name == "csv":
        begins = (record.line for record in lines_as(table.utf8, table.shape, table.before))
    else:
        begins = (line for line, _ in json_records(table.path, table.utf8))
    done = 0
    for row in rows:
        yield next(itertools.islice(begins, row - done, None))
        done = row + 1


def ragged(table: Table) -> tuple[int, str]:
    """How many lines are no rows of the table, and of the first where it stands and why."""
    found = table.frame.select(RAGGED).with_row_index(" row").filter(pl.col(RAGGED).is_not_null())
    first = found.head(1).collect()
    if first.is_empty():
        return 0, ""
    total = table.frame.select(pl.len()).collect().item()
    (where,) = table.where([first[" row"][0]], total)
    return found.select(pl.len()).collect().item(), f"{where}: {first[RAGGED][0]}"
