"""A card as Markdown, which MLflow shows as a version's description, and as one HTML page with its figures."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from pathlib import Path

from pipeline.project import html
from pipeline.project.secrets import redact

NAME = "card.html"
LONGEST = 5000  # characters that MLflow's databases keep of a description
SHORTER = [(10, 1000), (5, 1000), (5, 400), (3, 200), (1, 80)]  # rows of a table, characters of a text: what fits first
ROWS = 200  # of a table in the page
CELL = 64  # characters of a cell in Markdown: a whole SHA-256
SPECIAL = re.compile(r"([\\`*\[\]<>|#~$]|(?<!\w)_|_(?!\w))")


@dataclass(frozen=True)
class Part:
    """A section of a card; one without content is left out. All of it is plain text, which is escaped."""

    title: str
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    commands: Sequence[str] = ()
    figures: Sequence[Path] = ()

    @property
    def empty(self) -> bool:
        return not (self.text or self.rows or self.commands or self.figures)


def markdown(title: str, parts: Iterable[Part]) -> str:
    """Tables are cut until all of it is short enough."""
    parts = [part for part in parts if not part.empty and not part.figures]
    note = f"Whole tables and figures: {NAME}, among this version's artifacts."
    for rows, characters in SHORTER:
        said = chain.from_iterable(lines(part, rows, characters) for part in parts)
        text = redact("\n".join([f"# {plain(title)}", "", note, "", *said]))
        if len(text) <= LONGEST:
            break
    return text[:LONGEST]


def lines(part: Part, most: int, characters: int) -> Iterable[str]:
    yield from [f"## {plain(part.title)}", ""]
    if part.text:
        yield from ["\n\n".join(plain(text) for text in cut(part.text, characters).split("\n\n")), ""]
    if part.rows:
        yield f"| {' | '.join(map(cell, part.head))} |"
        yield f"|{'---|' * len(part.head)}"
        yield from (f"| {' | '.join(map(cell, row))} |" for row in part.rows[:most])
        yield ""
    if len(part.rows) > most:
        yield from [f"and {len(part.rows) - most:,} more", ""]
    if part.commands:
        yield from ["```sh", *part.commands, "```", ""]


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def cell(text: str) -> str:
    return plain(cut(" ".join(text.split()), CELL))


def plain(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def page(title: str, parts: Iterable[Part]) -> str:
    return html.document(redact(title), [section(part) for part in parts if not part.empty])


def section(part: Part) -> str:
    said = "".join(f"<p>{escape(redact(text))}</p>\n" for text in part.text.split("\n\n") if text)
    rows = [[redact(cell) for cell in row] for row in part.rows[:ROWS]]
    table = html.table(part.head, rows) if rows else ""
    more = f"<p class='quiet'>and {len(part.rows) - ROWS:,} more</p>" if len(part.rows) > ROWS else ""
    commands = f"<pre>{escape(redact(chr(10).join(part.commands)))}</pre>" if part.commands else ""
    return html.section(part.title, said + table + more + commands + "".join(map(picture, part.figures)))


def picture(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    name = escape(path.stem.replace("_", " "))
    return f'<p><img alt="{name}" src="data:image/png;base64,{content}"></p>\n'
