"""Numbers as people write them: decimal commas, thousands marks, currencies, percent; in one form for a whole column.

A form is named by how it writes 1234.5. Whole groups of three stand between its thousands marks, or of two as in India
("12,34,567"); the marks may be left out, as may what follows the decimal mark. With a form, signs of currencies and of
percent around the number are no part of it: "12,5 %" is 12.5. Without one a number is what Python takes for one.
"""

from collections import Counter

import numpy as np
import polars as pl

FORMS = {  # the name → its thousands mark and its decimal mark, as in a regular expression
    "1,234.5": (",", r"\."),
    "1.234,5": (r"\.", ","),
    "1 234,5": (r"[ \u00a0\u2009\u202f]", ","),
    "1 234.5": (r"[ \u00a0\u2009\u202f]", r"\."),
    "1'234.5": ("['\u2019]", r"\."),
    "1'234,5": ("['\u2019]", ","),
}
RIVALS = dict(zip(FORMS, ["1.234,5", "1,234.5", "1 234.5", "1 234,5", "1'234,5", "1'234.5"], strict=True))
CURRENCIES = (
    r"\p{Sc}|US\$|A\$|C\$|R\$|\b(?:USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|SEK|NOK|DKK|PLN|CZK|HUF|RUB|TRY|BRL|MXN|ZAR|KRW|AUD|"
    r"CAD|NZD|HKD|SGD|Rs|kr|z\u0142|Fr|Kc)\b\.?|[元円원]"
)
MARKED = rf"[%\uff05]|{CURRENCIES}"  # what stands around a number
GROUPED = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
GROUPED_OR_SHORT = r"^[+-]?([1-9]\d{0,2}\.\d{3}|\d{1,3})$"
LIKE = r"^[\s(+\-\u2212]*\d[\d.,' \u00a0\u2009\u202f\u2019]*[\s)+\-\u2212]*$"  # with what is marked taken away


def parse(texts: pl.Series, form: str) -> pl.Series:
    """Float64 of each text (String): null where it is no number of this form."""
    thousands, decimal = FORMS[form]
    bare = bared(texts)
    negative = bare.str.contains(r"^\(.*\)$|^.*\d-$")
    bare = bare.str.replace(r"^\((.*)\)$", "$1").str.replace(r"^(\d.*)-$", "$1")
    groups = rf"[1-9]\d{{0,2}}(?:{thousands}\d{{2,3}})*{thousands}\d{{3}}"
    shaped = bare.str.contains(rf"^[+-]?(?:{groups}|\d+)(?:{decimal}\d*)?(?:[eE][+-]?\d+)?$|^[+-]?{decimal}\d+$")
    plain = bare.set(~shaped.fill_null(False), None).str.replace_all(thousands, "").str.replace(decimal, ".")
    values = plain.cast(pl.Float64, strict=False)
    return values.zip_with(~negative.fill_null(False), -values)


def bared(texts: pl.Series) -> pl.Series:
    """Without currencies, percent, and blanks around them; every minus is "-"."""
    bare = texts.str.replace_all("\u2212", "-").str.replace_all(MARKED, "").str.strip_chars()
    return bare.str.replace(r"^([+(-]+)\s+", "$1").str.replace(r"\s+([)-])$", "$1")


def resemble(texts: pl.Series) -> pl.Series:
    """Whether a text is made of a number's characters, in whatever form."""
    return bared(texts).str.contains(LIKE)


def may_be_thousands(texts: pl.Series) -> bool:
    """Whether 1.234 may stand for 1234 in all of these plain numbers."""
    return bool(texts.str.contains(GROUPED).any() and texts.str.contains(GROUPED_OR_SHORT).all())


def tally(texts: pl.Series, column: np.ndarray, columns: int) -> list[Counter[tuple[str, str]]]:
    """What of the texts (String, none missing) of each column speaks for and against each form; to be added up.

    `column` (N,): that of each text, from 0. What is counted by form is

    gained and lost: cells that it reads and plain numbers do not, and the other way round; changed: that both read, but
    differently; certain: with a thousands mark and another mark after it; rival: that its rival reads differently.
    """
    found: list[Counter[tuple[str, str]]] = [Counter() for _ in range(columns)]

    def count(form: str, what: str, which: pl.Series, of: np.ndarray | None = None) -> np.ndarray:
        """Of each column how many; of those alone that `of` (columns,) marks."""
        rows = np.bincount(column[which.fill_null(False).to_numpy()], minlength=columns)
        for place in np.flatnonzero(rows if of is None else rows * of):
            found[place][form, what] = int(rows[place])
        return rows

    bare = texts.str.strip_chars()
    plain = bare.cast(pl.Float64, strict=False)
    is_plain = plain.is_finite().fill_null(False)
    count("", "plain", is_plain)
    count("", "grouped", bare.str.contains(GROUPED))
    count("", "whole", bare.str.contains(GROUPED_OR_SHORT))
    marks = {form: count(form, "marks", bare.str.contains(rf"\d{FORMS[form][0]}\d")) > 0 for form in FORMS}
    there = {form: marked | (form[1] in ",.") for form, marked in marks.items()}
    values = {form: parse(texts, form) for form in FORMS if there[form].any()}
    for form, read in values.items():
        is_read = read.is_finite().fill_null(False)
        count(form, "gained", is_read & ~is_plain, there[form])
        count(form, "lost", is_plain & ~is_read, there[form])
        count(form, "changed", is_plain & is_read & (read != plain), there[form])
        count(form, "certain", is_read & texts.str.contains(rf"\d{FORMS[form][0]}\d{{3}}\D"), there[form])
        count(form, "rival", read != values[RIVALS[form]], there[form])
    return found


def choose(found: Counter[tuple[str, str]], comma: bool) -> tuple[str | None, str | None]:
    """(the form of the texts that were counted, None where they are plain numbers; another that reads them otherwise).

    `comma`: decimal commas are likelier than points, as in files with ";". What is plainly a number stays that, unless
    more cells, or one such as 1.234.567, speak for another reading.
    """
    order = sorted(FORMS, key=lambda form: (FORMS[form][1] == ",") != comma)
    best = max(order, key=lambda form: score(found, form))
    if score(found, best) <= 0:
        return None, "1.234,5" if found["", "grouped"] and found["", "whole"] == found["", "plain"] else None
    rival = RIVALS[best]
    return best, rival if score(found, rival) == score(found, best) and found[best, "rival"] else None


def score(found: Counter[tuple[str, str]], form: str) -> int:
    """How many cells more it reads than plain numbers do; those that it reads otherwise speak against it."""
    gained = found[form, "gained"]
    return gained and gained - found[form, "lost"] - (0 if found[form, "certain"] else found[form, "changed"])
