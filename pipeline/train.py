"""ratchet train [setting=value …]: train with Lightning; journalled, checkpointed, resumed after a kill."""

import contextlib
import subprocess
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from pipeline.config.arguments import chosen, stage_parser
from pipeline.config.schema import Config
from pipeline.data import store
from pipeline.models import bundle
from pipeline.project import paths
from pipeline.project.files import write_json
from pipeline.tracking import sync
from pipeline.tracking.journal import Journal
from pipeline.training import run
from pipeline.training.checkpoint import Interrupted
from pipeline.training.fit import fit


def main(arguments: list[str]) -> int:
    parser = stage_parser("train", __doc__)
    parser.add_argument("--fresh", action="store_true", help="train anew though these settings were trained before")
    options = parser.parse_args(arguments)
    config = chosen(options)
    spec, encoder = store.load_spec(), store.load_encoder()
    place = run.folder(config, spec)
    with run.claimed(place):
        try:
            result, shipper = train(config, spec, encoder, place, options.fresh)
        except Interrupted as signal:
            print(f"stopped by {signal}: a checkpoint is kept; the same command goes on from it", flush=True)
            return signal.exit_code
        digest = save(config, spec, encoder, place, result)
    best = result["best"]
    print(f"best: {best['monitor']} {best['value']:.4f} after epoch {best['epoch']} → {paths.BUNDLE} ({digest[:12]})")
    if shipper is not None:
        # A stage leaves the shipping to the background: the register stage waits for it
        report_shipping(result["run_id"], shipper, 0.0 if options.locked else config.tracking.wait_seconds)
    return 0


def train(
    config: Config, spec: dict[str, Any], encoder: dict[str, Any], place: Path, fresh: bool
) -> tuple[dict[str, Any], subprocess.Popen | None]:
    """The result, and the process that ships the journal; none if the result was there already."""
    run_id = run.begin(place, config, fresh)
    if (result := run.finished(place)) is not None:
        print(f"these settings were trained on this data before, as run {run_id[:12]}: its result is reused.")
        print("To train anew all the same, type: ratchet train --fresh")
        return result, None
    settings = config.tracking
    with Journal.begin(run_id, settings.experiment, config.run_name, settings.fsync_seconds) as journal:
        shipper = sync.in_background(run_id)
        with run.journalled(journal, config):
            run.describe(journal, config, spec)
            result = {"run_id": run_id, **fit(config, spec, encoder, place, journal)}
            run.finish(place, result)
    return result, shipper


def save(config: Config, spec: dict[str, Any], encoder: dict[str, Any], place: Path, result: dict[str, Any]) -> str:
    """Writes models/: the bundle, the same bytes for the same training, and run.json, which says which run made it."""
    identity = {"config_hash": config.hash, "data_fingerprint": spec["fingerprint"]}
    weights = load_file(place / result["best"]["file"])
    digest = bundle.save(paths.BUNDLE, weights, config.model.model_dump(mode="json"), encoder, identity)
    write_json(paths.RUN, {**result, **identity, "bundle_digest": digest})
    return digest


def report_shipping(run_id: str, shipper: subprocess.Popen, seconds: float) -> None:
    from pipeline.tracking.mlflow_store import shown_uri

    with contextlib.suppress(subprocess.TimeoutExpired):  # then it goes on by itself; what waits is counted below
        shipper.wait(seconds)
    waiting = sync.waiting(run_id)
    if not waiting:
        print(f"run {run_id[:12]} is complete at {shown_uri()}")
    elif shipper.poll() is None:
        print(f"run {run_id[:12]}: {waiting} points and files are on their way to {shown_uri()}")
    else:
        print(f"{waiting} points and files wait in the journal: {shown_uri()} has not taken them.\nType: ratchet sync")
