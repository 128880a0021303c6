"""Recommendation from behaviour: how histories are split, encoded and refused, and what the net sees of them."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import polars
import pytest
import torch
import yaml

from pipeline.config.data import MovielensData
from pipeline.datasets import movielens
from pipeline.kinds.behaviour import encoder as encoding
from pipeline.models import behaviour as nets
from pipeline.project.errors import ConfigError, DataError
from pipeline.store.splits import Fold, Prepared
from tests.conftest import REPOSITORY

FILMS = b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n" + b"".join(
    f"{item}\t{title}\t{year}\tDrama\n".encode()
    for item, title, year in [(1, "Amélie", 2001), (2, "Brazil", 1985), (5, "Casablanca", 1942), (7, "unknown", "")]
    + [(item, f"Film {item}", 1990) for item in (8, 9)]
)
# (user, item, time); in no order of time, and 8 before 2 in the second 30 that they share
RATINGS = [(1, 5, 20), (1, 8, 30), (1, 2, 30), (2, 7, 5), (1, 1, 10), (2, 1, 6), (1, 7, 40), (1, 9, 50), (2, 2, 7)]


def lines(ratings: list[tuple[int, int, int]]) -> bytes:
    return b"".join(f"{user}\t{item}\t3\t{time}\n".encode() for user, item, time in ratings)


def prepared(folder: Path, ratings: bytes, **settings: Any) -> Prepared:
    files = {"u.data": ratings, "ml-100k.item": FILMS}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    data = yaml.safe_load((REPOSITORY / "conf/data/movielens.yaml").read_text(encoding="utf-8"))
    data["source"]["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    data["prepare"] |= {"window": 3} | settings
    return movielens.prepare(folder, SimpleNamespace(data=MovielensData.model_validate(data)))


@pytest.fixture
def encoder(tmp_path: Path) -> dict[str, Any]:
    return prepared(tmp_path, lines(RATINGS)).encoder


@pytest.mark.parametrize(("ties", "tied"), [("item", [2, 8]), ("file", [8, 2])])
def test_each_user_s_last_film_is_test_and_the_one_before_it_validation(
    tmp_path: Path, ties: str, tied: list[int]
) -> None:
    made = prepared(tmp_path, lines(RATINGS), ties=ties)
    first = [1, 5, *tied, 7, 9]  # of user 1; of user 2: 7, 1, 2
    expected = {
        "train": [([0, 0, 1], 5), ([0, 1, 5], tied[0]), ([1, 5, tied[0]], tied[1])],
        "val": [([0, *first[:4]], 7), ([0, 0, 0, 0, 7], 1)],
        "test": [(first[:5], 9), ([0, 0, 0, 7, 1], 2)],
    }
    number = {0: 0} | {int(label): index for index, label in enumerate(made.encoder["labels"], start=1)}
    for name, rows in expected.items():
        split = made.splits[name]
        assert (split.inputs.dtype, split.targets.dtype, split.rows.dtype) == (np.int32, np.int64, np.int64)
        assert split.inputs.tolist() == [[number[item] for item in items] for items, _ in rows], name
        assert (split.targets + 1).tolist() == [number[target] for _, target in rows]
        assert [RATINGS[row][1] for row in split.rows] == [target for _, target in rows]
    assert made.splits["test"].slices == {"history": ["under 50 films"] * 2}
    assert made.statistics == {"users": 2, "ratings": 5, "films": 5, "mean_history": 2.5}
    assert made.encoder["titles"][:4] == ["Amélie (2001)", "Brazil (1985)", "Casablanca (1942)", "unknown"]
    assert made.encoder["shape"] == [5]


def test_what_came_later_changes_nothing_before_it(tmp_path: Path) -> None:
    before = prepared(tmp_path, lines(RATINGS)).splits
    other = [(user, 8 if (user, item) == (2, 2) else item, time) for user, item, time in RATINGS]
    after = prepared(tmp_path, lines(other)).splits
    for name in ("train", "val"):
        np.testing.assert_array_equal(after[name].inputs, before[name].inputs)
        np.testing.assert_array_equal(after[name].targets, before[name].targets)
    np.testing.assert_array_equal(after["test"].inputs, before["test"].inputs)
    assert (after["test"].targets != before["test"].targets).tolist() == [False, True]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1\t2\t3", "3 fields"),
        (b"", "1 fields"),
        (b"one\t2\t3\t60", "the user 'one' is no whole number"),
        (b"1\t6\t3\t60", "the item '6' is not in ml-100k.item"),
        (b"1\t2\t6\t60", "the rating '6' is not 1 to 5"),
        (b"1\t2\t3\t6e1", "the timestamp '6e1' is no whole number"),
        (b"1\t2\t3\t-60", "the timestamp '-60' is no whole number"),
        (b"1\t2\t3\t" + b"9" * 30, "is no whole number of seconds"),
        (b"1\t\xff\t3\t60", "is not in ml-100k.item"),
        (b"1\t2\t3\t60", "user 1 had rated the film before"),
        (b"3\t2\t3\t60", "user 3 has fewer than 3 films"),
    ],
)
def test_a_line_that_is_no_rating_is_quarantined_with_its_number(tmp_path: Path, line: bytes, reason: str) -> None:
    ratings = lines(RATINGS) + line + b"\n"
    with pytest.raises(DataError, match=rf"(?s)1 of 8 rows.*line 10 of u\.data: .*{reason}.*max_quarantined"):
        prepared(tmp_path, ratings)
    made, whole = prepared(tmp_path, ratings, max_quarantined=0.2), prepared(tmp_path, lines(RATINGS))
    assert [one.row for one in made.splits["train"].quarantined] == [9]
    for name, split in whole.splits.items():
        np.testing.assert_array_equal(made.splits[name].inputs, split.inputs)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [(b"\n", "no user with 3 films"), (lines(RATINGS[:2]), "no user with 3"), (lines(RATINGS[:3]), "with 4 films")],
)
def test_too_little_behaviour_is_refused(tmp_path: Path, ratings: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, ratings, max_quarantined=0.99)


def test_altered_and_missing_files_and_folds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="each user's last two films"):
        movielens.prepare(tmp_path, SimpleNamespace(), Fold(0, 5))
    made = SimpleNamespace(sha256="0" * 64)
    (tmp_path / "u.data").write_bytes(lines(RATINGS))
    with pytest.raises(DataError, match="was altered"):
        movielens.read(tmp_path / "u.data", {"u.data": made})
    with pytest.raises(DataError, match="is missing; `ratchet download` fetches it"):
        movielens.read(tmp_path / "ml-100k.item", {"ml-100k.item": made})
    with pytest.raises(DataError, match=r"has no sum for u\.data"):
        movielens.read(tmp_path / "u.data", {})
    monkeypatch.setattr("tests.test_behaviour.FILMS", FILMS + b"1\tAgain\t2001\tDrama\n")
    with pytest.raises(DataError, match="line 8 repeats an item"):
        prepared(tmp_path, lines(RATINGS))


def test_records_are_encoded_in_every_form(encoder: dict[str, Any]) -> None:
    expected = [[0, 0, 0, 3, 1], [0, 0, 0, 0, 0]]
    for records in (
        [["5", "1"], []],
        [[5, 1.0], ()],
        [{"items": ["5", np.int64(1)]}, {"items": []}],
        [{"items": "5 1"}, {"items": ""}],
        pandas.DataFrame({"items": [["5", "1"], []]}),
        pandas.DataFrame({"items": ["5 1", ""]}),
        polars.DataFrame({"items": [["5", "1"], []]}),
    ):
        inputs = encoding.encode(encoder, records)
        assert (inputs.tolist(), inputs.dtype) == (expected, np.int32)
    assert encoding.encode(encoder, []).shape == (0, 5)
    assert encoding.encode(encoder, [["5"] * 9]).shape == (1, 9), "no seen item is forgotten"
    lines_of = encoding.decode(encoder, encoding.encode(encoder, [["5", "1"], [], ["9"] * 2 + ["8"] * 4]))
    assert lines_of == ["Casablanca (1942) → Amélie (2001)", "", "… → Film 9 (1990)" + " → Film 8 (1990)" * 4]


def test_examples_are_test_histories(tmp_path: Path) -> None:
    made = prepared(tmp_path, lines(RATINGS))
    assert made.examples == [["7", "1"], ["1", "5", "2", "8", "7"]]  # the shortest first
    np.testing.assert_array_equal(encoding.encode(made.encoder, made.examples), made.splits["test"].inputs[::-1])


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([["5"], ["5", "6"]], r"record 1: the item '6' is not one of the 6"),
        ([[True]], "record 0: the item True"),
        ([[1.5]], "record 0: the item 1.5"),
        ([[None]], "record 0: the item None"),
        (["5", "1"], r"record 0 is '5'; allowed is a list of item ids"),
        ([5], "record 0 is 5"),
        ([{"films": ["5"]}], r"record 0 has the keys \['films'\]"),
        ([{"items": None}], "record 0 is {'items': None}"),
        ({"items": ["5"]}, "the records are {'items'"),
        (pandas.DataFrame({"films": [["5"]]}), r"the table has the columns \['films'\]"),
    ],
)
def test_a_record_that_is_no_history_is_named(encoder: dict[str, Any], records: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encoding.encode(encoder, records)


def net(**settings: Any) -> nets.Behaviour:
    torch.manual_seed(0)
    model = yaml.safe_load((REPOSITORY / "conf/model/behaviour.yaml").read_text(encoding="utf-8"))
    return nets.build(model | {"embedding": 8, "widths": [16]} | settings, {"window": 3}, 6)


def test_the_net_sees_the_last_items_in_their_order_and_no_padding() -> None:
    model = net().eval()
    long = torch.tensor([[4, 6, 1, 2, 3], [0, 0, 0, 1, 2], [0, 0, 0, 0, 0]], dtype=torch.int32)
    scores = model(long)  # (3, 6)
    assert scores.shape == (3, 6)
    assert torch.isfinite(scores).all(), "a history without items has scores too"
    torch.testing.assert_close(model(long[:, 2:]), scores)  # beyond the window
    torch.testing.assert_close(model(long[1:2, 3:]), scores[1:2])  # narrower than the window
    assert not torch.allclose(model(torch.tensor([[3, 2, 1]])), model(torch.tensor([[1, 2, 3]])))


def test_the_net_learns_what_comes_next() -> None:
    model = net(dropout=0.0)
    inputs = torch.tensor([[(start + step) % 6 + 1 for step in range(3)] for start in range(6)])
    targets = inputs[:, -1] % 6  # the item after the last, as an index
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    assert (model(inputs).argmax(1) == targets).all()
    assert not model.items.weight[0].any(), "padding stays nothing"
