"""ratchet preprocess [setting=value …]: check, split and encode the raw data → data/processed."""

from typing import Any

from pipeline.config.arguments import chosen, stage_parser
from pipeline.datasets import vocabulary
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.terminal import loud
from pipeline.store import processed
from pipeline.store.preparing import prepare
from pipeline.store.splits import account, told_equal


def main(arguments: list[str]) -> None:
    config = chosen(stage_parser("preprocess", __doc__).parse_intermixed_args(arguments))
    try:
        spec = prepare(config)
    except OSError as error:
        raise DataError(
            f"{error.filename or paths.PROCESSED} can't be written: {error.strerror}.\n"
            f"{paths.PROCESSED.parent} must be writable, with room for the splits. Then type: ratchet preprocess"
        ) from None
    print(summary(spec))
    if said := vocabulary.warning(spec["statistics"]):
        print(loud(said))


def summary(spec: dict[str, Any]) -> str:
    lines = [f"{'split':<6}{'rows':>11}{'quarantined':>13}"]
    for name, split in spec["splits"].items():
        lines.append(f"{name:<6}{split['rows']:>11,}{split['quarantined']:>13,}")
    if told := spec.get("feedback"):
        given = ", ".join(f"{count:,} on answers of version {version}" for version, count in told["versions"].items())
        lines.append(f"labels from use ({given}): {told['joined']:,} in train, {told['held_back']:,} held back")
    lines.append(account(spec["counts"]))
    lines += [f"  {count:,} × {kind}" for kind, count in spec.get("faults", {}).items()]
    if (equal := spec["statistics"].get("equal")) and equal["rows"]:
        lines.append(f"  {told_equal(equal)}")
    if spec["counts"]["quarantined"]:
        lines.append(f"reasons: {paths.PROCESSED / processed.QUARANTINE}")
    return "\n".join([*lines, f"{paths.PROCESSED}: data fingerprint {spec['fingerprint'][:12]}"])
