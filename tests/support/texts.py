"""Tiny encoders and texts: a BERT of two layers that knows few words, made with Hugging Face's own tools."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
GOOD = ["good", "great", "lovely", "fine", "funny"]
BAD = ["bad", "awful", "boring", "poor", "sad"]
THINGS = ["film", "story", "plot", "cast", "score", "end", "start", "camera"]
VOCABULARY = [*SPECIAL, "a", "is", "the", "and", ".", "[", "]", "sep", "##s", *GOOD, *BAD, *THINGS, *"这部电影很好差看"]
ARCHITECTURE = {
    "model_type": "bert",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
REVIEWS = "movieReviewSnippets_GroundTruth.txt"


def tokenizer() -> str:
    """The content of a tokenizer.json: lower case, words and pieces of words, [CLS] and [SEP] around."""
    tool = Tokenizer(models.WordPiece({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tool.normalizer = normalizers.BertNormalizer(lowercase=True)
    tool.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tool.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tool.decoder = decoders.WordPiece()
    tool.add_special_tokens(SPECIAL)
    return tool.to_str()


def lay_encoder(folder: Path, **architecture: object) -> dict[str, torch.Tensor]:
    """Writes the three files of an encoder into `folder`; returns its weights."""
    from transformers import AutoConfig, AutoModel

    settings = ARCHITECTURE | architecture
    torch.manual_seed(0)
    weights = AutoModel.from_config(AutoConfig.for_model(**settings)).state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer(), encoding="utf-8")
    save_file(weights, folder / "model.safetensors")
    return weights


def sentences() -> list[tuple[str, bool]]:
    """200 different texts, each with whether it is kind; the two kinds take turns."""
    pairs = [(a, b) for a in THINGS for b in THINGS if a != b]
    texts = []
    for number in range(100):
        first, second = pairs[number % len(pairs)]
        for words, kind in ((GOOD, True), (BAD, False)):
            one, two = words[number % 5], words[(number // 5 + number) % 5]
            texts.append((f"The {first} is {one} and the {second}{'s' * (number >= len(pairs))} {two}.", kind))
    return texts


def reviews() -> bytes:
    """A file of reviews as Hutto and Gilbert wrote it, with a neutral one at its end."""
    rated = [(1.5 if kind else -0.5, text) for text, kind in sentences()]
    lines = [f"{number}\t{rating}\t{text}" for number, (rating, text) in enumerate([*rated, (0, "A film.")], start=1)]
    return "".join(f"{line}\n" for line in lines).encode()
