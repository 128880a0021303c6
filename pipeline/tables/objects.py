"""Tables written as JSON: a line for each record, a list of records, or columns; nested objects become columns a.b."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from pipeline.project.errors import DataError

CHUNK = 1 << 20  # characters
WHOLE = 1 << 28  # bytes of a file that is one object: it is read at once
SPACE = " \t\r\n"


def json_records(path: Path, utf8: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, record) of each line that is not blank."""
    with utf8.open(encoding="utf-8-sig") as file:
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


def document_records(path: Path, utf8: Path) -> Iterator[dict[str, Any]]:
    """Of a file that is one JSON value: a list of objects, which streams, or an object that holds one, or columns."""
    with utf8.open(encoding="utf-8-sig") as file:
        first = file.read(CHUNK).lstrip(SPACE)[:1]
        file.seek(0)
        if first != "[" and utf8.stat().st_size > WHOLE:
            raise DataError(f"{path} is one JSON object of more than {WHOLE:,} bytes; {WRITE}")
        found = listed(path, file) if first == "[" else records_in(path, file.read())
        for number, record in enumerate(found, 1):
            if not isinstance(record, dict):
                raise DataError(f"record {number} of {path} is {json.dumps(record)[:60]}; {WRITE}")
            yield record


WRITE = "write a list of objects, [{column: value}, …], or each on a line of its own"


def listed(path: Path, file: TextIO) -> Iterator[Any]:
    """The members of a list, a chunk of the file at a time."""
    decoder, text, place, ended = json.JSONDecoder(), "", 0, False
    number, wanted = 0, "["
    while True:
        text, place = text[place:], 0
        more = file.read(CHUNK)
        text, ended = text + more, not more
        while True:
            while place < len(text) and text[place] in SPACE:
                place += 1
            if place == len(text):
                break
            if text[place] in wanted:
                place, wanted = place + 1, ""
                continue
            if text[place] == "]":
                return
            try:
                value, end = decoder.raw_decode(text, place)
            except ValueError as error:
                if ended:
                    raise DataError(f"{path} is no whole JSON after record {number}: {error}; {WRITE}") from None
                break
            if end == len(text) and not ended:  # a number may go on
                break
            number, place, wanted = number + 1, end, ","
            yield value
        if ended:
            raise DataError(f"{path} is no whole JSON: the list has no end after record {number}; {WRITE}")


def records_in(path: Path, text: str) -> Iterable[Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}; {WRITE}") from None
    lists = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
    if len(lists) == 1:
        return lists[0]
    columns = list(value.values())
    if columns and all(isinstance(one, list) for one in columns) and len(set(map(len, columns))) == 1:
        return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if columns and all(isinstance(one, dict) for one in columns) and len({tuple(one) for one in columns}) == 1:
        return [{name: column[row] for name, column in value.items()} for row in columns[0]]  # as pandas writes it
    raise DataError(f"{path} is one JSON object without a list of records; {WRITE}")


def flatten(record: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": 1}} → a.b: 1; lists stay as they are."""
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def write_lines(records: Iterable[dict[str, Any]], copy: Path) -> None:
    with copy.open("w", encoding="utf-8") as file:
        for record in records:
            flat: dict[str, Any] = {}
            for name, value in flatten(record):
                while name in flat:
                    name += "_2"
                flat[name] = value
            file.write(json.dumps(flat, ensure_ascii=False) + "\n")
