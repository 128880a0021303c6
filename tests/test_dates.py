"""Dates as people write them: which forms a column has, what they say, and how to choose where two are possible."""

import datetime
import json
from typing import Any

import polars as pl
import pytest

from pipeline.kinds.table import cells, exported
from pipeline.kinds.table.encoder import encode
from pipeline.kinds.table.input import Rows
from pipeline.own_data.column_types import infer
from pipeline.project.errors import DataError
from pipeline.tables.dates import form_of, order
from tests.test_table import COLUMNS, LINES, Prepare, column_of, csv, prepare  # noqa: F401 (a fixture)

UTC = datetime.UTC


def seconds(year: int, month: int, day: int, *time: int) -> float:
    return datetime.datetime(year, month, day, *time, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("texts", "moments"),
    [
        (["01-Feb-2024", "31-Dec-2023"], [(2024, 2, 1), (2023, 12, 31)]),
        (["1 February 2024", "15 May 2024", "3 Mar 2024"], [(2024, 2, 1), (2024, 5, 15), (2024, 3, 3)]),
        (["Feb 1, 2024", "March 31, 2024"], [(2024, 2, 1), (2024, 3, 31)]),
        (["02/13/24", "01/02/24"], [(2024, 2, 13), (2024, 1, 2)]),
        (["13.02.24", "01.03.68", "01.03.69", "01.03.99"], [(2024, 2, 13), (2068, 3, 1), (1969, 3, 1), (1999, 3, 1)]),
        (["02/13/2024 03:15 PM", "02/01/2024 12:05 AM"], [(2024, 2, 13, 15, 15), (2024, 2, 1, 0, 5)]),
        (["02/13/2024 3:15:09 pm", "2/1/2024 12:00 PM"], [(2024, 2, 13, 15, 15, 9), (2024, 2, 1, 12)]),
        (["2024/02/13", "2024.02.14", "20240215"], [(2024, 2, 13), (2024, 2, 14), (2024, 2, 15)]),
        (["2024-02-13T01:02:03Z", "2024-02-13T01:02+02:00"], [(2024, 2, 13, 1, 2, 3), (2024, 2, 12, 23, 2)]),
        (["2024-02-13 01:02:03 UTC", "2024-02-13 01:02:03 -0100"], [(2024, 2, 13, 1, 2, 3), (2024, 2, 13, 2, 2, 3)]),
        (["Tue, 13 Feb 2024 10:11:12 +0000", "Tuesday, February 13, 2024"], [(2024, 2, 13, 10, 11, 12), (2024, 2, 13)]),
        (["13/Feb/2024:10:11:12"], [(2024, 2, 13, 10, 11, 12)]),
        (["2024-02-13", "13-Feb-24", "02/14/2024"], [(2024, 2, 13), (2024, 2, 13), (2024, 2, 14)]),
        (["01/02/2024", "13/02/2024 10:00"], [(2024, 2, 1), (2024, 2, 13, 10)]),
        (["2024年2月13日", "2024-02-14"], [(2024, 2, 13), (2024, 2, 14)]),
    ],
)
def test_dates_are_read_as_they_are_written(texts: list[str], moments: list[tuple[int, ...]]) -> None:
    dates = form_of(pl.Series(texts))
    assert (dates.share, dates.ambiguous) == (1.0, False)
    wanted = [seconds(*moment) for moment in moments]
    assert cells.moment(pl.Series(texts), dates.form).to_list() == wanted
    alone = [cells.moment(pl.Series([text]), dates.form)[0] for text in texts]
    assert alone == wanted, "a record by itself as in the file"


def test_words_numbers_and_versions_are_no_dates() -> None:
    for texts in (
        ["12 apples 2024", "may 5"],
        ["1.5", "2.75"],
        ["1.2.3.4"],
        ["12-34"],
        ["Mondrian 1 May 2024 x"],
        [],
        [None],
    ):
        assert form_of(pl.Series(texts, dtype=pl.String)).share == 0  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "choices"),
    [
        (["01/02/2024", "03/04/2024"], ("%d/%m/%Y", "%m/%d/%Y")),
        (["01-02-2024", "03-04-2024"], ("%d-%m-%Y", "%m-%d-%Y")),
        (["24-02-13", "24-03-14"], ("%d-%m-%y", "%y-%m-%d")),
        (["13/02/2024", "25/02/2024", "02/14/2024"], ("%d/%m/%Y", "%m/%d/%Y")),
        (["01/02/2024 10:00", "2024-01-31"], ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")),
    ],
)
def test_two_orders_of_day_and_month_are_not_guessed(texts: list[str], choices: tuple[str, str]) -> None:
    dates = form_of(pl.Series(texts))
    assert dates.ambiguous
    assert set(dates.choices) == set(choices)
    assert all(f"format: '{form}'" in dates.advice for form in choices)
    chosen = form_of(pl.Series(texts), choices[1])
    assert not chosen.ambiguous
    assert order(choices[1]) in map(order, [chosen.form] if isinstance(chosen.form, str) else chosen.form)
    assert order(choices[0]) not in map(order, [chosen.form] if isinstance(chosen.form, str) else chosen.form)


def test_init_says_how_to_choose_and_preprocess_obeys(prepare: Prepare, tmp_path: Any) -> None:  # noqa: F811
    lines = [line.replace("2024-", "").replace("-15", "/03/2024") for line in LINES]
    (tmp_path / "a.csv").write_bytes(csv(lines))
    (since,) = (one for one in infer(tmp_path / "a.csv", "y").columns if one.name == "since")
    assert since.type == "ignore"
    assert "{…, type: date, format: '%d/%m/%Y'} or {…, type: date, format: '%m/%d/%Y'}" in since.reason
    kinds = [{"name": name, "type": kind} for name, kind in COLUMNS.items()]
    starts = {}
    for form in ("%d/%m/%Y", "%m/%d/%Y"):
        listed = [one | ({"format": form} if one["type"] == "date" else {}) for one in kinds]
        made = prepare(csv(lines), listed=listed)
        assert column_of(made, "since")["format"] == form
        starts[form] = column_of(made, "since")["start"]
    assert starts == {"%d/%m/%Y": seconds(2024, 3, 1), "%m/%d/%Y": seconds(2024, 1, 3)}
    with pytest.raises(DataError, match=r"the format 'day first', which names no day.\nWrite it as %d/%m/%Y"):
        prepare(csv(lines), listed=[one | ({"format": "day first"} if one["type"] == "date" else {}) for one in kinds])


def test_compact_days_are_dates_and_other_numbers_are_not(tmp_path: Any) -> None:
    rows = [f"202401{1 + i % 28:02},{20000101 + 37 * i},{'yes' if i % 3 else 'no'}" for i in range(60)]
    (tmp_path / "a.csv").write_bytes(csv(rows, "day,count,y"))
    found = {one.name: one for one in infer(tmp_path / "a.csv", "y").columns}
    assert (found["day"].type, found["day"].reason) == ("date", "written as %Y%m%d")
    assert found["count"].type != "date"


def test_a_column_of_several_forms_is_served_and_exported_as_it_was_read(prepare: Prepare) -> None:  # noqa: F811
    forms = ("{:%d-%b-%Y}", "{:%m/%d/%Y %I:%M %p}", "{:%Y-%m-%d}")
    days = [datetime.datetime(2024, 1 + i % 12, 1 + i % 28, 15, 30) for i in range(60)]
    lines = [f"{20 + i},Oslo,{forms[i % 3].format(day)},{'yes' if i % 2 else 'no'}" for i, day in enumerate(days)]
    encoder = json.loads(json.dumps(prepare(csv(lines)).encoder))
    column = next(one for one in encoder["columns"] if one["name"] == "since")
    assert sorted(column["format"]) == ["%d-%b-%Y", "%m/%d/%Y %I:%M %p"]
    records = [{"age": 1.0, "city": "Oslo", "since": form.format(days[20])} for form in forms]
    rows = Rows(encoder, records, 0)
    assert "written as %" in rows.needs["since"]
    assert len(rows.records(records, ["0", "1", "2"])) == 3
    encoded = encode(encoder, records)
    ours = [cells.moment(pl.Series([record["since"]]), column["format"])[0] for record in records]
    assert [exported.seconds(record["since"], column) for record in records] == ours
    assert encoded.shape[0] == 3
    column["format"] = "%d %b %Y"
    assert encode(encoder, [{"age": 1.0, "city": "Oslo", "since": "1 Feb 2024"}]).shape[0] == 1, (
        "before there were lists"
    )
