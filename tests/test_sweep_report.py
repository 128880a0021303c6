"""A sweep's report: the page, the table and the figures say what the study holds, and why something is left out."""

import csv
import math
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image

from pipeline.project.secrets import redact
from pipeline.sweeping import analysis, report

SPACE = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "model.widths": CategoricalDistribution(["[256]", "[512,256]", "[1024,512,256,128]"]),
    "training.augmentation.rotate": IntDistribution(0, 20),
}
PICTURES = {"history.png", "importances.png", "slices.png", "parallel.png"}


def trial(values: Sequence[float], params: dict[str, Any], space: dict[str, BaseDistribution] = SPACE) -> FrozenTrial:
    about = {"seconds": 2.5, "threads": 1, "run_id": "f" * 32, "config.hash": "c" * 64}
    return create_trial(values=list(values), params=params, distributions=space, user_attrs=about)


def ended(state: TrialState, reason: str) -> FrozenTrial:
    params = {"optimizer.lr": 1e-3, "model.widths": "[256]", "training.augmentation.rotate": 3}
    return create_trial(
        state=state, params=params, distributions=SPACE, user_attrs={"reason": reason}, intermediate_values={1: 0.2}
    )


def drawn(number: int, score: Any) -> list[FrozenTrial]:
    """Trials at random points of SPACE; `score(lr, widths)` gives their values."""
    source = np.random.default_rng(0)
    trials = []
    for _ in range(number):
        params = {
            "optimizer.lr": float(10 ** source.uniform(-4, -2)),
            "model.widths": str(source.choice(SPACE["model.widths"].choices)),
            "training.augmentation.rotate": int(source.integers(0, 21)),
        }
        trials.append(trial(score(params["optimizer.lr"], len(params["model.widths"])), params))
    return trials


def study(trials: Sequence[FrozenTrial], *objectives: str) -> optuna.Study:
    objectives = objectives or ("val/accuracy",)
    directions = ["minimize" if name in ("latency_ms", "val/loss") else "maximize" for name in objectives]
    made = optuna.create_study(study_name="mnist_mlp", directions=directions)
    about = {"objectives": list(objectives), "scenario": "mnist_mlp", "sampler": "tpe", "pruner": "median"}
    about |= {"space": {"optimizer.lr": "tag(log,interval(1e-4,1e-2))"}, "overrides": ["training.max_epochs=5"]}
    for key, value in about.items():
        made.set_user_attr(key, value)
    made.add_trials(trials)
    return made


def by_rate(lr: float, widths: int) -> list[float]:
    return [0.97 - 0.02 * (math.log10(lr) + 3) ** 2]


def written(made: optuna.Study, folder: Path) -> tuple[str, set[str]]:
    """(what the page says without its scripts, names of the pictures)."""
    files = report.write(made, folder)
    assert files[:2] == [folder / "report.html", folder / "trials.csv"]
    assert {file.name for file in folder.iterdir()} == {file.name for file in files}
    page = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", files[0].read_text(encoding="utf-8"))
    return page, {file.name for file in files[2:]}


def test_the_report_says_what_the_study_holds(tmp_path: Path):
    trials = drawn(20, by_rate)
    trials.insert(2, ended(TrialState.PRUNED, "pruned at epoch 1"))
    trials.insert(5, ended(TrialState.FAIL, "the loss is <script>alert(1)</script> & nan"))
    trials[7].set_user_attr("reused", "abc" * 10)
    made = study(trials)
    page, pictures = written(made, tmp_path)
    assert pictures == PICTURES
    for name in pictures:
        pixels = np.asarray(Image.open(tmp_path / name).convert("L"))
        assert min(pixels.shape) > 150
        assert (pixels < 200).mean() > 0.002, f"{name} is blank"
    text = unescape(re.sub(r"<[^>]+>", " ", page))
    best = made.best_trial
    assert "22: 20 COMPLETE, 1 PRUNED, 1 FAIL" in text
    assert f"Trial {best.number}: val/accuracy  {best.value:.5g}" in text
    assert f"{best.params['optimizer.lr']:.4g}" in text
    assert "the loss is <script>alert(1)</script> & nan" in unescape(text)
    assert "trial 7 (run abcabcabcabc)" in text
    assert "50.0 s, all trials together" in text
    assert "alert(1)" not in page.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")
    assert "Not drawn" not in page


def test_the_table_has_every_trial(tmp_path: Path):
    trials = [*drawn(2, by_rate), ended(TrialState.PRUNED, "pruned at epoch 1, val/accuracy 0.2")]
    written(study(trials), tmp_path)
    with (tmp_path / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert [float(row["val/accuracy"]) for row in rows[:2]] == [trials[0].value, trials[1].value]
    assert float(rows[1]["optimizer.lr"]) == trials[1].params["optimizer.lr"]
    assert (rows[2]["val/accuracy"], rows[2]["epochs"]) == ("", "1")
    assert rows[2]["reason"] == "pruned at epoch 1, val/accuracy 0.2"


def test_the_same_study_gives_the_same_bytes_and_redaction_leaves_them(tmp_path: Path):
    made = study(drawn(6, by_rate))
    first = {file.name: file.read_bytes() for file in report.write(made, tmp_path / "first")}
    assert {file.name: file.read_bytes() for file in report.write(made, tmp_path / "second")} == first
    page = first["report.html"].decode()
    assert redact(page, {}) == page, "the journal would break the page's scripts"


def test_several_objectives_show_their_front(tmp_path: Path):
    source = np.random.default_rng(1)
    made = study(
        drawn(12, lambda lr, widths: [*by_rate(lr, widths), widths * source.uniform()]), "val/accuracy", "latency_ms"
    )
    page, pictures = written(made, tmp_path)
    assert pictures == PICTURES | {"pareto.png"}
    values = [one.values for one in made.trials]
    front = [
        number
        for number, (high, low) in enumerate(values)
        if not any(a >= high and b <= low and (a, b) != (high, low) for a, b in values)
    ]
    table = page[page.index("The Pareto front") : page.index("History")]
    assert [int(number) for number in re.findall(r'<tr><td class="number">(\d+)<', table)] == front
    assert 1 < len(front) < 12
    assert "val/accuracy (higher is better), latency_ms (lower is better)" in page
    page, pictures = written(study(drawn(6, lambda lr, widths: [lr, -lr, widths, lr]), *"abcd"), tmp_path)
    assert pictures == PICTURES  # and the picture of before is gone
    assert "Not drawn: two or three objectives can be drawn; there are 4." in page


def test_importances_find_the_setting_that_matters():
    found = analysis.find(study(drawn(20, by_rate))).importances["val/accuracy"]
    assert next(iter(found)) == "optimizer.lr"
    assert found["optimizer.lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


SAME = {"optimizer.lr": 1e-3, "model.widths": "[256]", "training.augmentation.rotate": 3}


@pytest.mark.parametrize(
    ("trials", "pictures", "reason"),
    [
        ([], set(), "it needs two complete trials; there are none"),
        ([trial([0.9], SAME), ended(TrialState.FAIL, "x")], set(), "it needs two complete trials; there is 1"),
        (drawn(3, by_rate), PICTURES - {"importances.png"}, "it needs 5 complete trials; there are 3"),
        ([trial([0.9], SAME)] * 6, {"history.png"}, "all complete trials had the same settings"),
        (drawn(6, lambda *_: [0.9]), PICTURES - {"importances.png"}, "all complete trials scored the same"),
    ],
)
def test_what_cannot_be_drawn_is_left_out_and_says_why(tmp_path: Path, trials, pictures, reason):
    (tmp_path / "pareto.png").write_bytes(b"of a study before")
    page, made = written(study(trials), tmp_path)
    assert made == pictures
    assert f"Not drawn: {reason}." in page


def test_settings_that_only_some_trials_have_and_choices_of_any_kind(tmp_path: Path):
    space = {
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "x": CategoricalDistribution([None, True]),
    }
    trials = [
        trial([0.1 * at], {"optimizer": "adam", "x": (None, True)[at % 2]}, space)
        if at % 3
        else trial([0.1 * at], {"optimizer": "sgd"}, {"optimizer": space["optimizer"]})
        for at in range(9)
    ]
    page, pictures = written(study([*trials, trial([math.inf], {}, {})]), tmp_path)
    assert pictures == PICTURES
    assert "Trial 8: val/accuracy" in page
    assert '<td class="number">None</td>' in page


def test_many_trials_are_capped_and_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.sweeping.page.ROWS", 250)
    page, pictures = written(study(drawn(320, by_rate)), tmp_path)
    assert pictures == PICTURES
    assert re.search("From 30[01] of the 320 complete trials", page)
    assert re.search("From 20[01] of the 320 complete trials", page)
    assert "The first 250; trials.csv has all." in page
    assert page.count("COMPLETE") == 251  # one counts them
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 321
