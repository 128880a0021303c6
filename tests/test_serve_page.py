"""The pages of `ratchet serve` in headless Chromium: /docs sends what it shows, and / can be used with every kind."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route

from tests.conftest import clone
from tests.support import browser, untrained
from tests.support.browser import expect
from tests.support.services import Service
from tests.test_model_api import ODD

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
    predict = operation(page, "predict")
    predict.locator(".opblock-section-request-body").get_by_role("tab", name="Schema").click()
    expect(predict).to_contain_text(re.compile(r"array<array<integer>>.*28 items.*28 items.*integer.*\[0, 255\]"))
    predict.locator(".opblock-section-request-body").get_by_role("tab", name="Edit Value").click()
    assert page.locator(".opblock").count() == len(service.get("/openapi.json")[1]["paths"])
    assert sent(predict, 200)["label"] in list("0123456789")
    assert f"'{service.uri}/predict'" in predict.locator(".curl-command").inner_text()
    feedback = operation(page, "feedback")
    for _ in range(2):  # the first is shown when /feedback is opened, the next where it is open
        name = sent(predict, 200)["prediction_id"]
        expect(feedback.locator("textarea")).to_have_value(re.compile(name))
        assert sent(feedback, 200)["prediction_id"] == name

    content = io.BytesIO()
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(content, "PNG")
    file = {"name": "a 'digit'.png", "mimeType": "image/png", "buffer": content.getvalue()}
    predict.get_by_label("Request content type").select_option("multipart/form-data")
    predict.locator("[type=file]").set_input_files(file)
    again = service.predicted({"pixels": np.zeros((28, 28), int).tolist()})["probabilities"]
    assert sent(predict, 200)["probabilities"] == pytest.approx(again)
    assert r"-F 'image=@a '\''digit'\''.png" in predict.locator(".curl-command").inner_text()


def test_the_docs_show_a_refusal(page: Page, served):
    page.goto(f"{served[0].uri}/docs#predict_batch")
    expect(page.locator("#operations-default-predict_batch textarea")).to_be_visible()
    batch = operation(page, "predict_batch")
    batch.locator("textarea").fill('{"records": [{"image": 7}]}')
    assert sent(batch, 422)["detail"][0]["field"] == "records.0.image"
    batch.locator("textarea").fill("{")
    assert "not JSON" in sent(batch, 422)["detail"][0]["message"]


def test_the_docs_ask_for_the_token_and_keep_it_out_of_the_command(page: Page, served):
    service, _ = served
    wanted = "Bearer good"
    page.route(
        "**/openapi.json",
        lambda route: (
            route.continue_()
            if route.request.headers.get("authorization") == wanted
            else route.fulfill(status=401, json={"detail": [{"field": "", "message": "the token is missing"}]})
        ),
    )
    page.goto(f"{service.uri}/docs")
    page.get_by_label("Token of this service").fill("good")
    page.get_by_label("Token of this service").press("Enter")
    predict = operation(page, "predict")
    with page.expect_request("**/predict") as asked:
        sent(predict, 200)
    assert asked.value.headers["authorization"] == wanted
    assert "good" not in predict.locator(".curl-command").inner_text()
    page.unroute("**/openapi.json")
    page.evaluate("sessionStorage.clear()")


def test_a_kind_without_an_input_of_its_own_is_asked_as_json(page: Page, project: Path, served):
    service, digests = served
    untrained.swap(service, project, digests["table"])
    known = service.get("/about")[1] | {"input": "sound"}
    page.route("**/about", lambda route: route.fulfill(json=known))
    page.goto(service.uri)
    area = page.get_by_label("Record, as JSON")
    assert json.loads(area.input_value()) == known["examples"][0]
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#right")).to_be_visible()
    assert json.loads(area.input_value()) == known["examples"][1]
    area.fill("{")
    page.locator("#form").get_by_role("button", name="Predict").click()
    expect(page.locator("#fields .error")).to_contain_text("This is no JSON")
    page.unroute("**/about")


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
    assert "prediction_id" in sent(operation(page, "predict"), 200)


def test_on_a_small_screen_the_answer_comes_into_sight_and_the_drawing_stays(page: Page, project: Path, served) -> None:
    service, digests = served
    untrained.swap(service, project, digests["image"])
    page.set_viewport_size({"width": 375, "height": 667})
    page.goto(service.uri)
    page.locator("#draw").scroll_into_view_if_needed()
    stroke(page, lift=False)
    expect(page.locator("#right")).to_be_attached()
    place = page.evaluate("scrollY")
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") == place, "nothing moves beneath the pen"
    page.mouse.up()
    expect(page.locator("#label")).to_be_in_viewport(ratio=1)
    expect(page.locator("#label")).not_to_have_text("Nothing yet")
    expect(page.locator("#draw")).to_be_in_viewport(ratio=0.7)
    page.set_viewport_size(browser.SIZE)


def stroke(page: Page, lift: bool = True) -> None:
    box = page.locator("#draw").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    page.mouse.down()
    for step in range(10):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * (0.25 + step / 20))
    if lift:
        page.mouse.up()


def test_a_slow_answer_is_announced(page: Page, project: Path, served) -> None:
    service, digests = served
    untrained.swap(service, project, digests["table"])
    page.goto(service.uri)

    def later(route: Route) -> None:
        page.wait_for_timeout(1500)
        route.continue_()

    page.route("**/predict", later)
    page.locator("#predict").click()
    expect(page.locator("#status")).to_have_text("Predicting…")
    expect(page.locator("#right")).to_be_visible()
    expect(page.locator("#status")).to_have_text("")
    page.unroute("**/predict")


@pytest.mark.parametrize("kind", KINDS)
def test_who_corrects_by_keyboard_keeps_their_place(page: Page, project: Path, served, kind: str) -> None:
    service, digests = served
    untrained.swap(service, project, digests[kind])
    page.goto(service.uri)
    page.locator("#examples button").first.press("Enter")
    expect(page.locator("#wrong")).to_be_visible()
    page.locator("#wrong").press("Enter")
    page.locator("#result [data-label]:visible").first.press("Enter")
    expect(page.locator("#status")).to_contain_text("is right")
    expect(page.locator("#wrong")).to_be_focused()


def test_a_token_is_asked_for_calmly_and_a_wrong_one_is_said(page: Page, served) -> None:
    """As a service with --token-file answers; tests/test_serving_edge.py asks a real one."""
    service, _ = served
    refused = json.dumps({"detail": [{"field": "", "message": "the token is wrong"}]})

    def ask(route: Route) -> None:
        good = route.request.headers.get("authorization") == "Bearer good"
        route.continue_() if good else route.fulfill(status=401, body=refused, content_type="application/json")

    page.route("**/about", ask)
    page.goto(service.uri)
    expect(page.locator("#token")).to_be_focused()
    expect(page.locator("#access")).to_contain_text("--token-file")
    expect(page.locator("#status")).to_be_empty()
    page.locator("#token").fill("bad")
    page.locator("#token").press("Enter")
    expect(page.locator("#status.refused")).to_have_text("the token is wrong")
    page.locator("#token").fill("good")
    page.locator("#token").press("Enter")
    expect(page.locator("main")).to_be_visible()
    expect(page.locator("#status")).to_be_empty()
    page.unroute("**/about")
    page.evaluate("sessionStorage.clear()")


def operation(page: Page, name: str) -> Locator:
    """One of the docs', opened."""
    found = page.locator(f"#operations-default-{name}")
    expect(found).to_be_visible()
    if found.locator(".opblock-body").count() == 0:
        found.locator(".opblock-summary-control").press("Enter")
    return found


def sent(operation: Locator, status: int) -> dict:
    """What the docs show after a press of Execute."""
    with operation.page.expect_response(lambda response: response.request.method == "POST") as waited:
        operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table td.response-col_status").last).to_contain_text(str(status))
    answer = waited.value.json()
    expect(operation.locator(".live-responses-table .microlight").first).to_contain_text(next(iter(answer)))
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
