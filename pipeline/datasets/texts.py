"""What all texts share: the pretrained encoder's files, splits without leaks, statistics and slices."""

import json
import re
import tempfile
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.datasets import vocabulary
from pipeline.kinds.text import encoder as encoding
from pipeline.project import paths
from pipeline.project.errors import ConfigError, DataError
from pipeline.store import held_out
from pipeline.store.assignment import TEST, TRAIN, VAL, assign
from pipeline.store.splits import Fold, Prepared, Split, Unusable, check
from pipeline.tasks import task as tasks

SIDES = {"train": TRAIN, "val": VAL, "test": TEST}
EXAMPLES = 2
LENGTHS = {17: "up to 16 tokens", 33: "17 to 32 tokens", 65: "33 to 64 tokens"}  # by the first length beyond
# They number positions from the padding's id on: Liu et al., 2019, arXiv:1907.11692, and their heirs
AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text")


@dataclass(frozen=True)
class Corpus:
    """Usable texts with their targets, int64 class indices or float32 numbers; and the rows that can't be used."""

    texts: list[str]
    targets: np.ndarray  # (N,)
    rows: np.ndarray  # (N,) int64
    unusable: list[Unusable]
    labels: list[str]  # [] in a regression
    groups: Sequence[str] | None = None  # rows of one value stay on one side
    times: np.ndarray | None = None  # (N,) numbers or dates


def prepared(
    corpus: Corpus,
    encoder: dict[str, Any],
    shares: tuple[float, float],
    max_quarantined: float,
    raw: Path,
    fold: Fold | None,
) -> Prepared:
    """Splits by `shares` of validation and test; texts that are equal in their words or their tokens stay together."""
    inputs = encoding.encode(encoder, corpus.texts)
    tokens = (row.tobytes() for row in inputs)
    words = (" ".join(re.findall(r"\w+", text.casefold())) or text for text in corpus.texts)
    groups = together(tokens, words, *([] if corpus.groups is None else [corpus.groups]))
    alike = len(groups) - len(np.unique(groups))
    sides = assign(corpus.targets, *shares, groups=groups if alike else None, times=corpus.times, fold=fold)
    splits = {}
    for name, side in SIDES.items():
        chosen = np.flatnonzero(sides == side)
        slices = {"length": [bucket(length) for length in lengths(encoder, inputs[chosen])]} if name == "test" else {}
        bad = corpus.unusable if name == "train" else []
        splits[name] = Split(inputs[chosen], corpus.targets[chosen], corpus.rows[chosen], bad, slices)
    check(splits, corpus.labels, max_quarantined)
    if tasks.of(encoder).numeric:
        encoder = encoder | {"target": spread(splits["train"].targets)}
    train = np.flatnonzero(sides == TRAIN)
    unknown = vocabulary.about(encoder, inputs[train], (corpus.texts[i] for i in train))
    statistics = about(encoder, splits["train"]) | {"alike": alike} | unknown
    encoder = encoder | {"unknown_tokens": unknown["unknown_tokens"]}  # so that /health can tell
    folder = Path(tempfile.mkdtemp(dir=paths.scratch()))
    texts = pl.LazyFrame({encoder["column"]: corpus.texts})
    tests = held_out.write(texts, np.flatnonzero(sides == TEST), folder)
    learned = held_out.write_train(corpus.texts, corpus.rows, train, folder)
    files = {"pretrained.safetensors": raw / "encoder/model.safetensors", **tests, **learned}
    examples = [{encoder["column"]: corpus.texts[i]} for i in np.flatnonzero(sides == TEST)[:EXAMPLES]]
    return Prepared(splits, encoder, statistics, examples, files)


def together(*keys: Iterable[Hashable]) -> np.ndarray:
    """(N,) int64 groups: rows that share a value of any of `keys`, each N values, directly or through others."""
    members = [numbered(key) for key in keys]
    groups = np.arange(len(members[0]))
    while True:
        before = groups
        for of_row in members:
            least = np.full(of_row.max(initial=-1) + 1, len(groups))
            np.minimum.at(least, of_row, groups)
            groups = least[of_row]
        if np.array_equal(groups, before):
            return groups


def numbered(values: Iterable[Hashable]) -> np.ndarray:
    """(N,) int64: the same number for equal values, from 0 in the order of appearance."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values], np.int64)


def describe(raw: Path, task: str, labels: Sequence[str], column: str, max_length: int) -> dict[str, Any]:
    """The encoder's dict, of the files in raw/encoder; refuses what can't read texts of `max_length` tokens."""
    architecture = json.loads(read(raw / "encoder/config.json"))
    tokenizer = read(raw / "encoder/tokenizer.json")
    padding = pad_id(architecture, json.loads(tokenizer))
    refuse_unfit(architecture, padding, max_length, encoding.tokenizer(tokenizer, max_length).get_vocab_size())
    return {
        "kind": "text",
        "task": task,
        "shape": [max_length],
        "dtype": "int32",
        "labels": list(labels),
        "column": column,
        "tokenizer": tokenizer,
        "padding": padding,
        "architecture": architecture,
    }


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `ratchet download` fetches it.\nType: dvc repro download") from None


def pad_id(architecture: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    known = architecture.get("pad_token_id"), (tokenizer.get("padding") or {}).get("pad_id")
    given = [one for one in known if one is not None]
    if not given:
        raise DataError(
            "the encoder's config.json has no pad_token_id, and its tokenizer.json no padding, so texts of different "
            "length can't be put side by side.\nChoose another encoder: pretrained=minilm, or pretrained.path"
        )
    return given[0]


def refuse_unfit(architecture: dict[str, Any], padding: int, max_length: int, vocabulary: int) -> None:
    if architecture.get("is_encoder_decoder"):
        kind = architecture.get("model_type")
        raise DataError(
            f"the pretrained model, a {kind}, has a decoder; allowed is an encoder alone: pretrained=minilm"
        )
    if vocabulary > architecture.get("vocab_size", vocabulary):
        raise DataError(
            f"tokenizer.json knows {vocabulary:,} tokens and config.json {architecture['vocab_size']:,}; "
            "they are of two different encoders.\nCorrect the folder in pretrained.path"
        )
    positions = architecture.get("max_position_embeddings", max_length)
    if architecture.get("model_type") in AFTER_PADDING:
        positions -= padding + 1
    if max_length > positions:
        raise ConfigError(
            f"data.prepare.max_length is {max_length}, but this encoder reads at most {positions} tokens.\n"
            f"Set data.prepare.max_length to {positions} or less in params.yaml"
        )


def lengths(encoder: dict[str, Any], inputs: np.ndarray) -> list[int]:
    return (inputs != encoder["padding"]).sum(axis=1).tolist()


def bucket(length: int) -> str:
    return next((name for bound, name in LENGTHS.items() if length < bound), "65 tokens or more")


def spread(targets: np.ndarray) -> dict[str, float]:
    values = targets.astype(np.float64)
    if not values.std():
        raise DataError(
            f"the target is {values[0]:g} in every row of train; there is nothing to learn.\n"
            "Name another data.prepare.target, or give rows that differ"
        )
    return {"mean": float(values.mean()), "std": float(values.std())}


def about(encoder: dict[str, Any], train: Split) -> dict[str, Any]:
    """How long the texts of train are, in tokens, and how many fill all of max_length, most of them cut."""
    tokens = np.array(lengths(encoder, train.inputs))
    low, middle, high = np.percentile(tokens, [5, 50, 95], method="nearest").tolist()
    full = int((tokens == encoder["shape"][0]).sum())
    return {"tokens": {"mean": float(tokens.mean()), "p5": low, "median": middle, "p95": high}, "at_max_length": full}
