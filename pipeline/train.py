"""ratchet train [setting=value …]: train with Lightning; journalled, checkpointed, resumed after a kill.

With cv=5: cross-validation, a run for each fold under one parent, and mean ± deviation over the folds.
"""

import contextlib
import subprocess

from pipeline.config.arguments import chosen, stage_parser
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import ConfigError
from pipeline.tracking import sync
from pipeline.training import folds, launch, run
from pipeline.training.stops import Interrupted
from pipeline.training.trained import Data, save, trained


def main(arguments: list[str]) -> int:
    parser = stage_parser("train", __doc__)
    parser.add_argument("--fresh", action="store_true", help="train anew though these settings were trained before")
    options = parser.parse_intermixed_args(arguments)
    config = chosen(options)
    if options.locked and config.cv is not None:
        raise ConfigError("cv is for `ratchet train cv=5`, beside the pipeline: take it out of params.yaml")
    # A stage leaves the shipping to the background: the register stage waits for it
    patience = 0.0 if options.locked else config.tracking.wait_seconds
    data = Data.load()
    launch.processes(config)  # devices that are not there are refused before a run begins
    try:
        if config.trainer.node > 0:
            launch.launched(config, data.folder, run.folder(config, data.spec))
            print(f"node {config.trainer.node} of {config.trainer.nodes} is done; node 0 has the run and the bundle")
        elif config.cv is not None:
            cross_validated(config, data, options.fresh, patience)
        else:
            once(config, data, options.fresh, patience)
    except Interrupted as signal:
        print(f"stopped by {signal}: a checkpoint is kept; the same command goes on from it", flush=True)
        return signal.exit_code
    return 0


def once(config: Config, data: Data, fresh: bool, patience: float) -> None:
    place = run.folder(config, data.spec)
    with run.claimed(place):
        result, shipper = trained(config, data, place, fresh, config.run_name)
        digest = save(config, data, place, result)
    best = result["best"]
    print(f"best: {best['monitor']} {best['value']:.4f} after epoch {best['epoch']} → {paths.BUNDLE} ({digest[:12]})")
    if shipper is not None:
        report_shipping(result["run_id"], shipper, patience)


def cross_validated(config: Config, data: Data, fresh: bool, patience: float) -> None:
    scores, shippers = folds.cross_validate(config, data, fresh)
    print(folds.table(scores))
    print(f"{folds.REPORT}: validation at each fold's best epoch; models/ is left as it was")
    for shipper in shippers:
        with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on by itself
            shipper.wait(patience)


def report_shipping(run_id: str, shipper: subprocess.Popen[bytes], seconds: float) -> None:
    from pipeline.tracking.mlflow_store import shown_uri

    with contextlib.suppress(subprocess.TimeoutExpired):  # then it goes on by itself; what waits is counted below
        shipper.wait(seconds)
    waiting = sync.waiting(run_id)
    if not waiting:
        print(f"run {run_id[:12]} is complete at {shown_uri()}")
    elif shipper.poll() is None:
        print(f"run {run_id[:12]}: {waiting} points and files are on their way to {shown_uri()}.")
        print("If it stays away, type: ratchet sync")
    else:
        print(f"{waiting} points and files wait in the journal: {shown_uri()} has not taken them.\nType: ratchet sync")
