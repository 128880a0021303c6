"""The settings, typed. No defaults here: each setting has its one home in conf/ or params.yaml."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline.config.data import AnyData, AnyEncoder, without_secret
from pipeline.config.model import AnyModel
from pipeline.config.section import (
    Amount,
    Count,
    Name,
    Positive,
    Rate,
    Said,
    Section,
    Sha256,
    Share,
    Unhashed,
    decisive,
)
from pipeline.project.files import digest
from pipeline.tasks.metrics import lower_is_better

# What decides the model: what the config hash is made of, and what is adopted from a run
HASHED = {"seed", "data", "labels", "pretrained", "model", "loss", "optimizer", "schedule", "training"}


class CrossEntropy(Section):
    """binary: one output for two classes, which is the same loss with half the head."""

    name: Literal["cross_entropy", "binary"]
    label_smoothing: Share
    class_weights: Literal["none", "balanced"]  # balanced: rows / (classes × rows of the class)


class SquaredError(Section):
    name: Literal["mse"]


class Huber(Section):
    name: Literal["huber"]
    delta: Rate  # standard deviations of the target


class Adam(Section):
    name: Literal["adam", "adamw"]
    lr: Rate
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)]
    weight_decay: Amount
    l1: Amount


class Sgd(Section):
    name: Literal["sgd"]
    lr: Rate
    momentum: Share
    weight_decay: Amount
    l1: Amount


class Constant(Section):
    name: Literal["constant"]


class Step(Section):
    name: Literal["step"]
    every: Positive
    factor: Rate


class Cosine(Section):
    name: Literal["cosine"]
    warmup: Share
    floor: Share


class OneCycle(Section):
    name: Literal["one_cycle"]
    warmup: Share
    start: Share
    end: Share


class Plateau(Section):
    name: Literal["plateau"]
    patience: Count
    factor: Share


class Augmentation(Section):
    """Of training pictures, a batch at a time on the device."""

    rotate: Amount  # up to so many degrees, either way
    flip: Share  # probability of a mirror image, left to right
    crop: Count  # a window of the same size, moved by up to so many pixels each way
    noise: Amount  # standard deviation of what is added to each pixel, in shades of 255

    @property
    def on(self) -> bool:
        return any(self.model_dump().values())


class EarlyStopping(Section):
    patience: Positive | None
    min_delta: Amount


class Training(Section):
    max_epochs: Positive
    batch_size: Positive
    accumulate: Positive
    precision: Literal["32", "bf16", "auto"]
    gradient_clip: Rate | None
    compile: bool
    bucket: Positive | None
    monitor: Literal["val/accuracy", "val/loss", "val/mae", "val/rmse", "val/r2", "val/ndcg_10", "val/hr_10", "val/mrr"]
    early_stopping: EarlyStopping
    augmentation: Augmentation

    @property
    def mode(self) -> Literal["min", "max"]:
        return "min" if lower_is_better(self.monitor) else "max"


class Trainer(Section):
    name: Literal["auto", "cpu", "gpu", "ddp", "fsdp"]
    devices: Positive | Literal["auto"]
    nodes: Positive
    node: Count
    rendezvous: str
    restarts: Count
    threads: Positive | None
    deterministic: bool
    steps_per_block: Positive
    validation_batch: Positive
    checkpoint_seconds: Amount
    checkpoint_steps: Positive | None
    checkpoint_share: Rate


class Evaluation(Section):
    batch_size: Positive
    calibration_bins: Positive
    mistakes: Count
    raw_cells: bool
    baseline_rows: Positive


class Tracking(Section):
    experiment: Name
    log_every_steps: Positive
    fsync_seconds: Rate
    wait_seconds: Amount
    system_metrics_seconds: Rate


class Registry(Section):
    model: Name
    intended_use: Said | None
    limits: Said | None


class Gate(Section):
    name: Literal["classification", "regression", "ranking"]
    metric: Literal[
        "accuracy", "recall", "loss",
        "mae", "rmse",
        "hr_5", "hr_10", "hr_20", "ndcg_5", "ndcg_10", "ndcg_20", "recall_10", "mrr",
    ]  # fmt: skip
    gain: Annotated[float, Field(allow_inf_nan=False)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    resamples: Annotated[int, Field(ge=1000)]
    worst_class: Share | None
    worst_slice: Share | None
    least_rows: Positive
    latency_ms: Rate | None
    size_mb: Rate | None
    calibration_error: Share | None
    live_loss: Share
    live_agreement: Share | None
    over_baseline: bool
    minimum: dict[str, float | str]  # a number, or another metric's name, such as baseline/majority/accuracy


class Serving(Section):
    store: Annotated[str, AfterValidator(without_secret)] | None
    keep_days: Positive | None
    scrub: bool
    watch_seconds: Rate
    batch: Positive
    body_mb: Positive
    records: Positive
    characters: Positive
    pixels: Positive
    side: Positive
    seconds: Rate
    connections: Positive
    hosts: list[str]


class Labels(Section):
    """Labels from use that preprocess joins to train: `ratchet feedback --export` names them in params.yaml."""

    rows: Positive  # of data/feedback/labels.parquet
    sha256: Sha256  # of that file
    until: Annotated[Positive, Unhashed()]  # number of the last of them in the feedback store
    held_back: Share  # of them, for the gate; train gets the others


def a_day(text: str) -> str:
    date.fromisoformat(text)
    return text


class Feedback(Section):
    since: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$"), AfterValidator(a_day)] | None
    skip: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]]
    held_back: Annotated[float, Field(gt=0, lt=1)]
    least: Positive
    labels: Positive | None
    score: bool
    drift: bool
    psi: Rate
    watch_seconds: Rate


class Config(Section):
    """Everything that a run is told, resolved and checked."""

    scenario: Name
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    cv: Annotated[int, Field(ge=2)] | None
    data: AnyData
    labels: Labels | None
    pretrained: AnyEncoder
    model: AnyModel
    loss: Annotated[CrossEntropy | SquaredError | Huber, Field(discriminator="name")]
    optimizer: Annotated[Adam | Sgd, Field(discriminator="name")]
    schedule: Annotated[Constant | Step | Cosine | OneCycle | Plateau, Field(discriminator="name")]
    training: Training
    trainer: Trainer
    evaluation: Evaluation
    tracking: Tracking
    registry: Registry
    gate: Gate
    serving: Serving
    feedback: Feedback

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the model: not where the data is fetched, what is reported, or what machine trains.

        A setting decides unless it is marked: Unhashed, or Neutral(value) where one is added later.
        """
        return digest({name: decisive(getattr(self, name), value) for name, value in self.hashed().items()})

    @property
    def former_hash(self) -> str:
        """As it was before settings could be marked: what runs and trials of that time are tagged with."""
        settings = self.hashed()
        for part in ("data", "pretrained"):
            settings[part].get("source", {}).pop("mirrors", None)
        return digest(settings)

    def hashed(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include=HASHED)

    def is_of(self, known: str | None) -> bool:
        """Whether a config hash, of whatever time, is of these settings."""
        return known in (self.hash, self.former_hash)

    @property
    def components(self) -> set[str]:
        """The names by which code is found: kind, task, net and data."""
        task = self.data.prepare.task if self.data.task is None else self.data.task
        return {self.data.records, task, self.model.name, self.data.kind}

    @property
    def run_name(self) -> str:
        return f"{self.scenario}-{self.hash[:7]}"
