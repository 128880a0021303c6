"""`ratchet serve`: a real service on a real registry, asked over HTTP while champions change under it."""

import base64
import io
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Page

from pipeline.feedback_loop.store import Prediction, Store
from pipeline.models.bundle import Bundle
from tests.support import browser, digits, registered, runs, trackers
from tests.support.services import Service, serving, stop

STRONG = ["model.widths=[64]", "training.max_epochs=10", "optimizer.lr=0.01"]
PICTURES, LABELS = digits.published()["test"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "mlflow/files"


@pytest.fixture(scope="module")
def uri(files: Path, empty_database: Path) -> Iterator[str]:
    port = trackers.free_port()
    with trackers.server(files.parent, port, empty_database):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path, uri: str) -> Path:
    """With two versions, of which 1 is champion; in bundle-1/ and bundle-2/ lie their bundles."""
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("serving") / "project")
    for version, settings in ((1, STRONG), (2, ["model.widths=[32]"])):
        for verb in (["compose", *settings], ["train", "--locked"], ["evaluate", "--locked"], ["register", "--locked"]):
            registered.good(project, *verb, MLFLOW_TRACKING_URI=uri)
        shutil.copytree(project / "models/bundle", project / f"bundle-{version}")
    point(uri, 1)
    return project


@pytest.fixture(scope="module")
def shared(project: Path, uri: str) -> Iterator[Service]:
    with serving(project, "serving.watch_seconds=0.2", MLFLOW_TRACKING_URI=uri) as service:
        yield service


@pytest.fixture
def service(shared: Service, uri: str) -> Service:
    """With version 1."""
    point(uri, 1)
    runs.eventually(lambda: shared.health()["version"] == 1 and shared.health()["problem"] is None, pause=0.05)
    return shared


def point(uri: str, version: int) -> None:
    runs.client(uri).set_registered_model_alias("mnist", "champion", str(version))


def png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def test_the_answers_are_the_bundles_own(service: Service, project: Path):
    wanted = Bundle.load(project / "bundle-1").predict(PICTURES[:20])
    status, given = service.post("/predict/batch", {"records": [{"pixels": one.tolist()} for one in PICTURES[:20]]})
    assert (status, given["model"], given["version"]) == (200, "mnist", 1)
    for one, answer in zip(wanted, given["predictions"], strict=True):
        assert answer["label"] == one["label"]
        assert list(answer["probabilities"].values()) == pytest.approx(one["probabilities"], abs=1e-6)
    assert len({answer["prediction_id"] for answer in given["predictions"]}) == 20


def test_a_picture_may_come_as_pixels_as_a_file_in_base64_or_as_an_upload(service: Service):
    content = png(PICTURES[0])
    coded = base64.b64encode(content).decode()
    boundary = "frontier"
    form = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="digit.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + content + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
    answers = [
        service.predicted({"pixels": PICTURES[0].tolist()}),
        service.predicted({"image": coded}),
        service.predicted({"image": f"data:image/png;base64,{coded}"}),
        service.asked("/predict", form, {"Content-Type": f"multipart/form-data; boundary={boundary}"})[1],
    ]
    assert [one["probabilities"] for one in answers] == [answers[0]["probabilities"]] * 4


def test_feedback_is_kept_once_and_can_be_corrected(service: Service):
    name = service.predicted({"pixels": PICTURES[0].tolist()})["prediction_id"]
    told = [service.post("/feedback", {"prediction_id": name, "label": label})[1] for label in ("3", "3", 4)]
    assert [(one["label"], one["status"]) for one in told] == [("3", "stored"), ("3", "known"), ("4", "corrected")]
    assert {one["version"] for one in told} == {1}
    assert service.post("/feedback", {"prediction_id": "0" * 32, "label": "3"})[0] == 404
    status, refused = service.post("/feedback", {"prediction_id": name, "label": "eleven"})
    assert (status, refused["detail"][0]["field"]) == (422, "label")
    assert "0, 1, 2" in refused["detail"][0]["message"]


def test_a_label_may_be_one_that_only_the_version_that_predicted_knows(service: Service, project: Path):
    answer = json.dumps({"label": "ten", "probabilities": {"ten": 0.9, "eleven": 0.1}})
    before = Prediction("1" * 32, 0, "mnist", 7, "0" * 64, "image", png(PICTURES[0]), answer)
    store = Store(f"sqlite:///{project}/.ratchet/feedback.db")
    store.add([before])
    store.close()
    told = [service.post("/feedback", {"prediction_id": before.id, "label": label}) for label in ("eleven", "3", "12")]
    assert [status for status, _ in told] == [200, 200, 422]
    assert (told[0][1]["label"], told[0][1]["version"]) == ("eleven", 7)
    assert "'12' was given" in told[2][1]["detail"][0]["message"]


def test_champions_change_while_requests_run_and_none_fails(service: Service, project: Path, uri: str):
    bundles = {version: Bundle.load(project / f"bundle-{version}") for version in (1, 2)}
    wanted = {version: bundle.predict(PICTURES[:1])[0]["probabilities"] for version, bundle in bundles.items()}
    seen, odd, done = [], [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            status, answer = service.post("/predict", {"pixels": PICTURES[0].tolist()})
            # float32 rounds otherwise where other requests go through the network with it
            if status != 200 or list(answer["probabilities"].values()) != pytest.approx(
                wanted[answer["version"]], 1e-5
            ):
                odd.append((status, answer))
            seen.append(answer.get("version"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (2, 1, 2, 1):
        point(uri, version)
        runs.eventually(lambda version=version: service.health()["version"] == version, pause=0.05)
    done.set()
    for thread in threads:
        thread.join()
    assert odd == []
    assert {1, 2} == set(seen)


def test_a_champion_that_was_altered_leaves_the_old_one_serving(service: Service, project: Path, files: Path, uri: str):
    shutil.rmtree(project / ".ratchet/served/mnist" / Bundle.load(project / "bundle-2").digest, ignore_errors=True)
    for weights in files.glob("*/models/*/artifacts/artifacts/bundle/weights.safetensors"):
        if weights.read_bytes() == (project / "bundle-2/weights.safetensors").read_bytes():
            weights.write_bytes(weights.read_bytes()[:-4])
            break
    point(uri, 2)
    problem = runs.eventually(lambda: service.health()["problem"], pause=0.1)
    assert "version 2 is not what was registered" in problem
    assert service.predicted({"pixels": PICTURES[0].tolist()})["version"] == 1
    assert service.get("/health/ready")[0] == 200
    shutil.copyfile(project / "bundle-2/weights.safetensors", weights)
    runs.eventually(lambda: service.health()["version"] == 2 and service.health()["problem"] is None, pause=0.1)


def test_it_tells_prometheus_and_describes_itself(service: Service):
    service.predicted({"pixels": PICTURES[0].tolist()})
    status, text = service.get("/metrics")
    assert status == 200
    assert 'ratchet_predictions_total{version="1"}' in text
    assert 'ratchet_requests_total{path="/predict",status="200"}' in text
    document = service.get("/openapi.json")[1]
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        service.predicted(example["value"])
    about = service.get("/about")[1]
    assert (about["kind"], about["labels"]) == ("image", [str(digit) for digit in range(10)])
    assert "<html" in service.get("/")[1]


def test_a_kill_loses_no_label_and_a_tracker_that_is_away_stops_no_start(project: Path, uri: str, service: Service):
    """On a copy, with its own store."""
    copy = runs.copied(project, "killed")
    labelled = {}
    with serving(copy, "--workers", "2", MLFLOW_TRACKING_URI=uri) as other:
        children = psutil.Process(other.process.pid).children(recursive=True)
        for row in range(20):
            name = other.predicted({"pixels": PICTURES[row].tolist()})["prediction_id"]
            assert other.post("/feedback", {"prediction_id": name, "label": str(LABELS[row])})[0] == 200
            labelled[name] = str(LABELS[row])
        for process in (psutil.Process(other.process.pid), *children):
            process.kill()
    with serving(copy, MLFLOW_TRACKING_URI="http://127.0.0.1:9") as again:
        assert "127.0.0.1:9 can't be used" in again.health()["problem"]
        assert again.predicted({"pixels": PICTURES[0].tolist()})["version"] == 1
        for name, label in labelled.items():
            assert again.post("/feedback", {"prediction_id": name, "label": label})[1]["status"] == "known"
        children = psutil.Process(again.process.pid).children(recursive=True)
        assert stop(again) == 0
    assert psutil.wait_procs(children, timeout=10)[1] == [], "nothing of it is left"


def test_a_port_that_is_taken_is_refused(service: Service, project: Path):
    port = service.uri.rpartition(":")[2]
    done = runs.called(project, "serve", "--port", port)
    assert done.returncode == 1
    assert f"127.0.0.1:{port} can't be used: Address already in use" in done.stderr
    assert f"ratchet serve --port {int(port) + 1}" in done.stderr


def test_another_content_type_is_refused(service: Service):
    status, refused = service.asked("/predict", b"{}", {"Content-Type": "text/plain"})
    assert (status, "application/json" in refused["detail"][0]["message"]) == (415, True)


def test_without_a_champion_it_says_what_to_type_and_another_models_service_runs_on(
    service: Service, project: Path, uri: str
):
    arguments = ["--port", str(trackers.free_port()), "registry.model=other"]
    done = runs.called(project, "serve", *arguments, MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 1
    assert "other has no champion" in done.stderr
    assert "dvc repro && ratchet promote" in done.stderr
    pointers = {name: project / f".ratchet/served/{name}/champion.json" for name in ("mnist", "other")}
    told = {name: json.loads(file.read_text(encoding="utf-8"))["digest"] for name, file in pointers.items()}
    assert told == {"mnist": Bundle.load(project / "bundle-1").digest, "other": None}
    assert service.health()["problem"] is None


def test_a_person_draws_a_digit_sees_what_it_is_and_corrects_it(service: Service, project: Path):
    with browser.opened() as page:
        page.goto(service.uri)
        draw(page, "ellipse")
        browser.expect(page.locator("#label")).to_have_text("0")
        browser.expect(page.locator("#version")).to_contain_text("1")
        page.locator("#clear").click()
        draw(page, "line")
        browser.expect(page.locator("#label")).not_to_have_text("0")
        page.locator("#wrong").click()
        page.locator("[data-label='7']").click()
        browser.expect(page.locator("#status")).to_contain_text("7")
    newest = list(Store(f"sqlite:///{project}/.ratchet/feedback.db").labelled())[-1]
    assert (newest.label, newest.prediction.version) == ("7", 1)
    drawn = np.asarray(Image.open(io.BytesIO(newest.prediction.record)))
    assert drawn.shape == (28, 28)
    assert drawn[:, 12:16].max() > 200


def draw(page: Page, shape: str) -> None:
    """With the mouse, on the canvas."""
    box = page.locator("#draw").bounding_box()
    turn = np.linspace(0, 2 * np.pi, 40) if shape == "ellipse" else np.zeros(40)
    across = 0.5 + 0.18 * np.sin(turn)
    down = 0.5 - 0.3 * np.cos(turn) if shape == "ellipse" else np.linspace(0.2, 0.8, 40)
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in zip(across, down, strict=True)]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places:
        page.mouse.move(*place)
    page.mouse.up()
