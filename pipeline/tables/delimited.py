"""The records of a delimited text, line by line: which are rows of the table, and which are set apart, and why."""

import csv
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

LONGEST = 1000  # lines of one quoted field
CHUNK = 1 << 22  # bytes
COMMON = 0.05  # share of the rows from which a number of fields is a habit of the file
BLANKS = re.compile(r'"(?:[^"]|"")*"|\S+')
UNPAIRED = "a quote without its pair; a field that holds a quote is put in quotes, and the quote written twice"

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


class Record(NamedTuple):
    """`wrong` says why it is no row of the table: too few fields, too many, or a quote that never ends."""

    line: int  # on which it begins, from 1
    fields: list[str]  # none of a blank line
    text: str  # as it is written
    wrong: str | None = None


@dataclass(frozen=True)
class Shape:
    """A row has `least` to `most` fields; what follows the last may only be empty."""

    separator: str
    least: int = 0
    most: int = sys.maxsize

    def fits(self, fields: list[str]) -> bool:
        return not fields or (len(fields) >= self.least and not any(map(str.strip, fields[self.most :])))

    def fault(self, fields: list[str]) -> str | None:
        if self.least <= len(fields) <= self.most or self.fits(fields):
            return None
        if len(fields) < self.least:
            return f"it has {len(fields)} fields, where the table has {self.most} columns"
        beyond = self.separator.join(fields[self.most :])[:200]
        return (
            f"it has {len(fields)} fields, where the table has {self.most} columns; beyond them stands {beyond!r}. "
            f"A field that holds {self.separator!r} is put in quotes"
        )


def read_records(lines: Iterable[str], shape: Shape, first: int = 1) -> Iterator[Record]:
    """All of them; a field may go on over several lines in quotes. `first` is the number of the first line."""
    source, waiting, number = iter(lines), deque[str](), first
    while (text := waiting.popleft() if waiting else next(source, None)) is not None:
        fields = cut(text, shape.separator)
        taken = 1
        if fields is None:
            more = rest_of(text, waiting, source)
            fields = parsed(text + "".join(more), shape.separator, strict=True)
            if fields is not None and shape.fits(fields):
                text, taken = text + "".join(more), taken + len(more)
            else:
                waiting.extendleft(reversed(more))
                fields = None
        if fields is None:
            fields = text.rstrip("\r\n").split(shape.separator)
            literal = shape.separator == "\t" and shape.fits(fields)  # between tabs texts stand as they are
            yield Record(number, fields, text, None if literal else UNPAIRED)
        else:
            yield Record(number, fields, text, shape.fault(fields))
        number += taken


def rest_of(text: str, waiting: deque[str], source: Iterator[str]) -> list[str]:
    """The lines up to the one that ends a quoted field which begins in `text`."""
    more: list[str] = []
    open_quote = bool(text.count('"') % 2)
    while open_quote and len(more) < LONGEST:
        line = waiting.popleft() if waiting else next(source, None)
        if line is None:
            break
        more.append(line)
        open_quote ^= bool(line.count('"') % 2)
    return more


def cut(text: str, separator: str) -> list[str] | None:
    """The fields of one record, none of a blank line; None if a quote in it has no end."""
    if not text.strip():
        return []
    if separator == " ":  # blanks, however many
        return [field[1:-1].replace('""', '"') if field[:1] == '"' else field for field in BLANKS.findall(text)]
    if '"' not in text:
        return text.rstrip("\r\n").split(separator)
    fields = parsed(text, separator, strict=True)
    return parsed(text, separator, strict=False) if fields is None and text.count('"') % 2 == 0 else fields


def parsed(text: str, separator: str, strict: bool) -> list[str] | None:
    """None if it is not one record."""
    try:
        rows = list(csv.reader([text], delimiter=separator, skipinitialspace=True, strict=strict))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def is_regular(path: Path, skip: int, shape: Shape) -> bool:
    """Whether each line after the first `skip` is read alike by every reader of CSV: nothing is to be set apart."""
    if shape.separator == " " or ord(shape.separator) > 127:
        return False
    with path.open("rb") as file:
        for _ in range(skip):
            file.readline()
        while True:
            begin = file.tell()
            chunk = file.read(CHUNK) + file.readline()
            if not chunk:
                return True
            if b'"' not in chunk and widths_fit(chunk, shape):
                continue
            end = file.seek(begin) + len(chunk)
            while file.tell() < end:
                if not is_regular_line(file.readline(), file, shape):
                    return False


def widths_fit(chunk: bytes, shape: Shape) -> bool:
    """Whether each line, none of which holds a quote, has as many fields as it should."""
    content = np.frombuffer(chunk if chunk.endswith(b"\n") else chunk + b"\n", np.uint8)
    before = np.searchsorted(np.flatnonzero(content == ord(shape.separator)), np.flatnonzero(content == ord("\n")))
    widths = np.diff(before, prepend=0) + 1
    return bool(((shape.least <= widths) & (widths <= shape.most)).all())


def is_regular_line(line: bytes, file: BinaryIO, shape: Shape) -> bool:
    if b'"' not in line and shape.least <= line.count(shape.separator.encode()) + 1 <= shape.most:
        return True
    if line in (b"\n", b"\r\n"):
        return True
    text = whole(line, file)
    return text is not None and is_plain(text.decode(errors="replace"), shape)


def whole(line: bytes, file: BinaryIO) -> bytes | None:
    """The record that begins with `line`; None if its quote has no end."""
    lines, open_quote = [line], line.count(b'"') % 2
    while open_quote:
        lines.append(file.readline())
        if not lines[-1] or len(lines) > LONGEST:
            return None
        open_quote ^= lines[-1].count(b'"') % 2
    return b"".join(lines)


def is_plain(text: str, shape: Shape) -> bool:
    try:
        rows = list(csv.reader([text], delimiter=shape.separator, strict=True))
    except csv.Error:
        return False
    loose = f'{shape.separator} "' in text  # a blank before the quote: Polars does not take it for one
    return len(rows) == 1 and bool(text.strip()) and shape.fits(rows[0]) and not loose


def write_regular(records: Iterable[Record], shape: Shape, copy: Path) -> str:
    """Each with `shape.most` fields and what is wrong with it, if anything is; returns the copy's separator."""
    separator = "," if shape.separator == " " else shape.separator
    with copy.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        for record in records:
            fields = record.fields
            if not fields and not record.wrong:
                file.write("\n")
            elif len(fields) == shape.most and '"' not in record.text and not record.wrong and shape.separator != " ":
                file.write(record.text if record.text.endswith("\n") else record.text + "\n")
            else:
                fields = fields[: shape.most]
                writer.writerow([*fields, *[""] * (shape.most - len(fields)), record.wrong or ""])
    return separator
