"""The net on texts: what encode makes of records, and how a pretrained encoder is loaded, tuned and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest
import torch
import yaml

from pipeline.datasets import texts
from pipeline.kinds.text import encoder as encoding
from pipeline.models import bert
from pipeline.project.errors import ConfigError, DataError
from tests.conftest import REPOSITORY
from tests.support import texts as tiny

SETTINGS = yaml.safe_load((REPOSITORY / "conf/model/bert.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    tiny.lay_encoder(tmp_path / "raw/encoder")
    return tmp_path / "raw"


@pytest.fixture
def encoder(raw: Path) -> dict[str, Any]:
    return texts.describe(raw, "classification", ["bad", "good"], "words", 12)


def test_every_form_of_the_same_texts_gives_the_same_ids(encoder: dict[str, Any]) -> None:
    given = ["A good film.", "", "Bad [SEP] plots " * 10]
    ids = encoding.encode(encoder, given)
    assert (ids.shape, ids.dtype) == ((3, 12), np.int32)
    assert ids[0].tolist() == [*map(tiny.VOCABULARY.index, ["[CLS]", "a", "good", "film", ".", "[SEP]"]), *[0] * 6]
    assert ids[1].tolist() == [2, 3] + [0] * 10
    assert ids[2].min() > 0
    assert [ids[2, 0], ids[2, -1]] == [2, 3]
    assert 3 not in ids[2, 1:-1]  # a user can't write a special token
    for records in (tuple(given), np.array(given), [{"words": one, "more": 1} for one in given],
                    pandas.DataFrame({"words": given}), polars.DataFrame({"words": given, "kind": 1})):  # fmt: skip
        np.testing.assert_array_equal(encoding.encode(encoder, records), ids)
    assert encoding.encode(encoder, []).shape == (0, 12)
    assert encoding.decode(encoder, ids[:2]) == ["a good film.", ""]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (["good", 7], "record 1 is 7"),
        (["good", None], "record 1 is None"),
        ([{"words": "good"}, {"text": "good"}], "record 1 is {'text'"),
        ([["good"]], "record 0 is "),
        (["good", "\ud800"], "record 1 has half a character"),
        ("good", "the records are 'good'"),
        (None, "the records are None"),
        (pandas.DataFrame({"text": ["good"]}), r"the table has the columns \['text'\]"),
        (pandas.DataFrame({"words": ["good", None]}), "record 1 is "),
    ],
)
def test_records_without_a_text_are_refused_by_number(encoder: dict[str, Any], records: Any, reason: str) -> None:
    with pytest.raises(DataError, match=f"^{reason}"):
        encoding.encode(encoder, records)


def net(encoder: dict[str, Any], **settings: Any) -> bert.Bert:
    return bert.build(SETTINGS | settings, encoder, 2)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_pretrained_weights_are_the_encoders(raw: Path, encoder: dict[str, Any], prefix: str) -> None:
    from transformers import AutoModel

    weights = tiny.lay_encoder(raw / "encoder")
    original = AutoModel.from_pretrained(raw / "encoder").eval()
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    given = {
        prefix
        + (name if not prefix else name.replace(*next(((k, v) for k, v in old.items() if k in name), ("", "")))): w
        for name, w in weights.items()
    } | ({"cls.bias": torch.zeros(3)} if prefix else {})
    ours = net(encoder).eval()
    ours.load_pretrained(given)
    ids = torch.from_numpy(encoding.encode(encoder, ["A good film.", "The plot and the cast is bad."]))
    with torch.inference_mode():
        states = original(input_ids=ids, attention_mask=ids != 0).last_hidden_state
        means = torch.stack([row[: int((one != 0).sum())].mean(0) for row, one in zip(states, ids, strict=True)])
        torch.testing.assert_close(ours(ids), ours.head(means))
        torch.testing.assert_close(ours(ids[:1, :6]), ours(ids)[:1])  # padding changes nothing


@pytest.mark.parametrize(("tune", "moving"), [("full", "encoder."), ("lora", "lora_"), ("frozen", "head.")])
def test_what_is_tuned_learns_and_loads_back(raw: Path, encoder: dict[str, Any], tune: str, moving: str) -> None:
    torch.manual_seed(1)
    ours = net(encoder, tune=tune, dropout=0.0)
    ours.load_pretrained(tiny.lay_encoder(raw / "encoder"))
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    words, kinds = zip(*tiny.sentences(), strict=True)
    ids, targets = torch.from_numpy(encoding.encode(encoder, list(words))), torch.tensor(kinds).long()
    learned = torch.optim.AdamW([one for one in ours.parameters() if one.requires_grad], lr=0.02)
    losses = []
    for _ in range(12):
        learned.zero_grad()
        loss = torch.nn.functional.cross_entropy(ours.train()(ids), targets)
        loss.backward()
        learned.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.03
    changed = {name for name, tensor in ours.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(moving in name for name in changed)
    assert tune == "full" or all("lora_" in name or name.startswith("head.") for name in changed)
    other = net(encoder, tune=tune, dropout=0.0)
    other.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(other.eval()(ids), ours.eval()(ids), rtol=0, atol=0)


def test_a_frozen_encoder_has_no_dropout_of_its_own(encoder: dict[str, Any]) -> None:
    ours = net(encoder, tune="frozen", dropout=0.0).train()
    ids = torch.from_numpy(encoding.encode(encoder, ["A good film."]))
    torch.testing.assert_close(ours(ids), ours(ids), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weights: weights.pop("embeddings.word_embeddings.weight"), "missing embeddings.word_embeddings.weight"),
        (lambda weights: weights.update({"odd": torch.zeros(1)}), "unexpected odd"),
        (
            lambda weights: weights.update({"embeddings.LayerNorm.bias": torch.zeros(1)}),
            "shape embeddings.LayerNorm.bias",
        ),
    ],
)
def test_weights_of_another_encoder_are_refused_by_name(
    raw: Path, encoder: dict[str, Any], change: Any, reason: str
) -> None:
    weights = tiny.lay_encoder(raw / "encoder")
    change(weights)
    with pytest.raises(DataError, match=reason):
        net(encoder).load_pretrained(weights)


def test_many_texts_at_once_give_what_each_gives_alone(encoder: dict[str, Any]) -> None:
    ours = net(encoder).eval()
    given = [" ".join(tiny.THINGS[: 1 + number % 8]) for number in range(bert.CHUNK + 9)]
    ids = torch.from_numpy(encoding.encode(encoder, given))
    with torch.inference_mode():
        torch.testing.assert_close(ours(ids), torch.cat([ours(row) for row in ids.split(1)]))


def test_an_architecture_that_transformers_does_not_know_is_refused(encoder: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"model_type 'brick'.*(?s:.)*pretrained=minilm"):
        net(encoder | {"architecture": {"model_type": "brick"}})
