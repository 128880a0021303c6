"""A sweep as a person finds it: headless Chromium, MLflow's own UI, a real server, real trials."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.support import browser, runs, trackers
from tests.support.browser import Comparison, Runs, expect


@dataclass
class Swept:
    """A sweep in an MLflow server: `trials` are its runs there, by name."""

    uri: str
    experiment: str
    parent: str
    trials: dict

    @property
    def complete(self) -> dict:
        return {name: run for name, run in self.trials.items() if run.info.status == "FINISHED"}


@pytest.fixture(scope="module")
def served(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    browser.program()  # else skipped
    port = trackers.free_port()
    with trackers.server(tmp_path_factory.mktemp("server") / "mlflow", port, store=runs.store(swept)):
        uri = f"http://127.0.0.1:{port}"
        found = runs.shipped_runs(uri)
        (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
        trials = {run.info.run_name: run for run in found if run is not parent}
        yield Swept(uri, parent.info.experiment_id, parent, trials)


@pytest.fixture
def page() -> Iterator[Page]:
    """Whatever a page asks of another host fails the test."""
    elsewhere = []
    with browser.opened() as opened:
        opened.on("request", lambda request: elsewhere.append(request.url))
        yield opened
    assert [url for url in elsewhere if not url.startswith(("http://127.0.0.1:", "blob:", "data:"))] == []


def test_the_trials_are_listed_beneath_their_sweep(served: Swept, page: Page):
    listed = Runs(page, served.uri, served.experiment)
    expect(listed.named(served.parent.info.run_name)).to_be_visible()
    for name in served.trials:
        expect(listed.named(name)).to_have_count(0)
    listed.expand(served.parent.info.run_name)
    for name in served.trials:
        expect(listed.named(name)).to_be_visible()
    assert len(page.locator("[col-id='attributes.`Run Name`'] a").all()) == 1 + len(served.trials)


def test_chosen_trials_are_compared(served: Swept, page: Page):
    complete = dict(list(served.complete.items())[:4])  # the page has room for these
    listed = Runs(page, served.uri, served.experiment)
    listed.expand(served.parent.info.run_name)
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


def test_the_report_opens_beside_the_sweep(served: Swept, page: Page):
    run = f"{served.uri}/#/experiments/{served.experiment}/runs/{served.parent.info.run_id}"
    page.goto(f"{run}/artifacts/sweep/report.html")
    report = page.frame_locator("iframe")
    expect(report.get_by_text(f"{len(served.trials)}: {len(served.complete)} COMPLETE")).to_be_visible()
    expect(report.locator("#history-0 .point")).to_have_count(len(served.complete))
    expect(report.locator("#parallel-0 .scatterlayer path.js-line")).to_have_count(len(served.complete))
    expect(report.locator("#slices-0 .xtitle, #slices-0 .x2title")).to_have_count(2)
    page.get_by_role("listitem").filter(has_text="parallel.png").last.click()
    expect(page.get_by_alt_text("sweep/parallel.png")).to_be_visible()
