"""Each choice of the settings does what its name says: layers, losses, optimisers, schedules, augmentation."""

import math
from typing import Any

import pytest
import torch
import yaml
from pydantic import TypeAdapter
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pipeline.config import composition
from pipeline.config.schema import Augmentation, Config, Huber, SquaredError
from pipeline.models import network
from pipeline.models.layers import ACTIVATIONS, INITIALISATIONS
from pipeline.project.errors import ConfigError
from pipeline.tasks import task as tasks
from pipeline.tasks.ranking import without_seen
from pipeline.training.augmentation import augment
from pipeline.training.objective import Objective, Ranked
from pipeline.training.optimization import add_l1, build_optimizer, l1_weights, learning_rate
from pipeline.training.task import Task
from tests.conftest import REPOSITORY

PICTURES = {"kind": "image", "task": "classification", "shape": [1, 12, 12], "labels": ["a", "b", "c"]}
SCALING = {"multiply": 1 / 255, "add": 0.0}
STEPS = 10  # an epoch


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def composed(*overrides: str) -> Config:
    return composition.compose(["scenario=mnist_mlp", "model.widths=[6]", *overrides])


def built(*overrides: str, encoder: dict[str, Any] = PICTURES) -> nn.Module:
    config = composed(*overrides)
    torch.manual_seed(0)
    return network.build(config.model.model_dump(), encoder | {"scaling": SCALING}, config.loss.name)


def inputs(number: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (number, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


NETS = {"mlp": ["model=mlp", "model.widths=[6]"], "cnn": ["model=cnn", "model.layers=[4,pool,5]", "model.widths=[6]"]}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_activations_and_norms_stand_in_the_net_and_all_of_it_learns(net: str, activation: str, norm: str) -> None:
    found = built(*NETS[net], f"model.activation={activation}", f"model.norm={norm}", "model.dropout=0.5")
    kinds = [type(module) for module in found.modules()]
    hidden = {"mlp": 1, "cnn": 3}[net]
    assert kinds.count(ACTIVATIONS[activation]) == hidden
    norms = [kind for kind in kinds if kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)]
    assert len(norms) == (0 if norm == "none" else hidden)
    assert kinds.count(nn.Dropout) == 1
    logits = found(inputs())
    assert logits.shape == (4, 3)
    cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    assert all(parameter.grad is not None for parameter in found.parameters())


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_initialisations_set_the_weights_and_zero_the_biases(init: str) -> None:
    plain, found = (built("model.widths=[50,50]", f"model.init={name}") for name in ("default", init))
    square = found.net[3].weight.detach()  # (50, 50)
    assert not square.equal(plain.net[3].weight)
    assert found.net[3].bias.eq(0).all()
    if init == "orthogonal":
        assert torch.allclose(square @ square.T, torch.eye(50), atol=1e-5)
    else:
        wanted = {"xavier": math.sqrt(2 / 100), "kaiming": math.sqrt(2 / 50)}[init]
        assert square.std().item() == pytest.approx(wanted, rel=0.1)


def test_a_cnn_that_leaves_nothing_of_the_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"leaves nothing of the picture"):
        built("model=cnn", "model.layers=[4,pool,4,pool,4]")


def objective(*overrides: str, encoder: dict[str, Any] = PICTURES, per_class: tuple[int, ...] = (4, 2, 2)) -> Objective:
    return Objective(composed(*overrides), encoder, list(per_class))


def test_label_smoothing_and_class_weights_change_the_loss_as_the_papers_say() -> None:
    logits, targets = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    shares = logits.log_softmax(dim=1)
    plain = -shares[range(4), targets]
    assert torch.allclose(objective().losses(logits, targets), plain)
    smooth = objective("loss.label_smoothing=0.3").losses(logits, targets)
    assert torch.allclose(smooth, 0.7 * plain - 0.3 * shares.mean(dim=1))
    weighted = objective("loss.class_weights=balanced").losses(logits, targets)
    assert torch.allclose(weighted, plain * torch.tensor([8 / 12, 8 / 6, 8 / 6, 8 / 12]))


def test_one_output_with_the_binary_loss_is_binary_cross_entropy() -> None:
    two = PICTURES | {"labels": ["no", "yes"]}
    found = built("loss=binary", encoder=two)
    assert found.net[-1].out_features == 1
    logits, targets = found(inputs()), torch.tensor([0, 1, 1, 0])
    assert logits.shape == (4, 2)
    single = found.net(found.scaled(inputs())).squeeze(1)
    wanted = binary_cross_entropy_with_logits(single, targets.float(), reduction="none")
    assert torch.allclose(objective("loss=binary", encoder=two).losses(logits, targets), wanted)


NUMBERS = {"kind": "table", "task": "regression", "labels": [], "target": {"mean": 10.0, "std": 2.0}}


def regression(loss: str) -> Objective:
    settings = yaml.safe_load((REPOSITORY / f"conf/loss/{loss}.yaml").read_text())
    config = composed().model_copy(update={"loss": TypeAdapter(Huber | SquaredError).validate_python(settings)})
    return Objective(config, NUMBERS, [])


def test_squared_and_huber_loss_are_of_standardised_targets() -> None:
    outputs, targets = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([11.0, 10.0, 10.0])
    assert regression("mse").losses(outputs, targets).tolist() == [0.25, 1.0, 9.0]
    assert regression("huber").losses(outputs, targets).tolist() == [0.125, 0.5, 2.5]
    scored = regression("mse")
    scored.update(outputs, targets, torch.zeros(3, 1))
    values = scored.compute()
    assert values["val/mae"].item() == pytest.approx((1 + 2 + 6) / 3)
    assert values["val/rmse"].item() == pytest.approx(math.sqrt((1 + 4 + 36) / 3))


def test_ranks_leave_out_what_was_seen() -> None:
    logits = torch.tensor([[5.0, 4.0, 3.0, 2.0]])
    history = torch.tensor([[0, 1, 3]], dtype=torch.int32)  # padding, item 0, item 2
    assert without_seen(logits, history).tolist() == [[-math.inf, 4.0, -math.inf, 2.0]]
    metric = Ranked()
    metric.update(logits, torch.tensor([3]), history)
    assert metric.compute()["mrr"].item() == 0.5
    assert metric.compute()["ndcg_10"].item() == pytest.approx(1 / math.log2(3))
    encoder = {"task": "ranking", "labels": ["a", "b", "c", "d"]}
    (answer,) = tasks.of(encoder).answers(logits, history, encoder)
    assert answer["items"][:2] == ["b", "d"]


def rates(*overrides: str, monitored: tuple[float, ...] = (), epochs: int = 4) -> list[float]:
    rate = learning_rate(composed("optimizer.lr=1.0", f"training.max_epochs={epochs}", *overrides), STEPS)
    return [rate(step, monitored) for step in range(epochs * STEPS)]


def test_schedules() -> None:
    assert set(rates("schedule=constant")) == {1.0}
    step = rates("schedule=step", "schedule.every=2", "schedule.factor=0.1")
    assert (step[19], step[20]) == (1.0, 0.1)
    cosine = rates("schedule=cosine", "schedule.warmup=0.25", "schedule.floor=0.1")
    assert cosine[:10] == [pytest.approx((i + 1) / 10) for i in range(10)]
    assert cosine[25] == pytest.approx(0.55)  # the middle of what comes after the warm-up
    assert cosine == sorted(cosine[:10]) + sorted(cosine[10:], reverse=True)
    cycle = rates("schedule=one_cycle")
    assert cycle[0] == pytest.approx(0.04)
    assert max(cycle) == cycle[12] == pytest.approx(1.0)
    assert cycle[-1] < 0.01


def test_the_plateau_schedule_waits_and_then_falls() -> None:
    def last(*values: float) -> float:
        return rates("schedule=plateau", "schedule.patience=1", "schedule.factor=0.5", monitored=values)[-1]

    assert last() == last(0.5, 0.6) == last(0.5, 0.4) == 1.0
    assert last(0.5, 0.4, 0.5) == 0.5  # two epochs that were not better
    assert last(0.5, 0.4, 0.5, 0.4, 0.3) == 0.25
    assert last(0.5, 0.4, 0.6, 0.5) == 1.0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimisers_and_weight_decay(name: str) -> None:
    found = built()
    config = composed(f"optimizer={name}", "optimizer.weight_decay=0.1", "optimizer.lr=0.01")
    optimizer = build_optimizer(found, config)
    assert type(optimizer).__name__.lower() == name
    before = found.net[1].weight.detach().clone()
    for parameter in found.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert found.net[1].weight.abs().sum() < before.abs().sum()  # the decay alone moves it, towards zero


def test_l1_pulls_weights_and_not_biases() -> None:
    found = built()
    for parameter in found.parameters():
        parameter.grad = torch.zeros_like(parameter)
    add_l1(l1_weights(found, 0.5), 0.5)
    assert found.net[1].weight.grad.equal(0.5 * found.net[1].weight.detach().sign())
    assert found.net[1].bias.grad.eq(0).all()
    assert l1_weights(found, 0.0) == []


def augmented(images: torch.Tensor, **settings: float) -> torch.Tensor:
    torch.manual_seed(0)
    given = {"rotate": 0.0, "flip": 0.0, "crop": 0, "noise": 0.0} | settings
    return augment(images, Augmentation.model_validate(given))


@pytest.fixture
def corner() -> torch.Tensor:
    """(64, 1, 12, 12): a bright square left above the middle."""
    images = torch.zeros(64, 1, 12, 12, dtype=torch.uint8)
    images[:, :, 3:5, 2:4] = 200
    return images


def test_a_flip_mirrors_left_and_right(corner: torch.Tensor) -> None:
    mirrored = augmented(corner, flip=0.5)
    kept = torch.isclose(mirrored, corner.float(), atol=1e-3).all(dim=(1, 2, 3))
    turned = torch.isclose(mirrored, corner.float().flip(3), atol=1e-3).all(dim=(1, 2, 3))
    assert (kept ^ turned).all()
    assert 15 < turned.sum() < 50


def test_a_crop_moves_by_whole_pixels(corner: torch.Tensor) -> None:
    moved = augmented(corner, crop=2)
    places = {tuple(image[0].gt(100).nonzero()[0].tolist()) for image in moved}
    assert {row for row, _ in places} == {1, 2, 3, 4, 5}
    assert {column for _, column in places} == {0, 1, 2, 3, 4}
    assert torch.isclose(moved.sum(dim=(1, 2, 3)), torch.tensor(800.0), atol=0.1).all()


def test_a_rotation_turns_about_the_middle(corner: torch.Tensor) -> None:
    turned = augmented(corner, rotate=90.0)
    centre = turned.sum(dim=1)  # (B, H, W)
    position = torch.arange(12) - 5.5
    x = (centre.sum(dim=1) * position).sum(dim=1) / centre.sum(dim=(1, 2))
    y = (centre.sum(dim=2) * position).sum(dim=1) / centre.sum(dim=(1, 2))
    assert torch.hypot(x, y).sub(math.hypot(3, 2)).abs().max() < 0.2
    assert y.min() < -2.5
    assert y.max() > 1.5


def test_noise_has_its_deviation_and_stays_within_the_shades() -> None:
    grey = torch.full((50, 1, 12, 12), 128, dtype=torch.uint8)
    noisy = augmented(grey, noise=10.0)
    assert noisy.sub(128).std().item() == pytest.approx(10, rel=0.05)
    assert augmented(grey, noise=500.0).min() == 0
    assert augmented(grey, noise=500.0).max() == 255


def test_validation_sees_the_pictures_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed("training.augmentation.noise=100")
    task = Task(built(), Objective(config, PICTURES, []), config, rows=4, bf16=False)
    targets = torch.tensor([0, 1, 2, 0])
    task.validation_step((inputs(), targets), 0)
    wanted = cross_entropy(task.network(inputs()), targets, reduction="sum")
    assert task.val_loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    seen = []
    monkeypatch.setattr(
        task.network, "forward", lambda images: seen.append(images) or torch.zeros(4, 3, requires_grad=True)
    )
    task.forward_and_backward(inputs(), targets)
    assert not seen[0].equal(inputs().float())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model=bert"], "a net for the image records of mnist: mlp, cnn"),
        (["loss=huber"], "for classification: cross_entropy, binary"),
        (["training.monitor=val/rmse"], "for classification: val/accuracy, val/loss"),
        (["training.bucket=5"], "null: it is for texts"),
        (["scenario=movielens_dnn", "cv=3"], "so there are no folds"),
        (["scenario=movielens_dnn", "training.augmentation.flip=0.5"], "it is for pictures"),
        (["scenario=reviews_bert", "pretrained=none"], "a pretrained encoder: minilm, or hub"),
        (["pretrained=minilm"], "none: model mlp uses no pretrained encoder; model bert does, on texts"),
        (["model=cnn", "pretrained={name: hub, path: a/b}"], "none: model cnn uses no pretrained encoder"),
        (["scenario=mnist_cnn_small", "model=mlp"], "given [32, 'pool']; model mlp has no such setting, and scenario "),
        (["gate.minimum={test/average_precission: 0.5}"], "Did you mean test/average_precision?"),
        (["gate.minimum={test/recal/1: 0.5}"], "Did you mean test/recall/1?"),
        (["gate.minimum={test/accuracy: baseline/majorty/accuracy}"], "Did you mean baseline/majority/accuracy?"),
        (["scenario=movielens_dnn", "gate.minimum={test/recall/1: 0.5}"], "for ranking are test/count|coverage_10|"),
        (["scenario=text_bert"], "`ratchet init --data PATH` writes it"),
    ],
)
def test_what_cannot_go_together_is_refused_with_what_can(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        composition.compose(overrides)
    assert words in str(refused.value)
