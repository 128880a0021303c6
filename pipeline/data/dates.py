"""In which form a column writes its dates."""

from dataclasses import dataclass

import polars as pl

from pipeline.encoders import cells


@dataclass(frozen=True)
class Dates:
    form: str | None  # as strptime has it; None: ISO
    share: float  # of the cells that are not missing
    ambiguous: bool  # 01/02/2024 may be of January or of February


def form_of(texts: pl.Series) -> Dates:
    """The form that most of the cells (String) have; texts of a bounded number of rows."""
    texts = cells.words(texts).drop_nulls()
    if texts.is_empty():
        return Dates(None, 0.0, False)
    iso = float((~cells.moment(texts, None).is_nan()).mean())
    found = {form: share(texts, form) for form in cells.OTHERS} if iso < 1 else {}
    best = max(found, key=found.get, default=None)
    if best is None or found[best] <= iso:
        return Dates(None, iso, False)
    swapped = best.replace("%d/%m", "%m/%d")
    same = cells.parsed(texts, swapped).equals(cells.parsed(texts, best)) if swapped != best else True
    return Dates(best, found[best], not same and share(texts, swapped) == found[best])


def share(texts: pl.Series, form: str) -> float:
    return float(cells.parsed(texts, form).is_not_null().mean())
