"""The settings of nets; `takes`: the kind of the records that they do."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.config.section import Positive, Rate, Section, Share

Activation = Literal["relu", "sigmoid", "tanh", "gelu"]
Norm = Literal["none", "batch", "layer"]
# default: torch's own for each layer; the others set the weights of linear and convolution layers, and zero biases
Initialisation = Literal["default", "xavier", "kaiming", "orthogonal"]


class Layers(Section):
    """What all nets that are built from scratch have."""

    widths: list[Positive]
    activation: Activation
    norm: Norm
    init: Initialisation
    dropout: Share


class Mlp(Layers):
    takes: ClassVar[str] = "image"
    name: Literal["mlp"]


class Cnn(Layers):
    takes: ClassVar[str] = "image"
    name: Literal["cnn"]
    layers: Annotated[list[Positive | Literal["pool"]], Field(min_length=1)]  # channels of convolutions, and poolings
    kernel: Positive


class Bert(Section):
    takes: ClassVar[str] = "text"
    name: Literal["bert"]
    tune: Literal["full", "lora", "frozen"]
    lora_rank: Positive
    lora_alpha: Positive
    init: Initialisation  # of the head
    dropout: Share  # before the head


class Behaviour(Layers):
    takes: ClassVar[str] = "behaviour"
    name: Literal["behaviour"]
    embedding: Positive
    half_lives: Annotated[list[Rate], Field(min_length=1)]  # items; an average of the past for each


class Table(Layers):
    takes: ClassVar[str] = "table"
    name: Literal["table"]
    embedding: Positive  # the most dimensions that a category column's vectors may have


AnyModel = Annotated[Mlp | Cnn | Bert | Behaviour | Table, Field(discriminator="name")]
