"""The pages of `ratchet serve` in headless Chromium: /docs sends what it shows, and / can be used with every kind."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page

from tests import browser, untrained
from tests.browser import expect
from tests.conftest import clone
from tests.services import Service
from tests.test_serving_forms import ODD

KINDS = ["image", "table", "behaviour"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, project_files: list[str]) -> Path:
    return clone(tmp_path_factory.mktemp("pages") / "project", project_files)


@pytest.fixture(scope="module")
def served(project: Path) -> Iterator[tuple[Service, dict[str, str]]]:
    browser.program()  # else skipped
    with untrained.served(project, [*KINDS, "odd"]) as served:
        yield served


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser.opened() as tab:
        yield tab


@pytest.fixture
def page(tab: Page, served: tuple[Service, dict[str, str]]) -> Iterator[Page]:
    """Whatever it asks of another host, and every fault of a script, fails the test."""
    asked, faults = [], []
    listeners = {
        "request": lambda request: asked.append(request.url),
        "pageerror": lambda error: faults.append(str(error)),
        "console": lambda line: line.type in ("error", "warning") and faults.append(line.text),
    }
    for name, listen in listeners.items():
        tab.on(name, listen)
    yield tab
    for name, listen in listeners.items():
        tab.remove_listener(name, listen)
    assert [url for url in asked if not url.startswith((served[0].uri, "data:"))] == []
    # Chromium writes each refusal of a service into the console as well
    assert [text for text in faults if not text.startswith("Failed to load resource")] == []


def test_the_docs_send_an_example_a_file_and_the_label_of_the_answer(page: Page, served):
    service, _ = served
    page.goto(f"{service.uri}/docs")
    predict = page.locator("#predict")
    expect(predict).to_contain_text("array of 28 × 28, each: integer, 0 to 255")
    assert page.locator(".operation").count() == len(service.get("/openapi.json")[1]["paths"])
    assert sent(predict, "200 OK")["label"] in list("0123456789")
    assert f"curl '{service.uri}/predict'" in predict.locator(".curl").inner_text()
    name = sent(predict, "200 OK")["prediction_id"]
    page.locator("#feedback > summary").press("Enter")
    assert sent(page.locator("#feedback"), "200 OK")["prediction_id"] == name

    content = io.BytesIO()
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(content, "PNG")
    file = {"name": "a 'digit'.png", "mimeType": "image/png", "buffer": content.getvalue()}
    predict.locator("[type=file]").set_input_files(file)
    assert r"--form 'image=@a '\''digit'\''.png'" in predict.locator(".curl").inner_text()
    again = service.predicted({"pixels": np.zeros((28, 28), int).tolist()})["probabilities"]
    assert sent(predict, "200 OK")["probabilities"] == pytest.approx(again)


def test_the_docs_show_a_refusal(page: Page, served):
    page.goto(f"{served[0].uri}/docs#predict_batch")
    batch = page.locator("#predict_batch")
    batch.locator("textarea").fill('{"records": [{"image": 7}]}')
    assert sent(batch, "422")["detail"][0]["field"] == "records.0.image"
    expect(batch.locator(".outcome")).to_have_class("outcome refused")
    batch.locator("textarea").fill("{")
    assert "not JSON" in sent(batch, "422")["detail"][0]["message"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_answered_on_the_page_and_judged(page: Page, project: Path, served, kind: str):
    service, digests = served
    untrained.swap(service, project, digests[kind])
    page.goto(service.uri)
    page.locator("#examples button").first.click()
    expect(page.locator("#right")).to_be_visible()
    assert page.locator("#label").inner_text() != "Nothing yet"
    page.locator("#right").click()
    expect(page.locator("#status")).to_contain_text("is right. Thank you.")
    page.get_by_role("link", name="API").click()
    assert "prediction_id" in sent(page.locator("#predict"), "200 OK")


def sent(operation: Locator, status: str) -> dict:
    """What the docs show after a press of Send."""
    with operation.page.expect_response(lambda response: response.request.method == "POST") as waited:
        operation.get_by_role("button", name="Send").click()
    expect(operation.locator(".outcome")).to_contain_text(status)
    answer = waited.value.json()
    expect(operation.locator(".answer")).to_contain_text(next(iter(answer)))
    return answer


def test_columns_of_any_name_have_their_own_errors_and_are_empty_when_cleared(page: Page, project: Path, served):
    service, digests = served
    untrained.swap(service, project, digests["odd"])
    page.goto(service.uri)
    page.locator("#examples button").last.click()
    expect(page.locator("#right")).to_be_visible()
    filled = [page.get_by_label(name, exact=True).input_value() for name in ODD]
    assert "" not in filled
    field = page.get_by_label("a.b", exact=True)
    field.fill("soon")
    page.locator("#predict").click()
    expect(page.locator(".error:not(:empty)")).to_have_count(1)
    assert field.get_attribute("aria-invalid") == "true"
    page.locator("#clear").click()
    assert [page.get_by_label(name, exact=True).input_value() for name in ODD] == ["", "", "", ""]
