"""What the columns of a table are called, where its header does not say so plainly."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from pipeline.tables.delimited import COMMON

MOSTLY = 0.9  # share of the rows that must have more or fewer fields than the header before they are believed
FEWEST = 3  # rows


def align(header: list[str], body: list[list[str]]) -> tuple[list[str], list[str]]:
    """The names for the fields of `body`, the first rows, where the header has more or fewer; and what to say of it."""
    usual, _ = usual_width(body)
    names, widest = list(header), usual or max(map(len, body), default=1)
    if names[0] == "#" and len(names) == usual + 1:  # as NumPy writes it
        del names[0]
    while len(names) > widest and not names[-1].strip():
        names.pop()
    extra = usual - len(names)
    if extra <= 0:
        return names, []
    rows = [row for row in body if len(row) == usual]
    if not any(cell.strip() for row in rows for cell in row[len(names) :]):
        return names, ["each line ends in a separator: the empty field behind it is left out"]
    if extra == 1 and name_rows([row[0] for row in rows]):
        return ["", *names], ["the header has one name less than the rows have fields: the first has none"]
    return names + [""] * extra, [f"the header has fewer names than the rows have fields: the last {extra} have none"]


def name_rows(cells: list[str]) -> bool:
    """Whether they are what R writes before each row: a counter, or words that are all different."""
    counter = [int(cell) for cell in cells if cell.strip().isdecimal()]
    if len(counter) == len(cells):
        return all(one < two for one, two in pairwise(counter))
    return not counter and len(set(cells)) == len(cells) and any(cell[:1].isalpha() for cell in cells)


def usual_width(body: list[list[str]]) -> tuple[int, int]:
    """Fields that nearly all rows have, 0 if there is no such number; and the fewest that are no accident."""
    widths = Counter(map(len, body))
    if not widths:
        return 0, 0
    usual, rows = widths.most_common(1)[0]
    habits = [width for width, count in widths.items() if count >= max(FEWEST, COMMON * len(body))]
    return (usual if len(body) >= FEWEST and rows >= MOSTLY * len(body) else 0), min([usual, *habits])


def unique(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names without blanks around them; column_3 for none, by its place; price, price_2 for two that are the same."""
    clean: dict[str, None] = {}
    notes = []
    given = {name.strip() for name in names}
    for place, name in enumerate(names, 1):
        base = own = name.strip() or f"column_{place}"
        number = 2
        while own in clean or (own != name.strip() and own in given):
            own, number = f"{base}_{number}", number + 1
        if own != base:
            notes.append(f"two columns are named {base!r}: that at place {place} is called {own!r}")
        clean[own] = None
    return list(clean), notes
