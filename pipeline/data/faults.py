"""On which line a table's file is wrong, and why: Polars says only that it is."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from pipeline.data.reading import ANOTHER, Table, csv_records, json_records
from pipeline.project.errors import DataError


@contextmanager
def explained(table: Table) -> Iterator[None]:
    """Turns an error of Polars while it reads `table` into a DataError that names the line."""
    try:
        yield
    except pl.exceptions.PolarsError as error:
        refuse_foreign_bytes(table)
        if table.format.name == "jsonl":
            for _ in json_records(table.path, table.utf8):
                pass
        if table.format.name == "csv":
            refuse_odd_lines(table)
        raise DataError(f"{table.path} can't be read as {table.format.name}: {str(error).splitlines()[0]}") from error


def refuse_foreign_bytes(table: Table) -> None:
    if table.format.name == "parquet":
        return
    with table.utf8.open("rb") as file:
        for line, content in enumerate(file, 1):
            try:
                content.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"line {line} of {table.path} is not {table.format.encoding}: "
                    f"byte {content[error.start]:#04x} at {error.start + 1}.\n{ANOTHER}"
                ) from None


def refuse_odd_lines(table: Table) -> None:
    columns, separator, line = len(table.names), table.format.separator, table.format.skip_lines
    try:
        for line, fields, written in csv_records(table):
            if written.count('"') % 2:
                raise DataError(
                    f"line {line} of {table.path} has a quote without its pair: {written[:80]!r}.\n"
                    'Put a field that holds a quote in quotes, and write the quote twice: "5"" pipe"'
                )
            if len(fields) > columns:
                raise DataError(
                    f"line {line} of {table.path} has {len(fields)} fields, but the table has {columns} columns.\n"
                    f'Put a field that holds {separator!r} in quotes: "a{separator}b"'
                )
    except csv.Error as error:
        raise DataError(f"{table.path} can't be read after line {line}: {error}") from None
