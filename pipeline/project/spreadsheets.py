"""CSV files that people open in a spreadsheet: it would run a cell such as =HYPERLINK(…) that somebody else wrote."""

import polars as pl

# What begins so is a formula there; a number is none, and a sign alone, as a class is called, does nothing
FORMULA = r"(?s)^(?:[=+@].|[\t\r]|-.)"
NUMBER = r"^-\.?\d[\d.,]*(?:[eE][+-]?\d+)?\s*$"


def guarded(frame: pl.DataFrame) -> pl.DataFrame:
    """With an apostrophe before each text that a spreadsheet would run; what is no text stays as it is."""
    return frame.with_columns(guard(pl.col(name)) for name, kind in frame.schema.items() if kind == pl.String)


def guard(text: pl.Expr) -> pl.Expr:
    runs = text.str.contains(FORMULA) & ~text.str.contains(NUMBER)
    return pl.when(runs).then(pl.concat_str(pl.lit("'"), text)).otherwise(text).name.keep()
