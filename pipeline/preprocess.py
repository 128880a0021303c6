"""ratchet preprocess [setting=value …]: check, split and encode the raw data → data/processed."""

import importlib
from dataclasses import replace
from typing import Any

from pipeline.config.arguments import chosen, stage_parser
from pipeline.data import splits as split_checks
from pipeline.data import store
from pipeline.data.encoding import encode
from pipeline.project import paths
from pipeline.project.errors import DataError


def main(arguments: list[str]) -> None:
    config = chosen(stage_parser("preprocess", __doc__).parse_args(arguments))
    kind = importlib.import_module(f"pipeline.data.{config.data.name}")

    splits = kind.load(paths.RAW, config.data)
    split_checks.refuse_too_many_unusable(splits, config.data.prepare.max_quarantined)
    split_checks.refuse_leaks(splits)
    split_checks.refuse_missing_classes(splits, kind.CLASSES)

    statistics = kind.statistics(splits["train"].inputs)
    encoder = kind.encoder(config.data, statistics)
    encoded = {name: replace(split, inputs=encode(encoder, split.inputs)) for name, split in splits.items()}

    about = {
        "data": config.data.name,
        "kind": kind.KIND,
        "inputs": {"shape": encoder["shape"], "dtype": encoder["dtype"]},
        "classes": encoder["labels"],
        "counts": split_checks.counts(splits),
        "statistics": statistics,
    }
    try:
        spec = store.write(encoded, encoder, about)
    except OSError as error:
        raise DataError(
            f"{error.filename or paths.PROCESSED} can't be written: {error.strerror}.\n"
            f"{paths.PROCESSED.parent} must be writable, with room for the splits. Then type: ratchet preprocess"
        ) from None
    print(summary(spec))


def summary(spec: dict[str, Any]) -> str:
    lines = [f"{'split':<6}{'rows':>9}{'quarantined':>13}"]
    for name, split in spec["splits"].items():
        lines.append(f"{name:<6}{split['rows']:>9,}{split['quarantined']:>13,}")
    if spec["counts"]["quarantined"]:
        lines.append(f"reasons: {paths.PROCESSED / store.QUARANTINE}")
    return "\n".join([*lines, f"{paths.PROCESSED}: data fingerprint {spec['fingerprint'][:12]}"])
