"""A headless Chromium before MLflow's UI: what a person sees and clicks."""

import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

PATIENCE = 30_000  # milliseconds for a text to appear
SIZE = {"width": 1280, "height": 800}
# What MLflow's UI remembers of a person who has chosen "Model training" and closed the panel beside it
REMEMBERED = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
}


def program() -> str:
    """The system's Chromium; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    return found


@contextmanager
def opened() -> Iterator[Page]:
    """An empty page, of a browser that knows no host but this one."""
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []  # which Chromium refuses to root
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=arguments)
        try:
            page = browser.new_page(viewport=SIZE)
            page.set_default_timeout(PATIENCE)
            page.add_init_script(
                f"for (const [key, value] of Object.entries({json.dumps(REMEMBERED)}))"
                " if (window.origin !== 'null') localStorage.setItem(key, value)"
            )
            yield page
        finally:
            browser.close()


class Runs:
    """MLflow's list of an experiment's runs."""

    def __init__(self, page: Page, uri: str, experiment: str):
        self.page = page
        page.goto(f"{uri}/#/experiments/{experiment}/runs")

    def named(self, name: str) -> Locator:
        return self.page.locator(".ag-row").filter(has=self.page.get_by_role("link", name=name, exact=True))

    def expand(self, name: str) -> None:
        self.named(name).get_by_role("button").first.click()

    def compare(self, names: Sequence[str]) -> None:
        for name in names:
            self.named(name).locator(".ag-selection-checkbox input").check()
        self.page.get_by_role("button", name="Compare", exact=True).click()
        expect(self.page.get_by_text(f"Comparing {len(names)} Runs from 1 Experiment")).to_be_visible()


class Comparison:
    """MLflow's page that compares chosen runs."""

    def __init__(self, page: Page):
        self.page = page

    def section(self, name: str) -> Locator:
        """What stands beneath a heading that folds."""
        heading = self.page.locator("[role=button][aria-expanded]").filter(has_text=re.compile(f"^{name}$"))
        return heading.locator("xpath=following-sibling::*[1]")

    def choose(self, kind: str, name: str) -> None:
        """The one axis of its `kind`, Parameters or Metrics, in the parallel coordinates."""
        field = self.page.get_by_text(f"{kind}:", exact=True).locator("xpath=following-sibling::*[1]")
        for chosen in field.locator("[class$='selection-item-remove']").all()[::-1]:
            chosen.click()
        field.click()
        self.page.keyboard.type(name)  # the list shows a few at a time
        self.page.locator(f"[class*='select-item-option'][title='{name}']").click()
        self.page.keyboard.press("Escape")

    @property
    def chart(self) -> Locator:
        return self.page.locator(".pcp-plot")

    def row(self, table: str, name: str) -> list[str]:
        """What a row says of each run, from the left."""
        heading = self.page.get_by_role("rowheader", name=name, exact=True)
        return self.section(table).get_by_role("row").filter(has=heading).get_by_role("cell").all_inner_texts()

    def drawn(self) -> float:
        """The share of what is not white between the first two axes, where there is nothing but lines."""
        first, second = (axis.bounding_box()["x"] for axis in self.chart.locator(".axis-title").all()[:2])
        whole = self.chart.locator("canvas").first.bounding_box()
        box = {"x": first + 0.4 * (second - first), "width": 0.2 * (second - first)}
        picture = self.page.screenshot(clip={**box, "y": whole["y"] + 100, "height": whole["height"] - 200})
        return float((np.asarray(Image.open(io.BytesIO(picture)).convert("L")) < 240).mean())
