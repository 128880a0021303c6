"""ratchet evaluate [setting=value …]: score the bundle on the published test split → reports/."""

from typing import Any

from pipeline.config.arguments import chosen, stage_parser
from pipeline.data import store
from pipeline.evaluation import figures, metrics, predictions
from pipeline.evaluation.metrics import Result
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import read_json, write_json
from pipeline.tracking import sync
from pipeline.tracking.journal import Journal

METRICS = paths.REPORTS / "metrics.json"
FIGURES = paths.REPORTS / "figures"
SHOWN = ("accuracy", "f1", "auroc", "loss", "calibration_error")
WEAKEST = 3


def main(arguments: list[str]) -> None:
    options = stage_parser("evaluate", __doc__).parse_args(arguments)
    config = chosen(options)
    spec, bundle, run = store.load_spec(), Bundle.load(paths.BUNDLE), read_json(paths.RUN, "train")
    require_same_origin(bundle, run, spec)
    split = store.load_split("test", spec)

    settings = config.evaluation
    result = metrics.evaluate(bundle.logits, split, bundle.labels, settings.batch_size, settings.calibration_bins)

    write_json(METRICS, result.values)
    predictions.write_parquet(paths.REPORTS / "predictions.parquet", result, split["rows"])
    predictions.write_plots(paths.REPORTS / "plots", result, run["history"])
    drawn = figures.write(FIGURES, result, run["history"], run["best"]["epoch"], split["inputs"])

    with Journal.later(run["run_id"], config.tracking.experiment, config.run_name) as journal:
        journal.metrics(run["best"]["step"], result.values)
        for path in [METRICS, *drawn]:
            journal.artifact(path, path.relative_to(paths.REPORTS).as_posix())
    if not options.locked:  # else the register stage ships them
        sync.in_background(run["run_id"])
    print(summary(result))


def require_same_origin(bundle: Bundle, run: dict[str, Any], spec: dict[str, Any]) -> None:
    if run["bundle_digest"] != bundle.digest:
        raise DataError(f"{paths.RUN} and {paths.BUNDLE} are of two trainings.\nType: dvc repro --force train")
    if bundle.data_fingerprint != spec["fingerprint"]:
        raise DataError(
            f"{paths.BUNDLE} was trained on the data {bundle.data_fingerprint[:12]}, but {paths.PROCESSED} holds "
            f"{spec['fingerprint'][:12]}.\nType: dvc repro train"
        )


def summary(result: Result) -> str:
    recalls = {label: result.values[f"test/recall/{label}"] for label in result.labels}
    weakest = sorted(recalls, key=recalls.__getitem__)[:WEAKEST]
    lines = [f"{'test/' + name:<24} {result.values[f'test/{name}']:.4f}" for name in SHOWN]
    lines.append(f"{'lowest recall':<24} " + ", ".join(f"{label}: {recalls[label]:.4f}" for label in weakest))
    return "\n".join([*lines, f"{METRICS}, predictions.parquet, figures/, plots/: {len(result.targets):,} samples"])
