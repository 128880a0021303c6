"""ratchet export onnx: the champion, or a bundle, in a form that onnxruntime runs without torch and without Ratchet.

    model.onnx      the network
    encoder.json    how records become its inputs
    encoding.py     which does that, and answers.py, which says what its outputs mean
    example.py      both, with the network between: python example.py records.json
    records.json    two records, where examples are known

It is written only if onnxruntime gives what torch gives, to 0.0001.
"""

import argparse
import io
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pipeline.kinds.encoding import encode
from pipeline.kinds.kind import of
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import ConfigError, DataError, RatchetError
from pipeline.project.files import require_writable, write_json
from pipeline.serving import watcher
from pipeline.store import processed

MODEL, ENCODER, EXAMPLE, RECORDS = "model.onnx", "encoder.json", "example.py", "records.json"
PARTS = {"encoding.py", "answers.py"}
TOLERANCE = 1e-4
COUNTS = (1, 64)  # random records at once


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "ratchet export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("format", choices=["onnx"])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--version", type=int, metavar="N", help="in the registry; default: the champion")
    source.add_argument("--bundle", metavar="FOLDER", help="such as models/bundle, instead of a version")
    parser.add_argument("--to", metavar="FOLDER", help="default: models/onnx")
    options = parser.parse_args(arguments)
    require_packages()
    folder = paths.typed(options.to) if options.to else paths.BUNDLE.with_name("onnx")
    require_own(folder)
    title, bundle, records = local(options.bundle) if options.bundle else registered(options.version)
    samples = list(valid_inputs(bundle.encoder, records))
    with watcher.whole(folder) as temporary:
        write_model(bundle.network, samples[-1], bundle.encoder, temporary / MODEL)
        worst = largest_difference(bundle, temporary / MODEL, samples)
        write_json(temporary / ENCODER, bundle.encoder)
        for name, file in code(bundle.encoder).items():
            shutil.copyfile(file, temporary / name)
        if records is not None:
            write_json(temporary / RECORDS, records)
    print(f"{title} → {folder / MODEL}: {(folder / MODEL).stat().st_size:,} bytes")
    print(f"largest difference to torch: {worst:.1e} in {sum(map(len, samples))} records; {TOLERANCE:g} is allowed")


def code(encoder: dict[str, Any]) -> dict[str, Path]:
    """The files that run without Ratchet, by the names that they have beside the network."""
    package = Path(__file__).parent
    return {
        EXAMPLE: package / "exported" / EXAMPLE,
        "encoding.py": package / "kinds" / encoder["kind"] / "exported.py",
        "answers.py": package / "tasks" / "exported" / f"{encoder['task']}.py",
    }


def require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(f"an export needs {error.name}.\nType: pip install 'ratchet-ml[onnx]'") from None


def require_own(folder: Path) -> None:
    """DataError for a folder that holds anything but an earlier export."""
    names = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
    names -= {"__pycache__"}  # of an example that was run
    needed = {MODEL, ENCODER, EXAMPLE}  # an earlier Ratchet wrote no more, and records
    if (names and not needed <= names <= {*needed, *PARTS, RECORDS}) or folder.is_file():
        raise DataError(f"{folder} is no earlier export, so it is not replaced; name another folder with --to")
    require_writable(folder.parent)


def local(given: str) -> tuple[str, Bundle, Any]:
    """A bundle, and examples if data/processed is what it was trained on."""
    bundle = Bundle.load(paths.typed(given))
    spec = processed.load_spec() if (paths.PROCESSED / processed.SPEC).is_file() else {}
    known = spec.get("fingerprint") == bundle.data_fingerprint
    return f"the bundle {bundle.digest[:12]}", bundle, spec["examples"] if known else None


def registered(number: int | None) -> tuple[str, Bundle, Any]:
    """A version, verified, and the examples that it was registered with."""
    from pipeline.config import lock
    from pipeline.registry import uris, versions
    from pipeline.tracking import mlflow_store

    uri = None if number is None else f"models:/{lock.load().registry.model}/{number}"
    with mlflow_store.answering("ratchet export", "Export the bundle itself instead: --bundle models/bundle"):
        client = mlflow_store.client()
        version = uris.named(client, uri)
        folder = paths.scratch() / "version"
        watcher.fetch(client, version, folder, versions.fetched)
    bundle = Bundle.load(folder / watcher.BUNDLE)
    return f"{version.name} version {version.version}", bundle, watcher.examples(folder, bundle.encoder)


def valid_inputs(encoder: dict[str, Any], records: Any) -> Iterator[np.ndarray]:
    """Of the examples, then random ones; of texts and histories also of another length than usual."""
    if records is not None:
        yield encode(encoder, records)
    random = np.random.default_rng(0)
    usual = encoder["shape"][0]
    for count in COUNTS:
        for length in of(encoder).lengths(usual):
            yield of(encoder).drawn(encoder, count, length, random)


def write_model(network: torch.nn.Module, inputs: np.ndarray, encoder: dict[str, Any], file: Path) -> None:
    """With any number of records, and of texts and histories any length."""
    free = {0: torch.export.Dim("records")}
    if of(encoder).any_length:
        free[1] = torch.export.Dim("length")
    with quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                network,
                (torch.from_numpy(inputs),),
                input_names=["inputs"],
                output_names=["outputs"],
                dynamic_shapes=(free,),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise ConfigError(
                f"the network can't be exported: {reason}\n"
                "Its forward may not look at its data, nor call what ONNX lacks; see torch.compiler.is_exporting"
            ) from error
        cast("torch.onnx.ONNXProgram", program).save(file)  # torch's older exporter gave none


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter says of packages that it misses, its own deprecations and the graphs that it tried."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def largest_difference(bundle: Bundle, file: Path, samples: list[np.ndarray]) -> float:
    """Between outputs of torch and of onnxruntime; RatchetError above TOLERANCE."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs in samples:
        wanted = bundle.outputs(torch.from_numpy(inputs)).numpy()
        (found,) = session.run(["outputs"], {"inputs": inputs})
        worst = np.maximum(worst, np.abs(wanted - found).max())  # NaN stays
    if not worst <= TOLERANCE:
        raise RatchetError(
            f"onnxruntime's outputs differ from torch's by up to {worst:.1e}; {TOLERANCE:g} is allowed.\n"
            "Nothing was written. Serve it with torch: ratchet serve"
        )
    return float(worst)
