"""Rows of a table as people send them: the encoder's columns by name, each a cell of the column's type."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

import polars as pl
from pydantic import ConfigDict, Field, create_model

from pipeline.kinds.bodies import STRICT, Invalid, Limits, Text, checked, each, given, joined
from pipeline.kinds.input import Input
from pipeline.kinds.table import cells
from pipeline.kinds.table.encoder import NEEDED, marks_of
from pipeline.kinds.table.frames import nearest

LONGEST = 10_000  # characters of a cell
Cell = Annotated[Text, Field(max_length=LONGEST)]
TYPES = {"number": float, "date": Cell, "category": Cell | int | float | bool}
DAY = re.compile(r"[1-9]\d{3}-\d\d-\d\d", re.ASCII)  # a date that cells.moment reads, if there is such a day
SHOWN = 10  # values of a category in its description

Record = dict[str, Any]


class Rows(Input):
    """A record is a dict of all the columns: floats, texts and None."""

    page = "table"

    def __init__(self, encoder: dict[str, Any], raw: list[Record], limits: Limits):
        self.encoder = encoder
        self.whole = encoder["missing"] == "drop"  # then no cell may be empty
        self.marks = set(cells.marks_of(tuple(marks_of(encoder))).words)
        self.kinds = {column["name"]: column["type"] for column in encoder["columns"]}
        self.needs = {column["name"]: self.need(column) for column in encoder["columns"]}
        self.examples = [{name: one.get(name) for name in self.kinds} for one in raw]
        fields: dict[str, Any] = {f"column_{place}": self.field(name) for place, name in enumerate(self.kinds)}
        extra = ConfigDict(json_schema_extra={"examples": self.examples})
        self.schema = create_model("Record", __config__=STRICT | extra, **fields)

    def need(self, column: dict[str, Any]) -> str:
        need = NEEDED.get(column["type"], f"a text of up to {LONGEST:,} characters, a number, true or false")
        if column["type"] == "date" and column["format"]:
            forms = column["format"]
            need += f", or one written as {forms if isinstance(forms, str) else ' or '.join(forms)}"
        if column["type"] == "category":
            known = [value for value in column["values"] if value is not None]
            need += f"; known are {', '.join(known[:SHOWN])}{', …' if len(known) > SHOWN else ''}"
        return need if self.whole else f"{need}; or null"

    def field(self, name: str) -> tuple[Any, Any]:
        kind = TYPES[self.kinds[name]]
        described: dict[str, Any] = {"alias": name, "description": self.needs[name]}
        return (kind, Field(**described)) if self.whole else (kind | None, Field(None, **described))

    def records(self, values: list[Any], places: list[str], quick: bool = False) -> list[Record]:
        records = each(self.record, values, places)
        problems = [
            {"field": joined(places[row], name), "message": f"{given(cell)}; it needs {self.needs[name]}"}
            for row, name, cell in self.unusable(records)
        ]
        if problems:
            raise Invalid(problems)
        return records

    def record(self, value: Any, place: str) -> Record:
        asked = checked(self.schema, value, place, self.unknown)
        return {
            name: word(asked.get(name)) if kind == "category" else asked.get(name) for name, kind in self.kinds.items()
        }

    def unknown(self, key: str) -> str:
        return f"there is no column {key!r}{nearest(key, list(self.kinds))}"

    def unusable(self, records: list[Record]) -> Iterator[tuple[int, str, str]]:
        """(row, column, cell) of texts that are no date, or that mean an empty cell where there may be none."""
        for name, kind in self.kinds.items():
            texts = {record[name] for record in records if isinstance(record[name], str)}
            bad = undated(texts, self.form(name)) if kind == "date" else set()
            if self.whole:
                bad |= {text for text in texts if text.strip() in self.marks}
            if bad:
                yield from ((row, name, record[name]) for row, record in enumerate(records) if record[name] in bad)

    def form(self, name: str) -> str | list[str] | None:
        return next(column["format"] for column in self.encoder["columns"] if column["name"] == name)

    def columns(self) -> list[dict[str, Any]]:
        """name, type, and the values that a category has."""
        return [
            {"name": column["name"], "type": column["type"]}
            | ({"values": [one for one in column["values"] if one is not None]} if "values" in column else {})
            for column in self.encoder["columns"]
        ]


def word(cell: str | int | float | bool | None) -> str | None:
    """The text that cells.category makes of it, so that the types of other rows' cells change nothing."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        text = repr(cell)
        return text[:-2] if text.endswith(".0") else cells.read("category", pl.Series([cell]))[0]
    return cell if cell is None or isinstance(cell, str) else str(cell)


def undated(texts: set[str], form: str | list[str] | None) -> set[str]:
    """Those that cells.moment can't read; it takes half a millisecond and more, so a plain day is not asked."""
    left = [text for text in texts if not is_day(text)]
    if not left:
        return set()
    return set(pl.Series(left).filter(cells.moment(pl.Series(left), form).is_nan().fill_null(False)))


def is_day(text: str) -> bool:
    if not DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
