"""Texts: how reviews and a person's own tables are read, split, tokenised and refused."""

import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars
import pytest
import yaml
from tokenizers import Tokenizer, models

from pipeline.config.data import ReviewsData, TextData
from pipeline.datasets import reviews, text, texts, vocabulary
from pipeline.kinds.text import encoder as encoding
from pipeline.project.errors import ConfigError, DataError
from pipeline.store import held_out, processed
from pipeline.store.splits import Fold, Prepared
from tests.conftest import REPOSITORY
from tests.support import texts as tiny

CSV = {"name": "csv", "separator": ",", "encoding": "utf-8", "header": True, "skip_lines": 0}


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny.lay_encoder(tmp_path / "raw/encoder")
    return tmp_path / "raw"


def described(name: str, file: Path, **prepare: Any) -> dict[str, Any]:
    data = yaml.safe_load((REPOSITORY / f"conf/data/{name}.yaml").read_text(encoding="utf-8"))
    content = file.read_bytes()
    sums = {file.name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
    data["source"] = {"files": sums, "mirrors": [{"url": "file:/nowhere/{file}", "unpack": "none"}]}
    data["prepare"] |= prepare
    return data


def of_reviews(raw: Path, content: bytes, fold: Fold | None = None, **prepare: Any) -> Prepared:
    file = raw / tiny.REVIEWS
    file.write_bytes(content)
    data = described("reviews", file, **{"max_length": 16} | prepare)
    return reviews.prepare(raw, SimpleNamespace(data=ReviewsData.model_validate(data)), fold)


def of_table(raw: Path, content: bytes, fold: Fold | None = None, **prepare: Any) -> Prepared:
    form = prepare.pop("format", CSV)
    file = raw / f"mine.{form['name']}"
    file.write_bytes(content)
    columns = {"text": "words", "target": "kind", "max_length": 16, "max_quarantined": 0.5, "format": form}
    split = {"validation": 0.1, "test": 0.2, "group": None, "time": None} | prepare.pop("split", {})
    data = described("text", file, **columns | prepare, split=split)
    return text.prepare(raw, SimpleNamespace(data=TextData.model_validate(data)), fold)


def table(*rows: str, head: str = "words,kind") -> bytes:
    """A CSV of the tiny sentences, then of `rows`."""
    lines = [f"{words},{'good' if kind else 'bad'}" for words, kind in tiny.sentences()]
    return "".join(f"{line}\n" for line in [head, *lines, *rows]).encode()


def whole(prepared: Prepared) -> dict[int, tuple[str, list[int], int | float]]:  # row → split, token ids, target
    return {
        row: (name, inputs, target)
        for name, split in prepared.splits.items()
        for row, inputs, target in zip(split.rows.tolist(), split.inputs.tolist(), split.targets.tolist(), strict=True)
    }


def test_reviews_are_split_by_class_and_encoded_as_they_stand(raw: Path) -> None:
    done = of_reviews(raw, tiny.reviews())
    sizes = {name: split.per_class(2) for name, split in done.splits.items()}
    assert sizes == {"train": [70, 70], "val": [10, 10], "test": [20, 20]}
    found = whole(done)
    assert 200 not in found  # the neutral one
    assert done.statistics["neutral"] == 1
    for row, (words, kind) in enumerate(tiny.sentences()):
        assert found[row][2] == kind
        np.testing.assert_array_equal(found[row][1], encoding.encode(done.encoder, [words])[0])
    assert all(isinstance(example["text"], str) for example in done.examples)
    assert set(done.splits["test"].slices["length"]) == {"up to 16 tokens"}
    assert done.files["pretrained.safetensors"].is_file()
    again = of_reviews(raw, tiny.reviews())
    assert whole(again) == found
    assert json.loads(json.dumps(again.encoder)) == done.encoder


def test_folds_share_one_test_and_validate_each_other_row_once(raw: Path) -> None:
    plain = whole(of_reviews(raw, tiny.reviews()))
    folds = [whole(of_reviews(raw, tiny.reviews(), Fold(index, 4))) for index in range(4)]
    test = {row for row, (name, _, _) in plain.items() if name == "test"}
    validated = [row for fold in folds for row, (name, _, _) in fold.items() if name == "val"]
    assert all({row for row, (name, _, _) in fold.items() if name == "test"} == test for fold in folds)
    assert sorted(validated) == sorted(plain.keys() - test)


def test_texts_that_differ_in_case_and_points_alone_stay_in_one_split(raw: Path) -> None:
    shouted = [f"{number}\t2\t{words.upper()}!!" for number, (words, kind) in enumerate(tiny.sentences()) if kind]
    done = of_reviews(raw, tiny.reviews() + "".join(f"{line}\n" for line in shouted).encode())
    found = whole(done)
    kind = [row for row, (_, kind) in enumerate(tiny.sentences()) if kind]
    assert all(found[row][0] == found[201 + number][0] for number, row in enumerate(kind))
    assert done.statistics["alike"] == 100


def test_together_joins_through_others() -> None:
    groups = texts.together("abbcd", [1, 1, 2, 3, 3])
    np.testing.assert_array_equal(groups, [0, 0, 0, 3, 3])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"201\t1.5", "2 fields; id, mean rating and text"),
        (b"201\tgood\tA film.", "mean rating 'good' is no number from -4 to 4"),
        (b"201\tnan\tA film.", "mean rating 'nan' is no number"),
        (b"201\t4.5\tA film.", "mean rating '4.5' is no number"),
        (b"201\t1.5\t  ", "the text is empty"),
        (b"201\t1.5\tCaf\xe9", "the text is not UTF-8"),
    ],
)
def test_a_line_that_is_no_review_is_set_apart_with_its_reason(raw: Path, line: bytes, reason: str) -> None:
    content = tiny.reviews() + line + b"\n"
    with pytest.raises(DataError, match=f"1 of 201 rows .*(?s:.)*line 202 of .*{reason}"):
        of_reviews(raw, content)
    bad = of_reviews(raw, content, max_quarantined=0.01).splits["train"].quarantined
    assert [(one.row, one.record) for one in bad] == [(201, line)]


def test_entities_are_read_as_what_they_stand_for(raw: Path) -> None:
    done = of_reviews(raw, tiny.reviews() + b"201\t2\tgood &amp; great\n")
    assert whole(done)[201][1] == encoding.encode(done.encoder, ["good & great"])[0].tolist()


def test_missing_and_altered_files_are_refused(raw: Path) -> None:
    of_reviews(raw, tiny.reviews())
    config = SimpleNamespace(data=ReviewsData.model_validate(described("reviews", raw / tiny.REVIEWS, max_length=16)))
    (raw / "encoder/tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"tokenizer.json is missing.*(?s:.)*dvc repro download"):
        reviews.prepare(raw, config)
    (raw / tiny.REVIEWS).write_bytes(b"")
    with pytest.raises(DataError, match="was altered"):
        reviews.prepare(raw, config)


@pytest.mark.parametrize(
    ("architecture", "max_length", "error", "reason"),
    [
        ({}, 41, ConfigError, "reads at most 40 tokens"),
        ({"model_type": "roberta", "pad_token_id": 1}, 40, ConfigError, "reads at most 38 tokens"),
        ({"pad_token_id": None}, 16, DataError, "no pad_token_id"),
        ({"vocab_size": 7}, 16, DataError, "of two different encoders"),
    ],
)
def test_an_encoder_that_does_not_suit_is_refused(
    raw: Path, architecture: dict[str, Any], max_length: int, error: type[Exception], reason: str
) -> None:
    (raw / "encoder/config.json").write_text(json.dumps(tiny.ARCHITECTURE | architecture), encoding="utf-8")
    with pytest.raises(error, match=reason):
        of_reviews(raw, tiny.reviews(), max_length=max_length)


@pytest.mark.parametrize("name", ["csv", "parquet", "jsonl"])
def test_every_form_of_the_same_table_gives_the_same_rows(raw: Path, name: str) -> None:
    frame = polars.read_csv(table())
    content = {"csv": table, "jsonl": lambda: frame.write_ndjson().encode(), "parquet": lambda: as_parquet(frame)}
    done = of_table(raw, content[name](), format=CSV | {"name": name})
    assert done.encoder["labels"] == ["bad", "good"]
    assert whole(done) == whole(of_table(raw, table()))
    assert sum(len(split.rows) for split in done.splits.values()) == 200


def as_parquet(frame: polars.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def test_chinese_texts_work_as_english_ones_do(raw: Path) -> None:
    rows = [f"{'这部电影很' * (number % 2 + 1)}{'好' * (number // 2 + 1)}看,好评" for number in range(6)]
    rows += [f"{'这部电影很' * (number % 2 + 1)}{'差' * (number // 2 + 1)},差评" for number in range(6)]
    done = of_table(raw, table(*rows))
    assert done.encoder["labels"] == ["bad", "good", "好评", "差评"]
    line = encoding.decode(done.encoder, encoding.encode(done.encoder, ["这部电影很好看"]))[0]
    assert line.replace(" ", "") == "这部电影很好看"


def test_tokens_that_the_encoder_does_not_know_are_counted_and_said(raw: Path) -> None:
    good = of_reviews(raw, tiny.reviews())
    share = good.statistics["unknown_tokens"]
    assert good.encoder["unknown_tokens"] == share
    assert share == 0
    assert vocabulary.warning(good.statistics) == ""
    odd = [f"{'酒店服务态度差好'[number % 8]}{number} film,{'good' if number % 2 else 'bad'}" for number in range(400)]
    done = of_table(raw, table(*odd))
    rows = done.splits["train"].inputs.tolist()
    tokens = [token for row in rows for token in row if token not in (0, 2, 3)]
    share = done.statistics["unknown_tokens"]
    assert share == pytest.approx(tokens.count(1) / len(tokens), abs=1e-6)
    assert done.encoder["unknown_tokens"] == share > 0.05
    assert "scripts" not in good.statistics
    said = vocabulary.warning(done.statistics)
    assert f"{share:.1%} of the tokens of train are unknown to the encoder" in said
    assert "The letters of the texts are Latin 9" in said
    assert "Chinese" in said
    assert "pretrained: {name: hub, path: " in said
    assert vocabulary.warning({}) == ""


def test_a_tokenizer_that_knows_every_byte_has_no_unknown_tokens() -> None:
    tool = Tokenizer(models.BPE({"a": 0}, []))
    encoder = {"tokenizer": tool.to_str(), "shape": [4], "padding": 0}
    assert vocabulary.share_unknown(encoder, np.ones((2, 4), np.int32)) == 0


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["这部电影很好看", "差"], "Chinese 100%"),
        (["Фильм", "хороший"], "Cyrillic 100%"),
        (["A good film", "Ein schöner Film", "123"], ""),
        (["A film", "映画はとても面白い"], "Japanese"),
        (["123"], ""),
    ],
)
def test_init_says_which_letters_the_english_encoder_does_not_know(tmp_path: Path, texts: list[str], said: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("words,kind\n" + "".join(f"{one},a\n" for one in texts), encoding="utf-8")
    found = vocabulary.foreign(file, {"format": CSV, "text": "words"})
    assert said in found
    assert bool(found) == bool(said)


def test_the_raw_texts_of_train_and_test_are_kept(raw: Path) -> None:
    done = of_table(raw, table())
    spec = processed.write(done, {}, raw / "processed")
    train, tests = held_out.texts(done.encoder, spec, raw / "processed")
    all_texts = [words for words, _ in tiny.sentences()]
    assert train == {row: all_texts[row] for row in done.splits["train"].rows.tolist()}
    assert tests == [all_texts[row] for row in done.splits["test"].rows.tolist()]
    older = spec | {"files": {name: sums for name, sums in spec["files"].items() if name != held_out.TRAIN}}
    assert held_out.texts(done.encoder, older, raw / "processed") is None


def test_rows_that_can_not_be_used_are_set_apart_whole(raw: Path) -> None:
    done = of_table(raw, table(",good", '"A film.",', "", "A plot.,rare", "  ,bad"))
    bad = done.splits["train"].quarantined
    assert [one.row for one in bad] == [200, 201, 203, 204]
    assert json.loads(bad[0].record) == {"words": None, "kind": "good"}
    assert [one.reason for one in bad] == [
        "line 202: column 'words' is empty; it needs a text",
        "line 203: column 'kind' is empty; it needs a class",
        "line 205: its class 'rare' has 1 usable rows; 3 are needed",
        "line 206: column 'words' is empty; it needs a text",
    ]
    assert done.statistics["blank"] == 1


def test_numbers_as_targets_are_a_regression(raw: Path) -> None:
    lines = [f"{words},{number if kind else -number}" for number, (words, kind) in enumerate(tiny.sentences())]
    content = "".join(f"{line}\n" for line in ["words,kind", *lines, "A film.,many", "A plot.,inf"]).encode()
    done = of_table(raw, content, task="regression")
    train = done.splits["train"].targets
    assert train.dtype == np.float32
    assert done.encoder["labels"] == []
    assert done.encoder["target"] == pytest.approx({"mean": train.mean(), "std": train.std()})
    assert [one.reason for one in done.splits["train"].quarantined] == [
        "line 202: column 'kind' holds 'many'; it needs a number",
        "line 203: column 'kind' holds 'inf'; it needs a number",
    ]
    assert {row: target for row, (_, _, target) in whole(done).items()}[2] == 2


def test_groups_stay_together_and_times_in_order(raw: Path) -> None:
    rows = [f"{words},{kind},{number // 10},2024-{1 + number // 20:02d}-{1 + number % 20:02d}"
            for number, (words, kind) in enumerate(tiny.sentences())]  # fmt: skip
    content = "".join(f"{line}\n" for line in ["words,kind,author,day", *rows]).encode()
    by_group = whole(of_table(raw, content, split={"group": "author"}))
    sides = [{by_group[row][0] for row in range(start, start + 10)} for start in range(0, 200, 10)]
    assert all(len(side) == 1 for side in sides)
    by_time = whole(of_table(raw, content, split={"time": "day"}))
    assert [by_time[row][0] for row in range(200)] == ["train"] * 140 + ["val"] * 20 + ["test"] * 40


@pytest.mark.parametrize(
    ("content", "prepare", "reason"),
    [
        (table(), {"text": "review"}, "data.prepare.text can't be found: .* no column 'review'.*'words', 'kind'"),
        (table(), {"split": {"time": "day"}}, "data.prepare.split.time can't be found"),
        (table(), {"target": "words"}, "both 'words'"),
        (table().replace(b"good\n", b"1\n").replace(b"bad\n", b"1\n"), {"task": "regression"}, "1 in every row"),
        (table(), {"split": {"time": "words"}}, "column 'words' holds 'The film .*'; it needs a number or date"),
        (
            table(head="words,kind,day").replace(b"good\n", b"good,01/02/2024\n"),
            {"split": {"time": "day"}},
            "day/month",
        ),
        (b"words,kind\na,1\nb,1\nc,1\nd,2\n", {}, "1 classes of 3 usable rows or more"),
        (b"words,kind\n", {}, "0 classes of 3 usable rows or more"),
    ],
)
def test_tables_that_do_not_fit_the_settings_are_refused(raw: Path, content: bytes, prepare: Any, reason: str) -> None:
    with pytest.raises((DataError, ConfigError), match=reason):
        of_table(raw, content, **prepare)
