"""What `ratchet predict` reads of a file: its records in batches, none left out, also where some can't be read."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.project.errors import DataError
from pipeline.tables.faults import explained
from pipeline.tables.reading import RAGGED, Table, open_table, recoded
from pipeline.tables.sniffing import format_of
from pipeline.tables.unpacking import unpack

ROWS = 20_000  # of a table at once
CELLS = 2_000_000  # of a wide table at once
AT_ONCE = 200  # pictures, texts or histories: of a batch, or that go through the network together
BLANK = "all of its cells are empty"


@dataclass(frozen=True)
class Batch:
    """N records in the file's order."""

    names: pl.Series  # (N,) what stands for the record: the table's row, from 0, or the picture's file
    records: Any  # (N,) as pipeline/kinds/KIND/encoder.py takes them
    unread: dict[int, str]  # place → why it is no record
    written: dict[int, str] = field(default_factory=dict)  # place → the line, where it is no row of the table

    def text(self, place: int) -> str | None:
        """The record as it came; of a picture nothing, as it is in its file."""
        if isinstance(self.records, list):
            return None
        row = self.records.drop(RAGGED, strict=False).row(place, named=True)
        return self.written.get(place) or json.dumps(row, ensure_ascii=False, default=str)


def pictures(path: Path) -> Iterator[Batch]:
    """Every file of a folder, or the one that is given."""
    files = sorted(one for one in path.rglob("*") if not one.is_dir()) if path.is_dir() else [path]
    for start in range(0, len(files), AT_ONCE):
        contents, unread = [], {}
        for place, file in enumerate(some := files[start : start + AT_ONCE]):
            try:
                if not file.is_file():  # a pipe would be waited for
                    raise OSError(0, "no plain file")
                contents.append(file.read_bytes())
            except OSError as error:
                contents.append(b"")
                unread[place] = f"it can't be read: {error.strerror}"
        names = [str(file.relative_to(path) if path.is_dir() else file) for file in some]
        yield Batch(pl.Series("file", names, dtype=pl.String), contents, unread)


def rows(path: Path) -> Iterator[Batch]:
    """Those of a table; a line that is none stands for a row without cells."""
    form, table, done = format_of(path), None, 0
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        scratch = Path(folder)
        try:
            table = open_table(path, form, scratch)
            for batch in batches(table, {}):
                yield batch
                done += len(batch.names)
            return
        except (pl.exceptions.PolarsError, DataError) as error:
            found = error
        copy, odd = scratch / "whole.jsonl", {}
        if form.name == "jsonl":
            odd = without_odd_json(recoded(path, unpack(path, scratch), form, scratch), copy)
        if not odd:
            with explained(table) if table else nullcontext():
                raise found
        mended = open_table(copy, form.model_copy(update={"encoding": "utf-8"}), scratch)
        with explained(mended):
            yield from batches(mended, odd, done)


def without_odd_json(utf8: Path, copy: Path) -> dict[int, tuple[str, str]]:
    """A copy with {} where a line is no object; row → why it is left out, and the line."""
    odd, row = {}, 0
    with utf8.open(encoding="utf-8") as file, copy.open("w", encoding="utf-8") as target:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                is_object = isinstance(json.loads(text), dict)
            except ValueError:
                is_object = False
            if not is_object:
                odd[row] = (f"line {line} is no JSON object {{column: value}}", text.rstrip("\n"))
            target.write(text.rstrip("\n") + "\n" if is_object else "{}\n")
            row += 1
    return odd


def batches(table: Table, odd: dict[int, tuple[str, str]], start: int = 0) -> Iterator[Batch]:
    """From the row `start` on; `odd`: row → the reason for which its line was left blank, and the line."""
    frame = table.frame.slice(start) if start else table.frame
    if table.format.name in ("jsonl", "json"):  # a list, in the text that the file has of it
        lists = [name for name, dtype in table.schema.items() if dtype.base_type() == pl.List]
        frame = frame.with_columns(pl.col(lists).list.first()) if lists else frame
    size = min(ROWS, max(AT_ONCE, CELLS // len(table.names)))
    for records in frame.collect_batches(chunk_size=size, maintain_order=True):
        names = pl.Series("row", range(start, start + len(records)))
        unread = dict.fromkeys(blank(records), BLANK)
        here = {place: odd[start + place] for place in unread if start + place in odd}
        unread |= {place: reason for place, (reason, _) in here.items()}
        unread |= {place: wrong for place, wrong in enumerate(records[RAGGED]) if wrong is not None}
        yield Batch(names, records, unread, {place: line for place, (_, line) in here.items()})
        start += len(records)


def blank(records: pl.DataFrame) -> list[int]:
    """The rows without a cell."""
    cells = records.drop(RAGGED, strict=False)
    if not len(cells) or 0 in cells.null_count().row(0):
        return []
    return cells.select(pl.all_horizontal(pl.all().is_null())).to_series().arg_true().to_list()
