"""ratchet reproduce [URI] [--keep] [--tolerance X]: make a version again, from its commit, data and settings.

URI: models:/NAME/3 or models:/NAME@challenger; nothing: this project's champion. In a clone of its own the code of the
version's commit prepares the data, trains and evaluates; nothing is registered. On a CPU with the same packages the
bytes must be the same, else the metrics within a tolerance. Exit code 0: the same; 1: not, with the first difference;
2: could not be tried, with what is missing.
"""

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from pipeline.config.checking import flatten
from pipeline.evaluation import metrics_files
from pipeline.models.description import DESCRIPTION
from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.project.files import read_json
from pipeline.project.secrets import redact
from pipeline.registry import provenance, uris, versions
from pipeline.registry.rebuild import rebuild
from pipeline.tracking import mlflow_store, revision
from pipeline.training.failures import stoppable
from pipeline.training.stops import Interrupted

SAME, DIFFERENT, UNTRIED = 0, 1, 2
TOLERANCE = 0.01
ROUNDED = 1e-5  # the registered metrics have six digits
NO_MATTER = {"mlflow", "dvc", "hydra-core"}  # packages that no byte of a model depends on
Difference = tuple[str, Any, Any]  # what, as registered, as made again


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "ratchet reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("uri", nargs="?", metavar="URI")
    parser.add_argument("--keep", action="store_true", help="leave the clone, with all that was made, where it is")
    words = f"of metrics, absolute, or relative to values above 1; default: {TOLERANCE}"
    parser.add_argument("--tolerance", metavar="X", type=float, default=TOLERANCE, help=words)
    options = parser.parse_args(arguments)
    # not among the temporary files, which `ratchet preprocess` clears away
    folder = Path(tempfile.mkdtemp(prefix="ratchet-")).resolve() if options.keep else paths.scratch()
    try:
        with stoppable(), mlflow_store.answering("ratchet reproduce"):
            client = mlflow_store.client()
            version = uris.named(client, options.uri)
            told, bundle = provenance.read(client, version), versions.fetched(client, version)
            return compared(told, bundle, folder, options.tolerance)
    except RatchetError as error:
        print(f"can't be made again: {redact(str(error))}", file=sys.stderr)
        return UNTRIED
    except Interrupted as stop:
        return stop.exit_code
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def compared(told: dict[str, Any], bundle: Path, folder: Path, tolerance: float) -> int:
    """`bundle`: the registered one, as is on this machine."""
    print(f"{told['uri']}: commit {told['code']['commit']}, config hash {told['config_hash'][:12]}", flush=True)
    for name in told["code"]["changed"]:
        print(f"{name} was not as committed when the version was registered: what was changed there is not known")
    obstacles = list(other_circumstances(told))
    for obstacle in obstacles:
        print(f"{obstacle}: metrics are compared, not bytes")
    tolerance = tolerance if obstacles else ROUNDED
    with closing(differences(told, bundle, folder, exact=not obstacles, tolerance=tolerance)) as found:
        for what, registered, again in found:
            print(f"first difference: {what}: {registered} in {told['uri']}, {again} made again")
            return DIFFERENT
    scores = sum(name.startswith("test/") for name in told["metrics"])
    alike = f"all {scores} metrics are within {tolerance}" if obstacles else f"bundle {told['bundle']}, byte for byte"
    print(f"match: {told['uri']} was made again from data {told['data']['fingerprint'][:12]}: {alike}")
    return SAME


def other_circumstances(told: dict[str, Any]) -> Iterator[str]:
    """Why the same bytes can't be expected."""
    import torch

    machine, here = told["machine"], revision.packages()
    if machine.get("device") != "cpu":
        yield f"it was trained on {machine.get('device')}"
    elif machine["cpu"] != (capability := torch.backends.cpu.get_cpu_capability()):
        yield f"it was trained on a CPU with {machine['cpu']}, and this one has {capability}"
    for name, then in told["packages"].items():
        if name not in NO_MATTER and then != (now := here.get(f"version.{name}")):
            yield f"it was trained with {name} {then}, and here is {now}"


def differences(
    told: dict[str, Any], bundle: Path, folder: Path, exact: bool, tolerance: float
) -> Generator[Difference, None, None]:
    """After each stage, so that what comes of other data is not trained."""
    with closing(cast("Generator[Path, None, None]", rebuild(told, folder))) as made:  # it says Iterator
        yield from of_data(told, next(made))
        project = next(made)
        tell_other_code(told, project)
        yield from of_bundle(bundle, project, exact)
        yield from of_metrics(told, next(made), tolerance)


def of_data(told: dict[str, Any], project: Path) -> Iterator[Difference]:
    spec = read_json(project / paths.PROCESSED / "spec.json", "preprocess")
    yield from unequal("the test split's SHA-256", told["data"]["test_sha256"], spec["splits"]["test"]["sha256"])
    yield from unequal("the data fingerprint", told["data"]["fingerprint"], spec["fingerprint"])


def tell_other_code(told: dict[str, Any], project: Path) -> None:
    """What decides is whether the bytes are the same."""
    then, now = told["code"]["train"], read_json(project / paths.RUN, "train").get("code")
    if then is not None and then != now:
        print(f"the code that trained it is not that of its commit: digest {then[:12]}, and {str(now)[:12]} there")


def of_bundle(bundle: Path, project: Path, exact: bool) -> Iterator[Difference]:
    registered = read_json(bundle / DESCRIPTION, "register")
    again = read_json(project / paths.BUNDLE / DESCRIPTION, "train")
    yield from unequal("the config hash", registered["config_hash"], again["config_hash"])
    if exact:
        yield from unequal("the weights' SHA-256", registered["weights_sha256"], again["weights_sha256"])
        before, after = dict(flatten(registered)), dict(flatten(again))
        for key in sorted(before.keys() | after.keys()):
            yield from unequal(f"{key} of {DESCRIPTION}", before.get(key), after.get(key))


def of_metrics(told: dict[str, Any], project: Path, tolerance: float) -> Iterator[Difference]:
    metrics = metrics_files.read(project)
    for name, value in told["metrics"].items():
        if name.startswith("test/") and not close(value, metrics.get(name, math.nan), tolerance):
            yield name, value, metrics.get(name)


def unequal(what: str, registered: Any, again: Any) -> Iterator[Difference]:
    if registered != again:
        yield what, registered, again


def close(value: float, other: float, tolerance: float) -> bool:
    return abs(value - other) <= tolerance * max(1.0, abs(value)) or (math.isnan(value) and math.isnan(other))
