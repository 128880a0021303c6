"""In which forms a column writes its dates."""

import re
from dataclasses import dataclass
from typing import cast

import polars as pl

from pipeline.kinds.table import cells
from pipeline.project.errors import DataError

FEW, SHAPES = 30, 50  # cells, of which one must look like a date; ways of writing that are looked at
SOME = 0.01  # share of cells from which a second order of day and month is no slip
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WRITTEN = re.compile(
    r"(?:(?P<weekday>[a-z]{3,9})(?P<comma>,? ))?"
    r"(?:(?P<y1>\d{4})(?P<s1>[-/.])\d\d?(?P=s1)\d\d?"
    r"|\d\d?(?P<s2>[-/.])\d\d?(?P=s2)(?P<y2>\d{4}|\d\d)"
    r"|\d\d?(?P<s3>[-/. ]?)(?P<m3>[a-z]{3,9})(?P<t3>[-/.,]? ?)(?P<y3>\d{4}|\d\d)"
    r"|(?P<m4>[a-z]{3,9})(?P<s4>[-. ])\d\d?(?P<t4>,? ?|-)(?P<y4>\d{4})"
    r"|(?P<chinese>\d{4}年\d\d?月\d\d?日)"
    r"|(?P<compact>(?:19|20)\d{6}))"
    r"(?:(?P<gap>T|:|,? )(?P<hour>\d\d?:\d\d)(?P<second>:\d\d)?(?P<fraction>\.\d+)?(?P<half> ?[ap]m)?"
    r"(?P<zone> ?(?:Z|UTC|GMT|[-+]\d\d:?\d\d))?)?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class Dates:
    form: str | list[str] | None  # as strptime has it; several are tried in this order; None: ISO
    share: float  # of the cells that are not missing
    choices: tuple[str, ...] = ()  # forms that fit alike, where 01/02/2024 may be of January or of February

    @property
    def shown(self) -> str:
        return self.form if isinstance(self.form, str) else ", ".join(self.form or ["2024-01-31"])

    @property
    def advice(self) -> str:
        ways = " or ".join(f"{{…, type: date, format: '{form}'}}" for form in self.choices)
        return f"write {ways} in data.prepare.columns"

    @property
    def ambiguous(self) -> bool:
        return bool(self.choices)


def form_of(texts: pl.Series, wanted: str | None = None) -> Dates:
    """The forms that the cells (String) have, in a bounded number of rows; `wanted` settles what could be two."""
    if wanted is not None:
        refuse_no_form(wanted)
    elif not any(map(is_date, first_of(texts))):
        return Dates(None, 0.0)
    texts = cells.words(texts).drop_nulls()
    found = [wanted] if wanted else []
    either: list[list[str]] = []
    for forms in alternatives(texts):
        best = fitting(texts, [form for form in forms if len(forms) == 1 or not wanted or order(form) == order(wanted)])
        if len(best) == 1:
            found += [form for form in best if form not in found]
        elif best:
            either.append(best)
    orders = {order(form) for form in found if order(form) in ("dmy", "mdy")}
    for forms in either:  # what is settled for dates with a time is so for those without
        found.append(next((form for form in forms if {order(form)} == orders), forms[0]))
    if wanted is not None:
        return Dates(*read_by(texts, found))
    doubtful = next((forms for forms in either if not {order(form) for form in forms} & orders), None)
    return judged(texts, found, tuple(doubtful or ()))


def first_of(texts: pl.Series) -> list[str]:
    """The first cells that are given, without a pass over all where there are some at the beginning."""
    near = [text for text in texts.head(4 * FEW).to_list() if text is not None]
    return near[:FEW] or texts.drop_nulls().head(FEW).to_list()


def judged(texts: pl.Series, found: list[str], choices: tuple[str, ...]) -> Dates:
    form, share = read_by(texts, found)
    swapped = [one.replace("%d", "%?").replace("%m", "%d").replace("%?", "%m") for one in found]
    if not choices and share < 1 - SOME and swapped != found:  # are the others written the other way round?
        both = read_by(texts, [*found, *swapped])[1]
        if both - share > (1 - share) / 2:
            choices, share = next((one, two) for one, two in zip(found, swapped, strict=True) if one != two), both
    return Dates(form, share, choices)


def read_by(texts: pl.Series, found: list[str]) -> tuple[str | list[str] | None, float]:
    """The forms as the encoder keeps them, and the share of the cells that they and ISO's read."""
    form = found[0] if len(found) == 1 else found or None
    share = cast("float | None", (~cells.moment(texts, form).is_nan()).mean())  # of booleans
    return form, float(share or 0.0)


def alternatives(texts: pl.Series) -> list[list[str]]:
    """For each way of writing, the most frequent first, the forms that it may have; of ISO's none."""
    shapes = texts.str.replace_all(r"\d", "0").str.replace_all(r"[A-Za-z]", "a")
    ways = pl.DataFrame({"text": texts, "shape": shapes}).group_by("shape", maintain_order=True)
    counted = ways.agg(pl.len(), pl.first("text")).sort("len", descending=True, maintain_order=True)
    found: dict[tuple[str, ...], None] = {}
    for _, _, text in counted.head(SHAPES).rows():
        if (forms := forms_of(text)) and forms[0] not in cells.ISO:
            found[tuple(forms)] = None
    return [list(forms) for forms in found]


def fitting(texts: pl.Series, forms: list[str]) -> list[str]:
    """The form that reads most, and any other that reads as many cells, but as other days."""
    read = {form: cells.parsed(texts, form) for form in forms}
    counts = {form: len(values) - values.null_count() for form, values in read.items()}
    best = [form for form in forms if counts[form] == max(counts.values()) > 0]
    return [form for place, form in enumerate(best) if not any(read[form].equals(read[one]) for one in best[:place])]


def order(form: str) -> str:
    """ "dmy", "mdy", "ymd", of a month by its name "dy"."""
    return "".join(re.findall(r"%([dmyY])", form)).lower()


def is_date(text: str) -> bool:
    return bool(forms_of(text))


def forms_of(text: str) -> list[str]:
    """The forms in which this one text may be written; none if it is no date."""
    match = WRITTEN.fullmatch(text.strip()) if len(text) < 50 and any(map(str.isdigit, text)) else None
    if match is None:
        return []
    part = match.groupdict(default="")
    month, weekday = part["m3"] or part["m4"], part["weekday"]
    if (month and month[:3].lower() not in MONTHS) or (weekday and weekday[:3].lower() not in DAYS):
        return []
    before = (named("a", weekday) + part["comma"]) if weekday else ""
    return [before + day + clock(part) for day in days(part)]


def named(letter: str, word: str) -> str:
    """%b for Feb, %B for February."""
    return f"%{letter if len(word) == 3 else letter.upper()}"


def days(part: dict[str, str]) -> list[str]:
    if part["y1"]:
        return [part["s1"].join(("%Y", "%m", "%d"))]
    if part["y2"]:
        mark, year = part["s2"], "%Y" if len(part["y2"]) == 4 else "%y"
        forms = [mark.join(("%d", "%m", year)), mark.join(("%m", "%d", year))]
        if mark == ".":  # as in much of Europe and Asia, where nobody writes the month first
            return forms[:1]
        return forms if year == "%Y" or mark == "/" else [*forms, mark.join(("%y", "%m", "%d"))]
    if part["y3"]:
        return [f"%d{part['s3']}{named('b', part['m3'])}{part['t3']}{'%Y' if len(part['y3']) == 4 else '%y'}"]
    if part["y4"]:
        return [f"{named('b', part['m4'])}{part['s4']}%d{part['t4']}%Y"]
    return ["%Y年%m月%d日" if part["chinese"] else "%Y%m%d"]


def clock(part: dict[str, str]) -> str:
    if not part["hour"]:
        return ""
    hour = "%I:%M" if part["half"] else "%H:%M"
    second = (":%S%.f" if part["fraction"] else ":%S") if part["second"] else ""
    half = part["half"] and part["half"][:-2] + "%p"
    zone = part["zone"]
    if zone and (zone[-1].isdigit() or zone.strip() == "Z"):
        zone = zone[: len(zone) - len(zone.lstrip())] + "%#z"
    return part["gap"] + hour + second + half + zone


def refuse_no_form(form: str) -> None:
    try:
        cells.parsed(pl.Series(["2024-01-31"]), form)
        wrong = not re.search(r"%[yYsFDx+c]", form)
    except pl.exceptions.PolarsError:
        wrong = True
    if wrong:
        raise DataError(
            f"data.prepare.columns gives a date the format {form!r}, which names no day.\n"
            "Write it as %d/%m/%Y (day, month, year), %m/%d/%y or %Y-%m-%d %H:%M, or leave it out"
        )
