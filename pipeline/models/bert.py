"""A pretrained encoder of the BERT family, the mean of its tokens, and a linear head.

Reimers and Gurevych, 2019, arXiv:1908.10084, found the mean of the tokens a better summary than the first one's state.
"""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.models.layers import initialise
from pipeline.project.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEADS = ("pooler.", "cls.", "lm_head.", "classifier.", "vocab_", "qa_outputs.", "embeddings.position_ids")
CHUNK = 128  # texts at a time where no gradients are kept: bounds memory, and pads little


class Bert(nn.Module):
    def __init__(self, settings: dict[str, Any], encoder: dict[str, Any], outputs: int):
        super().__init__()
        self.padding = encoder["padding"]
        self.frozen = settings["tune"] == "frozen"
        self.encoder = build_encoder(encoder["architecture"])
        if self.frozen:
            self.encoder.requires_grad_(False)
        if settings["tune"] == "lora":
            add_adapters(self.encoder, settings)
        self.dropout = nn.Dropout(settings["dropout"])
        self.head = nn.Linear(self.encoder.config.hidden_size, outputs)
        initialise(self.head, settings["init"])

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, L) token ids, padded at the right → (B, outputs). Without gradients, texts of like length go together."""
        if torch.compiler.is_exporting():  # an exported graph can't look at its data
            return self.whole(inputs)
        if torch.is_grad_enabled() or len(inputs) <= CHUNK:
            return self.outputs(inputs)
        order = (inputs != self.padding).sum(1).argsort(stable=True)
        found = torch.cat([self.outputs(inputs[rows]) for rows in order.split(CHUNK)])
        return found[order.argsort()]

    def outputs(self, inputs: Tensor) -> Tensor:
        """Cut to the longest of these texts, so that little is computed for padding."""
        longest = max(1, int((inputs != self.padding).sum(1).max()))
        return self.whole(inputs[:, :longest])

    def whole(self, inputs: Tensor) -> Tensor:
        mask = inputs != self.padding  # (B, T)
        mask[:, 0] = True  # a text without any token still has one to look at
        with torch.no_grad() if self.frozen else nullcontext():
            states = self.encoder(input_ids=inputs, attention_mask=mask).last_hidden_state  # (B, T, D)
        weights = mask.unsqueeze(2).float()
        means = (states * weights).sum(1) / weights.sum(1)  # (B, D), float32 under autocast too
        return self.head(self.dropout(means))

    def train(self, mode: bool = True) -> "Bert":
        """A frozen encoder's own dropout stays off."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        return self

    def load_pretrained(self, weights: dict[str, Tensor]) -> None:
        """`weights`: of a model.safetensors, also of an encoder with some head. DataError names what does not fit."""
        own = {name.replace(".base_layer.", "."): own for name, own in self.encoder.state_dict().items()}
        own = {name: tensor for name, tensor in own.items() if ".lora_" not in name}
        weights = renamed(weights, self.encoder.base_model_prefix)
        missing = sorted(own.keys() - weights.keys())
        unexpected = sorted(name for name in weights.keys() - own.keys() if not name.startswith(HEADS))
        misshapen = sorted(name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape)
        if missing or unexpected or misshapen:
            raise DataError(
                f"the pretrained weights do not fit the encoder of config.json: missing {few(missing)}; "
                f"unexpected {few(unexpected)}; of another shape {few(misshapen)}.\n"
                "Give config.json and model.safetensors of one and the same encoder"
            )
        for name, tensor in own.items():  # shares its memory with the parameter
            tensor.copy_(weights[name])


def build(settings: dict[str, Any], encoder: dict[str, Any], outputs: int) -> nn.Module:
    """`settings` as in conf/model/bert.yaml; inputs int32 (B, L) → (B, outputs). Its weights are random."""
    return Bert(settings, encoder, outputs)


def build_encoder(architecture: dict[str, Any]) -> "PreTrainedModel":
    """The transformers model of a config.json, in float32, without what stands behind its last layer."""
    from transformers import AutoConfig, AutoModel

    kind = architecture.get("model_type")
    try:
        config = AutoConfig.for_model(**architecture)
        encoder: PreTrainedModel = AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"transformers can't build the encoder of config.json, model_type {kind!r}: {error}\n"
            "Choose another: pretrained=minilm, or pretrained.path of a BERT, RoBERTa, DistilBERT …"
        ) from None
    if getattr(encoder, "pooler", None) is not None:
        encoder.register_module("pooler", None)  # the mean takes its place
    return encoder


def add_adapters(encoder: nn.Module, settings: dict[str, Any]) -> None:
    """Low-rank adapters beside all linear layers; all else is frozen. Hu et al., 2021, arXiv:2106.09685."""
    from peft import LoraConfig, inject_adapter_in_model

    linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    adapters = LoraConfig(r=settings["lora_rank"], lora_alpha=settings["lora_alpha"], target_modules=linear)
    inject_adapter_in_model(adapters, encoder)


def renamed(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """As the bare encoder names them: without `bert.`, which stands before the encoder's own where there is a head."""
    start = f"{prefix}."
    if any(name.startswith(start) for name in weights):
        weights = {name.removeprefix(start): tensor for name, tensor in weights.items() if name.startswith(start)}
    old = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # of files from TensorFlow
    for name in [name for name in weights if name.endswith(tuple(old))]:
        stem, _, last = name.rpartition("LayerNorm.")
        weights[f"{stem}{old[f'LayerNorm.{last}']}"] = weights.pop(name)
    return weights


def few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "none"
