"""CSV files that people open in a spreadsheet: it would run a cell such as =HYPERLINK(…) that somebody else wrote."""

from collections.abc import Callable

import polars as pl

# What begins so is a formula there; a number is none, and a sign alone, as a class may be called, does nothing
FORMULA = r"(?s)^(?:[=+@-].|[\t\r])"
NUMBER = r"^-\.?\d[\d.,]*(?:[eE][+-]?\d+)?\s*$"


def guarded(frame: pl.DataFrame) -> pl.DataFrame:
    """With an apostrophe before each text that a spreadsheet would run; what is no text stays as it is."""
    return changed(frame, lambda text: pl.when(runs(text)).then(pl.lit("'") + text).otherwise(text))


def unguarded(frame: pl.DataFrame) -> pl.DataFrame:
    """As it was before `guarded`."""

    def plain(text: pl.Expr) -> pl.Expr:
        rest = text.str.strip_prefix("'")
        return pl.when(text.str.starts_with("'") & runs(rest)).then(rest).otherwise(text)

    return changed(frame, plain)


def changed(frame: pl.DataFrame, change: Callable[[pl.Expr], pl.Expr]) -> pl.DataFrame:
    """Each column of texts."""
    return frame.with_columns(
        change(pl.col(name)).alias(name) for name, kind in frame.schema.items() if kind == pl.String
    )


def runs(text: pl.Expr) -> pl.Expr:
    return text.str.contains(FORMULA) & ~text.str.contains(NUMBER)
