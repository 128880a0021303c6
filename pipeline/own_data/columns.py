"""What `ratchet init` makes of a table's column: a number, a category, a date, or nothing that a net could use."""

import re
from dataclasses import dataclass
from typing import cast

import polars as pl

from pipeline.kinds.table.cells import COMPACT
from pipeline.tables.dates import form_of
from pipeline.tables.profile import Profile, is_plain

MOSTLY, NEARLY = 0.95, 0.99  # shares of cells: that are dates, that are numbers
LONG = 30  # bytes of a cell on average from which a text is free text
CLASSES = 20  # whole numbers of up to so many values are classes
MANY = 1000  # values of a category
LOOK = 10_000  # rows in which the form of dates is looked for
YEARS = (1500, 2200)  # whole numbers within may be years, one after the other
FREE_TEXT, GROUP, ID = "free text", "an id that comes back", "an id: nearly all values are different"
UNNAMED = re.compile(r"^column_\d+$|^[Uu]nnamed|^X$|^$")  # as we, pandas and R name what has no name
LABEL = re.compile(
    r"(^|[_\W])(id|uuid|guid|index|idx|key|no|nr|row|row_?(names?|num(ber)?|no|nr))$|[a-z]I[dD]$|编号|序号",
    re.IGNORECASE,
)
CLOCK = re.compile(
    r"(^|[_\W])(time|t|step|period|second|minute|hour|day|week|month|quarter|year|age)s?$", re.IGNORECASE
)
UNIT = r"^[+-]?\d[\d.,]*\s*[\p{L}°/²³]{1,6}$"  # 12 kg


@dataclass(frozen=True)
class Found:
    """A column: the type to use, and why, or what to know of it."""

    name: str
    type: str  # number, category, date or ignore; of the target its task
    reason: str
    missing: int  # cells
    distinct: int  # values; about, in a large file
    format: str | None = None  # as Column has it


def column_of(one: Profile, first: bool) -> Found:
    """`first`: it is the first of the file, where row labels stand."""
    kind, reason = of_compact_dates(one) or of_numbers(one, first) or of_dates(one) or of_words(one)
    met = ", ".join(f"{mark!r} {rows:,}" for mark, rows in one.marks)
    notes = [reason, f"missing: {met}" if met and kind != "ignore" else ""]
    form = one.form if kind == "number" else None
    return Found(one.name, kind, "; ".join(filter(None, notes)), one.rows - one.given, one.distinct, form)


def of_numbers(one: Profile, first: bool) -> tuple[str, str] | None:
    if not is_plain(one.dtype):
        return "ignore", f"values of type {one.dtype}"
    if not one.given:
        return "ignore", "all cells are empty"
    if one.distinct == 1 and one.given == one.rows:
        return "ignore", f"constant: always {one.example!r}"
    codes = one.zeros and not one.form  # 007
    if not holds_numbers(one) or one.dtype == pl.Boolean or codes or one.distinct == 1:
        return None
    reason = label(one, first)
    return ("ignore", reason) if reason else ("number", "; ".join(number_notes(one)))


def holds_numbers(one: Profile) -> bool:
    """Whether nearly all cells are numbers, or most are many different ones among a few words such as "unknown"."""
    if one.numbers >= NEARLY * one.given:
        return True
    return one.numbers > one.given / 2 and one.distinct > CLASSES + len(one.words) and mostly_marks(one)


def mostly_marks(one: Profile) -> bool:
    """Whether what is no number is a few words that come back, or rare."""
    back = sum(rows for _, rows in repeated(one))
    return one.numbers >= MOSTLY * one.given or back >= 0.9 * one.odd_share * one.looked


def repeated(one: Profile) -> list[tuple[str, int]]:
    """Words among numbers that come back, and so stand for something: a missing cell."""
    return [(word, rows) for word, rows in one.words if rows > 1 and rows >= one.looked / 500]


def label(one: Profile, first: bool) -> str | None:
    """Why whole numbers are no measure: they number the rows, or what the rows are of."""
    if one.low is None or one.high is None or one.whole < one.numbers or one.given < 10:
        return None
    in_a_row = one.high - one.low + 1 <= one.given / MOSTLY and not (YEARS[0] <= one.low and one.high <= YEARS[1])
    in_a_row = in_a_row and (one.rising or not UNNAMED.search(one.name))
    if one.all_different and (LABEL.search(one.name) or (in_a_row and not CLOCK.search(one.name))):
        return ID
    if one.all_different and first and UNNAMED.search(one.name) and one.rising and one.low in (0, 1):
        return "a row label: it rises from row to row"
    if LABEL.search(one.name) and one.distinct > one.given / 20:
        return f"{GROUP}: {one.distinct:,} values in {one.given:,} rows; may be the group of the split"
    return None


def number_notes(one: Profile) -> list[str]:
    notes = [f"written as {one.form}"] if one.form else []
    if one.rival:
        notes.append(f"{one.example!r} may be meant as in {one.rival}: then give it format: {one.rival!r}")
    if odd := one.given - one.numbers:
        words = ", ".join(f"{word!r}" for word, _ in one.words[:3])
        taken = sum(rows for _, rows in repeated(one))
        notes.append(f"{odd:,} cells hold no number" + (f", such as {words}" if words else ""))
        notes.append("those words are taken as missing" if taken else "such rows are set apart")
    return notes


def of_compact_dates(one: Profile) -> tuple[str, str] | None:
    """20240131 in every cell."""
    if one.dtype != pl.String or one.whole < max(one.given, 1) or one.distinct < 2:
        return None
    if one.low is None or one.high is None or not 19000101 <= one.low <= one.high <= 21001231:
        return None
    dates = form_of(one.head.head(LOOK))
    return ("date", f"written as {dates.shown}") if dates.form == COMPACT and dates.share == 1 else None


def of_dates(one: Profile) -> tuple[str, str] | None:
    if one.dtype == pl.Date or one.dtype.base_type() == pl.Datetime:
        return "date", ""
    if one.dtype != pl.String or one.distinct == 1 or one.numbers > one.given / 2:
        return None
    dates = form_of(one.head.head(LOOK))
    if dates.share < MOSTLY:
        return None
    if dates.ambiguous:
        return "ignore", f"dates whose day and month can't be told apart, such as {one.example!r}: {dates.advice}"
    return "date", f"written as {dates.shown}" if dates.form else ""


def of_words(one: Profile) -> tuple[str, str]:
    among = one.numbers > one.given / 2 and one.dtype == pl.String and one.distinct > 1
    if one.bytes >= LONG and (one.all_different or one.distinct > one.given / 2):
        return "ignore", f"{FREE_TEXT}: long and mostly different"
    units = one.dtype == pl.String and (one.all_different or one.distinct > CLASSES)
    if units and (cast("float | None", one.head.drop_nulls().str.contains(UNIT).mean()) or 0) > MOSTLY:  # of booleans
        use = "ignore" if one.all_different else "category"
        return use, f"numbers with a unit, such as {one.example!r}: write them without, to use them as numbers"
    if one.all_different and not among:
        return "ignore", ID
    if LABEL.search(one.name) and one.distinct > one.given / 20 and one.given >= 10 and not among:
        return "ignore", f"{GROUP}: {one.distinct:,} values in {one.given:,} rows; may be the group of the split"
    if one.zeros and one.numbers == one.given:
        return "category", "numbers with leading zeros are codes"
    if among:
        return "category", f"numbers in {one.numbers:,} of {one.given:,} cells, words in the others"
    return "category", f"{one.distinct:,} values; the {MANY:,} most frequent are kept" if one.distinct > MANY else ""
