"""Smoke sizes: tiny raw files of every scenario, and the params.yaml that names them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from PIL import Image

from pipeline.config.writing import Dumper
from tests.conftest import use
from tests.support import digits, texts

BASELINES = {
    "image": {"majority"},
    "text": {"majority", "tf_idf"},
    "behaviour": {"popularity", "ease"},
    "table": {"majority", "boosting"},
}
# What each must reach: more than guessing gives
LEAST = {
    "mnist_mlp": 0.5,
    "mnist_cnn": 0.5,
    "mnist_cnn_small": 0.5,
    "reviews_bert": 0.6,
    "movielens_dnn": 0.5,
    "table_dnn": 0.9,
    "images_cnn": 0.5,
    "text_bert": 0.6,
}


def lay(scenario: str, project: Path, run: Callable[..., str]) -> Path:
    """Raw files outside the project and the params.yaml of `scenario`; returns a file for `ratchet predict`."""
    folder = project.parent / "mine"
    folder.mkdir()
    return LAYERS.get(scenario, lay_mnist)(scenario, project, folder, run)


def params(project: Path, scenario: str, **settings: Any) -> None:
    quiet = {"tracking": {"wait_seconds": 0}, "gate": {"minimum": {"test/count": 1}}}
    (project / "params.yaml").write_text(yaml.safe_dump({"scenario": scenario, **quiet, **settings}))


def more(project: Path, **settings: Any) -> None:
    """Adds to what `ratchet init` wrote."""
    written = yaml.safe_load((project / "params.yaml").read_text())
    whole = written | settings | {"tracking": {"wait_seconds": 0}}
    (project / "params.yaml").write_text(yaml.dump(whole, Dumper=Dumper))  # the text 1e-3 stays a text


def mirrored(folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {"files": digits.sums(files), "mirrors": [{"url": f"file:{folder}/{{file}}", "unpack": "none"}]}


def lay_mnist(scenario: str, project: Path, folder: Path, run: Callable[..., str]) -> Path:
    use(project, digits.idx_files())
    written = yaml.safe_load((project / "params.yaml").read_text())
    small = {"mnist_mlp": {"widths": [32]}, "mnist_cnn": {"layers": [4, "pool", 8, "pool", 8], "widths": [16]}}
    model = small.get(scenario, {"layers": [4, "pool"], "widths": [16]})
    training = {"max_epochs": 6, "batch_size": 32}
    changed = {"scenario": scenario, "model": model, "training": training, "optimizer": {"lr": 0.01}}
    (project / "params.yaml").write_text(yaml.safe_dump(written | changed))
    return pictures(folder / "pictures", 4)


def pictures(folder: Path, of_each: int) -> Path:
    """Class folders of PNGs of digits."""
    images, labels = digits.published()["train"]
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:of_each]):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            (folder / str(label) / f"{number}.png").write_bytes(file.getvalue())
    return folder


def lay_images(scenario: str, project: Path, folder: Path, run: Callable[..., str]) -> Path:
    file = pictures(folder / "pictures", 40)
    run("init", "--data", str(file))
    more(project, model={"layers": [4, "pool", 8, "pool"], "widths": [16]}, optimizer={"lr": 0.01})
    return file


def lay_reviews(scenario: str, project: Path, folder: Path, run: Callable[..., str]) -> Path:
    texts.lay_encoder(folder / "encoder")
    source = mirrored(folder, {texts.REVIEWS: texts.reviews()})
    params(project, scenario, data={"source": source, "prepare": {"max_length": 32}}, **tiny_bert(folder / "encoder"))
    return texts_file(folder)


def tiny_bert(encoder: Path) -> dict[str, Any]:
    return {
        "pretrained": {"name": "hub", "path": str(encoder)},
        "optimizer": {"lr": 0.01},
        "training": {"max_epochs": 3, "batch_size": 16, "bucket": 2, "precision": "32"},
    }


def texts_file(folder: Path) -> Path:
    file = folder / "texts.csv"
    lines = [{"text": text, "kind": "good" if kind else "bad"} for text, kind in texts.sentences()]
    pl.DataFrame(lines).write_csv(file)
    return file


def lay_texts(scenario: str, project: Path, folder: Path, run: Callable[..., str]) -> Path:
    texts.lay_encoder(folder / "encoder")
    file = texts_file(folder)
    run("init", "--data", str(file), "--target", "kind", "--kind", "text")
    written = yaml.safe_load((project / "params.yaml").read_text())
    written["data"]["prepare"]["max_length"] = 32
    more(project, data=written["data"], **tiny_bert(folder / "encoder"))
    return file


def lay_movielens(scenario: str, project: Path, folder: Path, run: Callable[..., str]) -> Path:
    """60 users who watch 40 films in a circle, each from a film of its own on."""
    ratings = [(user, 1 + (7 * user + step) % 40, 100 + step) for user in range(1, 61) for step in range(12)]
    films = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    films += "".join(f"{item}\tFilm {item}\t1990\tDrama\n" for item in range(1, 41))
    lines = "".join(f"{user}\t{item}\t3\t{time}\n" for user, item, time in ratings)
    source = mirrored(folder, {"u.data": lines.encode(), "ml-100k.item": films.encode()})
    training = {"max_epochs": 12, "batch_size": 32}
    params(project, scenario, data={"source": source}, training=training, optimizer={"lr": 0.01})
    file = folder / "histories.jsonl"
    pl.DataFrame({"items": [["1", "2", "3"], ["40"], []]}, schema={"items": pl.List(pl.String)}).write_ndjson(file)
    return file


def lay_table(scenario: str, project: Path, folder: Path, run: Callable[..., str]) -> Path:
    """The whole of the breast cancer table, which is small and there."""
    params(project, scenario, training={"max_epochs": 10})
    data = yaml.safe_load((project / "conf/data/breast_cancer.yaml").read_text())
    names = [column["name"] for column in data["prepare"]["columns"]]
    run("compose")
    run("download")
    rows = (project / "data/raw/breast_cancer.csv").read_text().splitlines()[1:31]
    file = folder / "tumours.csv"
    file.write_text("\n".join([",".join([*names, "target"]), *rows]) + "\n")
    return file


LAYERS = {
    "images_cnn": lay_images,
    "reviews_bert": lay_reviews,
    "text_bert": lay_texts,
    "movielens_dnn": lay_movielens,
    "table_dnn": lay_table,
}


def rows(file: Path) -> int:
    """How many records a file or a folder of pictures holds."""
    if file.is_dir():
        return sum(one.is_file() for one in file.rglob("*"))
    return len(file.read_text().splitlines()) - (file.suffix == ".csv")
