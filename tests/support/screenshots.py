"""Takes the README's pictures of a sweep into docs/images/: `python -m tests.support.screenshots PROJECT [STUDY]`.

PROJECT is a clone in which `ratchet sweep` has run, with its MLflow store in mlflow.db.
"""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from tests.conftest import REPOSITORY
from tests.support import browser, runs, trackers
from tests.support.browser import Comparison, Runs, expect

IMAGES = REPOSITORY / "docs/images"
HIDDEN, SHOWN = ("Dataset", "Source", "Models"), ("val/accuracy", "optimizer.lr", "model.widths", "sweep.state")


def main(project: Path, study: str | None = None) -> None:
    IMAGES.mkdir(exist_ok=True)
    port = trackers.free_port()
    uri = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory() as folder,
        trackers.server(Path(folder), port, store=runs.store(project)),
        browser.opened() as page,
    ):
        found = runs.shipped_runs(uri)
        parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags and "sweep.study" in run.data.tags]
        parent = next(run for run in parents if study in (None, run.data.tags["sweep.study"]))
        trials = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        complete = [run.info.run_name for run in trials if run.info.status == "FINISHED"]
        listed = Runs(page, uri, parent.info.experiment_id)
        listed.expand(parent.info.run_name)
        for name in (*HIDDEN, *SHOWN):
            switch_column(page, name)
        picture(page, "sweep-runs")
        listed.compare(complete)
        compared = Comparison(page)
        compared.choose("Metrics", "val/accuracy")
        expect(compared.chart.locator(".axis-title", has_text="val/accuracy")).to_be_visible()
        picture(page, "sweep-compare")
        report = project / ".ratchet/sweeps" / parent.data.tags["sweep.study"] / "report.html"
        page.goto(report.as_uri())
        page.evaluate("window.scrollTo(0, document.querySelectorAll('h2')[0].offsetTop - 16)")
        expect(page.locator("#history-0 .point").first).to_be_visible()
        picture(page, "sweep-report")


def switch_column(page: Page, name: str) -> None:
    page.get_by_test_id("column-selection-dropdown").filter(has_text="Columns").click()
    page.get_by_placeholder("Search columns").fill(name)
    node = page.locator("[class*='tree-treenode ']").filter(has_text=re.compile(rf"^\s*{re.escape(name)}\s*$"))
    node.locator("[class*='tree-checkbox']").first.click()
    page.keyboard.press("Escape")


def picture(page: Page, name: str) -> None:
    page.mouse.move(1, 1)  # away from what would light up
    page.wait_for_timeout(1500)  # charts come in with a movement
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"{IMAGES / name}.png: {(IMAGES / f'{name}.png').stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
