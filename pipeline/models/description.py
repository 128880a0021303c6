"""What bundle.json says, tried before it is believed: a bundle may be damaged, or made by whoever wishes harm."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.kinds import kind as kinds
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import read_json, sha256
from pipeline.tasks import task as tasks

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
WEIGHTS = "weights.safetensors"
DESCRIPTION = "bundle.json"
NEEDED: dict[str, type] = {"net": dict, "loss": str, "encoder": dict, "weights_sha256": str, "data_fingerprint": str}
NAMES = {dict: "an object", str: "a text", list: "a list", int: "a whole number"}
LARGEST = 1 << 24  # numbers of one record


def read(file: Path) -> dict[str, Any]:
    """The description in `file`; DataError where it is none, or none that this Ratchet knows."""
    try:
        found = read_json(file, "train")
    except OSError as error:
        raise DataError(f"{file} can't be read: {error}.\n{cure(file.parent)}") from None
    if not isinstance(found, dict):
        raise odd(file, f"it holds {NAMES.get(type(found), repr(found)[:100])}, and no object")
    if found.get("format") != FORMAT:
        raise DataError(f"{file.parent} has bundle format {found.get('format')!r}; this Ratchet reads {FORMAT}")
    require(file, "", found, NEEDED)
    require(file, "encoder.", found["encoder"], {"kind": str, "task": str, "labels": list, "shape": list})
    require(file, "net.", found["net"], {"name": str})
    require_encoder(file, found["encoder"])
    if not found["net"]["name"].isidentifier():
        raise odd(file, f"net.name is {found['net']['name']!r}, and no name of a net")
    return found


def whole(folder: Path) -> dict[str, Any]:
    """The description of the bundle in `folder`; DataError unless the weights are those that it is of."""
    found, weights = read(folder / DESCRIPTION), folder / WEIGHTS
    if not weights.is_file() or (there := sha256(weights)) != found["weights_sha256"]:
        given = f"has SHA-256 {there}" if weights.is_file() else "is missing"
        raise DataError(
            f"{weights} {given}; {DESCRIPTION} beside it says {found['weights_sha256'][:100]}.\n" + cure(folder)
        )
    return found


def cure(folder: Path) -> str:
    """How a damaged bundle comes back; only the project's own is in DVC's cache."""
    if folder.resolve() != paths.BUNDLE.resolve():
        return "Bring it anew from where it came from"
    back = f"rm -r {paths.BUNDLE} && dvc checkout --force {paths.BUNDLE}   (brings back what DVC's cache holds)"
    return f"Type: {back}\nor, if that is damaged too: dvc repro --force train"


def odd(file: Path, fault: str) -> DataError:
    return DataError(f"{file} describes no bundle: {fault}.\n{cure(file.parent)}")


def require(file: Path, start: str, value: dict[str, Any], needed: dict[str, type]) -> None:
    for key, kind in needed.items():
        if not isinstance(value.get(key), kind):
            given = f"is {repr(value[key])[:100]}" if key in value else "is missing"
            raise odd(file, f"{start}{key} {given}; it needs {NAMES[kind]}")


def require_encoder(file: Path, encoder: dict[str, Any]) -> None:
    shape, labels = encoder["shape"], encoder["labels"]
    for key, known in (("kind", kinds.names()), ("task", tasks.names())):
        if encoder[key] not in known:
            raise odd(file, f"encoder.{key} is {encoder[key][:100]!r}; this Ratchet knows {', '.join(known)}")
    sides = kinds.of(encoder).sides
    if len(shape) != sides or not all(type(side) is int and side > 0 for side in shape):
        raise odd(file, f"encoder.shape is {repr(shape)[:100]}; it needs {sides} whole numbers above 0")
    if math.prod(shape) > LARGEST:
        raise odd(file, f"encoder.shape is {shape}; a record may have {LARGEST:,} numbers")
    if not all(isinstance(label, str) for label in labels) or not (labels or tasks.of(encoder).numeric):
        raise odd(file, "encoder.labels is no list of texts")


def require_fitting(description: dict[str, Any], weights: Path) -> None:
    """DataError unless the net can be built and has the shapes of the weights: nothing is given memory for it yet."""
    import torch
    from safetensors import safe_open

    from pipeline.models.network import build

    with safe_open(weights, "pt") as file:
        there = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
    architecture = description["encoder"].get("architecture") or {}
    for name, value in architecture.items():
        if "layers" in name and isinstance(value, int) and value > len(there):
            raise DataError(f"encoder.architecture.{name} is {value}, of which the weights hold {len(there)} arrays")
    with torch.device("meta"):
        net = build(description["net"], description["encoder"], description["loss"])
    wanted = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            raise DataError(
                f"{name} is {there.get(name, 'missing')} in the weights, and {wanted.get(name, 'none')} there"
            )


def require_width(outputs: "Tensor", encoder: dict[str, Any]) -> None:
    wanted = tasks.of(encoder).width(encoder)
    if outputs.shape[1] != wanted:
        raise DataError(f"the net gives {outputs.shape[1]} numbers for a record; its encoder needs {wanted}")
    if len(encoder.get("titles") or encoder["labels"]) != len(encoder["labels"]):
        raise DataError("encoder.titles and encoder.labels differ in number")
