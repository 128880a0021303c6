"""What a pretrained text encoder does not know: tokens that stand for no word of its vocabulary, and scripts."""

import json
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.data import FileFormat
from pipeline.kinds.text.encoder import tokenizer
from pipeline.tables.reading import open_table

MOST_UNKNOWN = 0.05  # share of the tokens from which it is said
FOREIGN = 0.05  # share of letters that are not Latin from which init says it
LOOKED_AT = 10_000  # texts of a file
NAMED = 3  # scripts
SCRIPTS = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
ANOTHER = (
    "Choose an encoder for the language of the texts in params.yaml, by its name at Hugging Face or a folder:\n"
    "  pretrained: {name: hub, path: google-bert/bert-base-multilingual-cased}"
)


def about(encoder: Mapping[str, Any], inputs: np.ndarray, texts: Iterable[str]) -> dict[str, Any]:
    """Of (N, L) token ids and their texts: the share of unknown ones; where it is large, the scripts of both."""
    found: dict[str, Any] = {"unknown_tokens": share_unknown(encoder, inputs)}
    if found["unknown_tokens"] > MOST_UNKNOWN:
        words = tokenizer(encoder["tokenizer"], encoder["shape"][0]).get_vocab()
        found["scripts"] = {"texts": scripts(texts), "vocabulary": scripts(words)}
    return found


def share_unknown(encoder: Mapping[str, Any], inputs: np.ndarray) -> float:
    """Of the tokens that are neither padding nor put around each text; 0 for a tokenizer that knows every byte."""
    tool = tokenizer(encoder["tokenizer"], encoder["shape"][0])
    model = json.loads(encoder["tokenizer"])["model"]
    token = model.get("unk_token")
    unknown = model.get("unk_id") if token is None else tool.token_to_id(token)
    tokens = int((inputs != encoder["padding"]).sum()) - len(inputs) * tool.num_special_tokens_to_add(False)
    if unknown is None or tokens <= 0:
        return 0.0
    return round(int((inputs == unknown).sum()) / tokens, 6)


def scripts(texts: Iterable[str]) -> dict[str, float]:
    """Script → its share of all letters, those of NAMED most frequent ones."""
    letters: Counter[str] = Counter()
    for text in texts:
        letters.update(text)
    found: Counter[str] = Counter()
    for letter, count in letters.items():
        if letter.isalpha():
            name = unicodedata.name(letter, "other").split(" ")[0].split("-")[0]
            found[SCRIPTS.get(name, name.title())] += count
    return {name: round(count / found.total(), 4) for name, count in found.most_common(NAMED)}


def warning(statistics: Mapping[str, Any]) -> str:
    """Of what about() found; empty where all is well, and of data that has no texts."""
    share = statistics.get("unknown_tokens", 0.0)
    if share <= MOST_UNKNOWN:
        return ""
    there, here = (shown(statistics["scripts"][side]) for side in ("texts", "vocabulary"))
    return (
        f"{share:.1%} of the tokens of train are unknown to the encoder: the net can't tell such words apart."
        f"\nThe letters of the texts are {there}; those of the encoder's vocabulary {here}.\n{ANOTHER}"
    )


def shown(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items()) or "none"


def foreign(path: Path, prepare: Mapping[str, Any]) -> str:
    """For init, which has no encoder yet: what the letters say of the scenario's own, which is English.

    `prepare`: format and text, as in data.prepare. Empty where nearly all letters are Latin.
    """
    with tempfile.TemporaryDirectory(prefix="ratchet-") as scratch:
        table = open_table(path, FileFormat.model_validate(prepare["format"]), Path(scratch))
        texts = table.frame.select(pl.col(prepare["text"]).cast(pl.String)).head(LOOKED_AT).collect().to_series()
    found = scripts(texts.drop_nulls().to_list())
    if not found or found.get("Latin", 0.0) >= 1 - FOREIGN:
        return ""
    return (
        f"the letters of {prepare['text']!r} are {shown(found)}; the encoder of text_bert is for English: most other "
        f"words will be unknown to it.\n{ANOTHER}"
    )
