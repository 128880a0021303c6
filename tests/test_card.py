"""The model card: what register says of a version, in its description and in card.html among its files."""

import base64
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
import yaml

from pipeline.registry import card
from pipeline.registry.card_pages import markdown
from tests.support import browser, runs, trackers

EVIL = 'x" onerror="alert(1)"><script>alert(2)</script>|*b*'


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, prepared_once: Path) -> Path:
    """A project after a training and its evaluation, with an MLflow database of its own."""
    project = shutil.copytree(prepared_once, tmp_path_factory.mktemp("scored") / "project")
    for verb in (["train", "model.widths=[16]"], ["evaluate"]):
        assert runs.called(project, *verb).returncode == 0
    return project


def registered(project: Path, *settings: str) -> str:
    """The description of the version that register makes."""
    done = runs.called(project, "register", *settings)
    assert done.returncode == 0, done.stderr
    about = json.loads((project / "reports/version.json").read_text())
    return runs.client(runs.store(project)).get_model_version(about["name"], str(about["version"])).description


class Page(HTMLParser):
    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attributes}
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def part(description: str, title: str) -> str:
    return description.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_card_says_what_made_the_version_and_how_certain_its_score_is(scored: Path):
    said = registered(scored, "registry.model=first")
    spec = json.loads((scored / "data/processed/spec.json").read_text())
    predictions = pl.read_parquet(scored / "reports/predictions.parquet")
    right, rows = (predictions["label"] == predictions["predicted"]).mean(), predictions.height
    line = next(line for line in part(said, "Metrics").splitlines() if line.startswith("| accuracy"))
    low, high = map(float, line.split("|")[3].split(" to "))
    half = 1.96 * (right * (1 - right) / rows) ** 0.5
    assert (low, high) == pytest.approx((right - half, right + half), abs=0.15 * half)
    assert spec["fingerprint"] in part(said, "Data")
    assert f"| test | {rows} | 0 | {spec['splits']['test']['sha256']} |" in part(said, "Data")
    params = yaml.safe_load((scored / "params.yaml").read_text())
    for name, about in params["data"]["source"]["files"].items():
        assert f"| {name} | {about['sha256']} |" in part(said, "Raw data")
    assert "There was no champion" in said
    assert "ratchet reproduce models:/first/N" in said
    assert "Not stated" in part(said, "Intended use")
    recalls = [float(line.split("|")[2]) for line in part(said, "Classes, the weakest first").splitlines()[3:13]]
    assert recalls == sorted(recalls)


def test_the_card_warns_of_a_better_baseline_and_of_unknown_tokens(scored: Path):
    spec = json.loads((scored / "data/processed/spec.json").read_text())
    metrics = json.loads((scored / "reports/metrics.json").read_text())
    assert card.warnings(spec, metrics) == []
    spec["statistics"] |= {
        "unknown_tokens": 0.638,
        "scripts": {"texts": {"Chinese": 1.0}, "vocabulary": {"Latin": 0.9}},
    }
    text = markdown("mine", card.warnings(spec, metrics | {"baseline/majority/accuracy": 0.999}))
    assert "A baseline is better than this net" in part(text, "Warnings")
    assert "63.8% of the tokens of train are unknown" in part(text, "Warnings")


def test_the_card_names_the_settings_that_differ_from_the_champions(scored: Path, tmp_path: Path):
    project = shutil.copytree(scored, tmp_path / "project")
    database = runs.store(project)
    registered(project)
    runs.client(database).set_registered_model_alias("mnist", "champion", "1")
    for verb in (["train", "model.widths=[24]", "optimizer.lr=0.002"], ["evaluate"]):
        assert runs.called(project, *verb).returncode == 0
    said = registered(project, "registry.intended_use=Digits on cheques.")
    lines = part(said, "Settings that differ from the champion's").splitlines()[3:]
    assert [line for line in lines if line] == [
        "| model.widths | \\[16\\] | \\[24\\] |",
        "| optimizer.lr | 0.001 | 0.002 |",
    ]
    assert part(said, "Intended use").strip() == "Digits on cheques."


def test_a_page_without_scripts_or_other_files_holds_every_figure(scored: Path):
    registered(scored, "registry.model=page")
    page = Page(scored / "reports/card.html")
    pictures = [base64.b64decode(one.removeprefix("data:image/png;base64,")) for one in page.sources]
    assert sorted(pictures) == sorted(file.read_bytes() for file in (scored / "reports/figures").glob("*.png"))
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_thousands_of_classes_and_a_hostile_name_fit_and_stay_text(scored: Path, tmp_path: Path):
    project = shutil.copytree(scored, tmp_path / "project")
    file = project / "reports/metrics.json"
    many = {f"test/{name}/{EVIL} {n}": n / 5000 for name in ("recall", "precision", "f1") for n in range(5000)}
    file.write_text(json.dumps(json.loads(file.read_text()) | many))
    slices = [f'"{EVIL.replace(chr(34), chr(34) * 2)}",{"long " * 50}{n},30,false,0.5,0.5' for n in range(300)]
    (project / "reports/slices.csv").write_text("\n".join(["column,value,rows,few,accuracy,confidence", *slices]))
    use = "|<b>*".ljust(1000, "~")
    said = registered(project, "registry.model=many", f"registry.intended_use='{use}'", f"registry.limits='{use}'")
    assert len(said) <= 5000
    assert "ratchet reproduce" in said, "cut off at its end"
    assert "more" in part(said, "Classes, the weakest first")
    assert "\\|" in said
    page = Page(project / "reports/card.html")
    assert not {"script", "b"} & set(page.tags)
    assert page.names <= {"lang", "charset", "name", "content", "alt", "src", "class"}
    assert any(EVIL in text for text in page.texts)


def test_mlflow_shows_the_description_and_the_page(scored: Path, tmp_path: Path):
    browser.program()  # else skipped
    registered(scored, "registry.model=shown")
    port = trackers.free_port()
    asked = runs.client(runs.store(scored))
    version = asked.get_model_version("shown", "1")
    experiment, model = asked.get_run(version.run_id).info.experiment_id, version.source.removeprefix("models:/")
    with trackers.server(tmp_path / "mlflow", port, store=runs.store(scored)), browser.opened() as page:
        page.goto(f"http://127.0.0.1:{port}/#/models/shown/versions/1")
        browser.expect(page.get_by_role("heading", name="Classes, the weakest first")).to_be_visible()
        browser.expect(page.get_by_role("columnheader", name="95% interval")).to_be_visible()
        page.goto(f"http://127.0.0.1:{port}/#/experiments/{experiment}/models/{model}/artifacts")
        page.get_by_text("card.html").first.click()
        figures = page.frame_locator("iframe").locator("img")
        browser.expect(figures.first).to_be_visible()
        assert figures.count() == len(list((scored / "reports/figures").glob("*.png")))
        page.set_viewport_size({"width": 390, "height": 844})  # of a phone
        page.goto((scored / "reports/card.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
