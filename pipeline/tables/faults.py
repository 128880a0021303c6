"""On which line a table's file is wrong, and why: Polars says only that it is."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from pipeline.project.errors import DataError
from pipeline.tables.objects import json_records
from pipeline.tables.reading import ANOTHER, Table


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
        raise DataError(
            f"{table.path} can't be read as {table.format.name}.\nOpen it in a spreadsheet or with the program that "
            "wrote it, save it as CSV in UTF-8, and give that"
        ) from error


def refuse_foreign_bytes(table: Table) -> None:
    if table.format.name not in ("csv", "jsonl"):
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
