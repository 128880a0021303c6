"""One training, however it comes about: found finished, gone on with after a kill, or begun."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from pipeline.config.schema import Config
from pipeline.models import bundle
from pipeline.project import paths
from pipeline.project.files import write_json
from pipeline.store import processed
from pipeline.tracking import sync
from pipeline.tracking.journal import Journal
from pipeline.training import launch, run
from pipeline.training.channel import Watcher


@dataclass(frozen=True)
class Data:
    """A folder that preprocess wrote."""

    folder: Path
    spec: dict[str, Any]
    encoder: dict[str, Any]

    @classmethod
    def load(cls, folder: Path = paths.PROCESSED) -> "Data":
        return cls(folder, processed.load_spec(folder), processed.load_encoder(folder))


@dataclass(frozen=True)
class AsTrial:
    """What a sweep adds to a training that is one of its trials: its parent ships the journal."""

    run_id: str
    parent: str  # its run id
    tags: dict[str, str]
    watcher: Watcher


def trained(
    config: Config,
    data: Data,
    place: Path,
    fresh: bool,
    name: str,
    parent: str | None = None,
    trial: AsTrial | None = None,
) -> tuple[dict[str, Any], subprocess.Popen[bytes] | None]:
    """The result, and the process that ships the journal; none if the result was there already."""
    run_id = run.begin(place, config, fresh, trial.run_id if trial else None)
    if (result := run.finished(place)) is not None:
        print(f"these settings were trained on this data before, as run {run_id[:12]}: its result is reused.")
        print("To train anew all the same, type: ratchet train --fresh")
        return result, None
    launch.import_lightning()
    settings = config.tracking
    parent = trial.parent if trial else parent
    with Journal.begin(run_id, settings.experiment, name, settings.fsync_seconds, parent) as journal:
        shipper = None if trial else sync.in_background(run_id)
        with run.journalled(journal, config):
            if trial:
                journal.tags(trial.tags)
            run.describe(journal, config, data.spec, data.folder, told=parent is not None)
            found = launch.train(config, data.folder, place, journal, trial.watcher if trial else None)
            result = {"run_id": run_id, **found}
            run.finish(place, result)
    return result, shipper


def save(config: Config, data: Data, place: Path, result: dict[str, Any]) -> str:
    """Writes models/: the bundle, the same bytes for the same training, and run.json, which says which run made it."""
    identity = {"config_hash": config.hash, "data_fingerprint": data.spec["fingerprint"]}
    weights = load_file(place / result["best"]["file"])
    net, loss = config.model.model_dump(mode="json"), config.loss.name
    digest = bundle.save(paths.BUNDLE, weights, net, loss, data.encoder, identity)
    write_json(paths.RUN, {**result, **identity, "code": run.made_by(config)["code"], "bundle_digest": digest})
    return digest
