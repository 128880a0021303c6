"""k-fold cross-validation: a parent run and a child for each fold, whose encoder is fitted on its own train rows.

The test split stays out of it: train and validation together are what is folded.
"""

import json
import statistics
import subprocess
from typing import Any, cast

from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.files import write_json
from pipeline.store.preparing import prepare
from pipeline.store.splits import Fold
from pipeline.tracking import sync
from pipeline.tracking.journal import Journal
from pipeline.training import run
from pipeline.training.trained import Data, trained

REPORT = paths.REPORTS / "cv.json"


def cross_validate(config: Config, whole: Data, fresh: bool) -> tuple[dict[str, Any], list[subprocess.Popen[bytes]]]:
    """{metric: {mean, std, folds}} of validation at each fold's best epoch; folds that are done are not done again."""
    place = run.folder(config, whole.spec, f"-cv{config.cv}")
    with run.claimed(place):
        parent = run.begin(place, config, fresh)
        name, settings = f"{config.run_name}-cv{config.cv}", config.tracking
        with (
            Journal.begin(parent, settings.experiment, name, settings.fsync_seconds) as journal,
            run.journalled(journal, config),
        ):
            run.describe(journal, config, whole.spec, whole.folder)
            bests, shippers = [], []
            number = cast("int", config.cv)  # whoever calls this has looked
            for index in range(number):
                print(f"fold {index + 1} of {number}", flush=True)
                result, shipper = one(config, whole, Fold(index, number), fresh, f"{name}-{index + 1}", parent)
                bests.append(at_best(result))
                shippers += [shipper] if shipper else []
            scores = summarised(bests)
            for part in ("mean", "std"):
                journal.metrics(0, {f"cv/{key}/{part}": value[part] for key, value in scores.items()})
            journal.text(json.dumps(scores, indent=2), "cv.json")
        write_json(REPORT, {"run_id": parent, "folds": config.cv, "scores": scores})
    return scores, [sync.in_background(parent), *shippers]


def one(
    config: Config, whole: Data, fold: Fold, fresh: bool, name: str, parent: str
) -> tuple[dict[str, Any], subprocess.Popen[bytes] | None]:
    data = folded(config, whole, fold)
    place = run.folder(config, data.spec)
    with run.claimed(place):
        return trained(config, data, place, fresh, name, parent)


def folded(config: Config, whole: Data, fold: Fold) -> Data:
    """The fold's data, prepared if it is not there from before."""
    folder = paths.state("folds", f"{whole.spec['fingerprint'][:16]}-{fold.number}", str(fold.index))
    if not (folder / "spec.json").is_file():
        prepare(config, fold, folder)
    return Data.load(folder)


def at_best(result: dict[str, Any]) -> dict[str, float]:
    best = next(entry for entry in result["history"] if entry["epoch"] == result["best"]["epoch"])
    return {key: value for key, value in best.items() if key.startswith("val/")}


def summarised(bests: list[dict[str, float]]) -> dict[str, Any]:
    columns = {key: [best[key] for best in bests] for key in bests[0]}
    return {
        key.removeprefix("val/"): {
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values),  # between folds, n − 1
            "folds": values,
        }
        for key, values in columns.items()
    }


def table(scores: dict[str, Any]) -> str:
    lines = [f"{'validation':<12}{'mean':>10}{'± std':>10}   folds"]
    for key, value in scores.items():
        folds = "  ".join(f"{one:.4f}" for one in value["folds"])
        lines.append(f"{key:<12}{value['mean']:>10.4f}{value['std']:>10.4f}   {folds}")
    return "\n".join(lines)
