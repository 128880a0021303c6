"""A sweep as a person finds it: headless Chromium, MLflow's own UI, a real server, real trials."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests import browser, runs, trackers
from tests.browser import Comparison, Runs, expect
from tests.conftest import clone, lean

SWEEP = ["optimizer.lr=choice(0.001,0.01,1e18)", "model.widths=choice([8],[16,8])", "training.max_epochs=2"]
TRIALS, COMPLETE = 6, 4  # a rate of 1e18 ends in a loss that is not finite


@dataclass
class Swept:
    """A sweep in an MLflow server: `trials` are its runs there, by name."""

    uri: str
    experiment: str
    parent: str
    trials: dict


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, project_files: list[str], empty_database: Path) -> Iterator[Swept]:
    browser.program()  # else skipped before anything is trained
    project = clone(tmp_path_factory.mktemp("browser") / "project", project_files)
    shutil.copyfile(empty_database, project / "mlflow.db")
    for words in (["download"], ["preprocess"], ["sweep", *SWEEP, "tracking.wait_seconds=60"]):
        command = [sys.executable, "-m", "pipeline", *words]
        done = subprocess.run(command, cwd=project, env=lean(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr + done.stdout
    port = trackers.free_port()
    with trackers.server(project / "server", port, store=runs.store(project)):
        uri = f"http://127.0.0.1:{port}"
        found = runs.shipped_runs(uri)
        (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
        trials = {run.info.run_name: run for run in found if run is not parent}
        assert len(trials) == TRIALS
        yield Swept(uri, parent.info.experiment_id, parent, trials)


@pytest.fixture
def page() -> Iterator[Page]:
    """Whatever a page asks of another host fails the test."""
    elsewhere = []
    with browser.opened() as opened:
        opened.on("request", lambda request: elsewhere.append(request.url))
        yield opened
    assert [url for url in elsewhere if not url.startswith(("http://127.0.0.1:", "blob:", "data:"))] == []


def test_the_trials_are_listed_beneath_their_sweep(swept: Swept, page: Page):
    listed = Runs(page, swept.uri, swept.experiment)
    expect(listed.named(swept.parent.info.run_name)).to_be_visible()
    for name in swept.trials:
        expect(listed.named(name)).to_have_count(0)
    listed.expand(swept.parent.info.run_name)
    for name in swept.trials:
        expect(listed.named(name)).to_be_visible()
    assert len(page.locator("[col-id='attributes.`Run Name`'] a").all()) == 1 + TRIALS


def test_chosen_trials_are_compared(swept: Swept, page: Page):
    complete = {name: run for name, run in swept.trials.items() if run.info.status == "FINISHED"}
    assert len(complete) == COMPLETE
    listed = Runs(page, swept.uri, swept.experiment)
    listed.expand(swept.parent.info.run_name)
    listed.compare(list(complete))

    compared = Comparison(page)
    names = compared.row("Run details", "Run Name:")
    assert sorted(names) == sorted(complete)
    assert compared.row("Parameters", "optimizer.lr") == [complete[name].data.params["optimizer.lr"] for name in names]
    widths = [json.loads(text) for text in compared.row("Parameters", "model.widths")]
    assert widths == [json.loads(complete[name].data.params["model.widths"]) for name in names]
    expect(compared.section("Metrics")).to_contain_text("val/accuracy")
    for run in complete.values():
        expect(compared.section("Metrics")).to_contain_text(f"{round(run.data.metrics['val/accuracy'], 3)}")

    compared.choose("Metrics", "val/accuracy")
    for name in ("model.widths", "optimizer.lr", "val/accuracy"):
        expect(compared.chart.locator(".axis-title", has_text=name)).to_be_visible()
    assert compared.drawn() > 0.002, "axes without lines"


def test_the_report_opens_beside_the_sweep(swept: Swept, page: Page):
    run = f"{swept.uri}/#/experiments/{swept.experiment}/runs/{swept.parent.info.run_id}"
    page.goto(f"{run}/artifacts/sweep/report.html")
    report = page.frame_locator("iframe")
    expect(report.get_by_text(f"{TRIALS}: {COMPLETE} COMPLETE, {TRIALS - COMPLETE} FAIL")).to_be_visible()
    expect(report.locator("#history-0 .point")).to_have_count(COMPLETE)
    expect(report.locator("#parallel-0 .scatterlayer path.js-line")).to_have_count(COMPLETE)
    expect(report.locator("#slices-0 .xtitle, #slices-0 .x2title")).to_have_count(2)
    page.get_by_role("listitem").filter(has_text="parallel.png").last.click()
    expect(page.get_by_alt_text("sweep/parallel.png")).to_be_visible()
