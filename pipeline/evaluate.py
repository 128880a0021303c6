"""ratchet evaluate [setting=value …]: score the bundle and its baselines on the test split → reports/."""

import importlib
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.config.arguments import chosen, stage_parser
from pipeline.config.schema import Evaluation
from pipeline.evaluation import metrics_files, reports
from pipeline.evaluation.baselines import TF_IDF, baselines
from pipeline.evaluation.beaten import beaten
from pipeline.evaluation.figures import style
from pipeline.evaluation.metric_names import without_class
from pipeline.evaluation.scoring import Result
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import read_json, write_atomically
from pipeline.project.spreadsheets import guarded
from pipeline.project.terminal import loud
from pipeline.store import held_out, processed
from pipeline.tracking import sync
from pipeline.tracking.journal import Journal

MISTAKES = paths.REPORTS / "mistakes.csv"
SLICES = paths.REPORTS / "slices.csv"


def main(arguments: list[str]) -> None:
    options = stage_parser("evaluate", __doc__).parse_intermixed_args(arguments)
    config = chosen(options)
    spec, bundle, run = processed.load_spec(), Bundle.load(paths.BUNDLE), read_json(paths.RUN, "train")
    require_same_origin(bundle, run, spec)
    split, encoder, settings = processed.load_split("test", spec), bundle.encoder, config.evaluation

    task = importlib.import_module(f"pipeline.evaluation.{encoder['task']}")
    result: Result = task.evaluate(bundle.outputs, split, encoder, settings)
    beside = scores_of_baselines(task, spec, split, encoder, settings)
    found = result.values | of_baselines(result.headline, beside)
    slices = reports.slices(result, processed.file(processed.SLICES, spec))

    metrics_files.write(found)
    write_atomically(paths.REPORTS / "predictions.parquet", result.predictions(split["rows"]).write_parquet)
    for path, table in ((MISTAKES, reports.mistakes(result, split, encoder, settings.mistakes)), (SLICES, slices)):
        write_atomically(path, (table if settings.raw_cells else guarded(table)).write_csv)
    write_plots(paths.REPORTS / "plots", result, run["history"])
    drawn = style.write(
        paths.REPORTS / "figures", lambda: result.figures(run["history"], run["best"]["epoch"], split["inputs"])
    )

    with Journal.later(run["run_id"], config.tracking.experiment, config.run_name) as journal:
        journal.metrics(run["best"]["step"], found)
        for path in [metrics_files.METRICS, metrics_files.CLASSES, MISTAKES, SLICES, *drawn]:
            journal.artifact(path, path.relative_to(paths.REPORTS).as_posix())
    if not options.locked:  # else the register stage ships them
        sync.in_background(run["run_id"])
    print(reports.summary(result, beside, slices))
    if said := beaten(found, encoder["task"]):
        print(loud(said))
    if problem := without_class(config.gate.minimum, encoder):
        print(f"warning: {problem}: `ratchet promote` can't decide", file=sys.stderr)
    files = f"{metrics_files.METRICS}, classes.json, predictions.parquet, mistakes.csv, slices.csv, figures/, plots/"
    print(f"{files}: {len(split['rows']):,} rows")


def scores_of_baselines(
    task: Any, spec: dict[str, Any], split: dict[str, Tensor], encoder: dict[str, Any], settings: Evaluation
) -> dict[str, dict[str, float]]:
    texts = held_out.texts(encoder, spec)
    simple = baselines(encoder, lambda: processed.load_split("train", spec), split, settings.baseline_rows, texts)
    places = split | {"inputs": torch.arange(len(split["rows"]))}
    if TF_IDF in simple and texts is None:
        print(f"{TF_IDF} reads only what the net's tokens say: {paths.PROCESSED} was made before it held the texts")
    return {
        name: task.evaluate(each, places if texts and name == TF_IDF else split, encoder, settings).values
        for name, each in simple.items()
    }


def require_same_origin(bundle: Bundle, run: dict[str, Any], spec: dict[str, Any]) -> None:
    if run["bundle_digest"] != bundle.digest:
        raise DataError(f"{paths.RUN} and {paths.BUNDLE} are of two trainings.\nType: dvc repro --force train")
    if bundle.data_fingerprint != spec["fingerprint"]:
        raise DataError(
            f"{paths.BUNDLE} was trained on the data {bundle.data_fingerprint[:12]}, but {paths.PROCESSED} holds "
            f"{spec['fingerprint'][:12]}.\nType: dvc repro train"
        )


def of_baselines(headline: tuple[str, ...], beside: dict[str, dict[str, float]]) -> dict[str, float]:
    """baseline/NAME/METRIC of the metrics that are shown beside the model's."""
    return {
        f"baseline/{name}/{metric}": scores[f"test/{metric}"]
        for name, scores in beside.items()
        for metric in headline
        if f"test/{metric}" in scores
    }


def write_plots(folder: Path, result: Result, history: list[dict[str, Any]]) -> None:
    """What `dvc plots` draws: of the plots of other tasks, which dvc.yaml lists too, the header alone."""
    tables = reports.NO_PLOTS | result.tables(history)
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", table.write_csv)
    for old in folder.glob("*.csv"):
        if old.stem not in tables:
            old.unlink()
