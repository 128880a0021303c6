"""One page that needs no other file and no other host."""

from collections.abc import Iterable
from html import escape

STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #22262c; background: #fff; margin: 0 auto; padding: 1.2rem;
  max-width: 66rem }
h1 { font-size: 1.5rem; margin: 0 0 .3rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem }
p { margin: .3rem 0; max-width: 46rem; overflow-wrap: anywhere } pre { overflow-x: auto }
.quiet { color: #666c75 } b { color: #2f6db5 } .bad { color: #b3372f }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .88rem; margin: .6rem 0 }
th, td { padding: .28rem .8rem .28rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e6ea }
th { font-weight: 600; white-space: nowrap } td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
td.lines { white-space: pre-line } img { max-width: 100% }
td.reason { min-width: 14rem; max-width: 30rem; overflow-wrap: anywhere }
@media print { body { max-width: none; padding: 0 } .wide { overflow: visible } section { break-inside: avoid } }
"""


def document(title: str, sections: Iterable[str], script: str = "") -> str:
    """`title` is escaped; the sections are HTML."""
    name = escape(title)
    script = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{STYLE}</style>\n{script}\n</head>\n<body>\n"
        f"<h1>{name}</h1>\n" + "\n".join(part for part in sections if part) + "\n</body>\n</html>\n"
    )


def section(title: str, content: str) -> str:
    return f"<section>{f'<h2>{escape(title)}</h2>' if title else ''}\n{content}\n</section>"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Of texts, which are escaped."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<tr>{names}</tr>\n{lines}</table></div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, which are escaped; without the pairs that have no value."""
    lines = (
        f'<tr><th>{escape(name)}</th><td class="lines">{escape(value)}</td></tr>' for name, value in pairs if value
    )
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'
