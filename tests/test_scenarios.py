"""Every scenario end to end at smoke size: from raw files to a champion that predicts, on tiny real inputs."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import mlflow
import polars as pl
import pytest
import yaml

from pipeline.config import lock
from pipeline.evaluation import paired
from pipeline.kinds import kind as kinds
from pipeline.models.bundle import Bundle
from pipeline.project.code import STAGES as STAGES_WITH_CODE
from pipeline.project.code import sources
from pipeline.store import held_out
from pipeline.tasks import task as tasks
from tests.support import smoke

STAGES = ["compose", "download", "feedback --bring", "preprocess", "train", "evaluate", "register", "promote"]
SCENARIOS = sorted(file.stem for file in (Path(__file__).parent.parent / "conf/scenario").glob("*.yaml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_from_raw_files_to_a_champion_that_predicts(
    project: Path, run: Callable[..., str], scenario: str
) -> None:
    file = smoke.lay(scenario, project, run)
    for stage in STAGES:
        with executed() as modules:
            run(*stage.split())
        stage = stage.partition(" ")[0]
        if stage in STAGES_WITH_CODE:
            settings = lock.load()
            assert modules <= set(sources().closure(stage, settings.components)), stage
            assert f"pipeline.{stage}" in modules

    bundle = Bundle.load(project / "models/bundle")
    metrics = json.loads((project / "reports/metrics.json").read_text())
    task, known = bundle.encoder["task"], tasks.of(bundle.encoder)
    score = {"classification": "accuracy", "regression": "r2", "ranking": "hr_10"}[task]
    baselines = {key.split("/")[1] for key in metrics if key.startswith("baseline/")}
    assert smoke.BASELINES[bundle.encoder["kind"]] <= baselines
    assert metrics[f"test/{score}"] > smoke.LEAST[scenario]
    assert {key.partition("/")[2] for key in metrics if key.startswith("test/")} == set(
        known.metrics
    )  # none of a class
    assert baselines <= set(known.baselines)
    by_class = {key.split("/")[1] for key in json.loads((project / "reports/classes.json").read_text())}
    assert by_class == set(known.by_class)
    assert len(list((project / "reports/figures").glob("*.png"))) >= 3
    assert drawn(project) >= {"curves.csv"}
    assert (project / "reports/mistakes.csv").is_file()

    # the gate, which asks for the user's own records, finds what evaluate found in the encoded ones
    by_row = {"classification": "accuracy", "regression": "mae", "ranking": "hr_10"}[task]
    gates = paired.by_row(bundle, held_out.held_out(project / "data/processed"), by_row).mean()
    assert gates == pytest.approx(metrics[f"test/{by_row}"], rel=1e-6)

    # the registered model takes the user's own records, and answers as the bundle does
    spec = json.loads((project / "data/processed/spec.json").read_text())
    name = yaml.safe_load((project / "params.lock.yaml").read_text())["registry"]["model"]
    given = kinds.of(bundle.encoder).example(spec["examples"])
    served = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(given)
    assert served.to_dict("records") == bundle.predict(given)

    run("predict", str(file))
    predictions = pl.read_csv(file.with_name(f"{file.name}.predictions.csv"))
    assert predictions.height == smoke.rows(file)


@contextmanager
def executed() -> Iterator[set[str]]:
    """The modules of which a function was called, in any thread."""
    files, called = {str(file): name for name, file in sources().files.items()}, set()

    def note(frame: FrameType, event: str, _: object) -> None:
        called.add(frame.f_code.co_filename)

    modules: set[str] = set()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield modules
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        modules |= {files[file] for file in called if file in files}


def drawn(project: Path) -> set[str]:
    """The tables that `dvc plots` finds rows in; it complains where one, or a column, is missing."""
    found = set()
    for plot in yaml.safe_load((project / "dvc.yaml").read_text())["plots"]:
        ((_, axes),) = plot.items() if isinstance(plot, dict) else [(plot, {"x": {}, "y": {}})]
        for file, columns in [*axes["y"].items(), *(axes["x"].items() if isinstance(axes["x"], dict) else [])]:
            table = pl.read_csv(project / file)
            assert set([columns] if isinstance(columns, str) else columns) <= set(table.columns)
            found |= {Path(file).name} if table.height else set()
    return found
