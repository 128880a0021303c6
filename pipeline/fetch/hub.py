"""A pretrained text encoder of Hugging Face, by its name or from a local folder."""

import re
from pathlib import Path
from typing import cast

from pipeline.fetch.web import PATIENCE
from pipeline.project.errors import DataError
from pipeline.project.secrets import redact

FILES = ("config.json", "tokenizer.json", "model.safetensors")
NAME = r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?"  # bert-base-uncased, prajjwal1/bert-tiny


def folder_of(path: str) -> Path:
    """The folder that holds the three files of the encoder `path`; DataError says which it lacks."""
    local = Path(path).expanduser()
    if not local.is_dir() and not re.fullmatch(NAME, path):
        raise DataError(
            f"pretrained.path is {path}; there is no such folder, and no encoder of Hugging Face is so named"
        )
    folder = local if local.is_dir() else snapshot(path)
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        raise DataError(
            f"the encoder {path} has no {', '.join(lacking)}; it needs {', '.join(FILES)}.\n"
            "Save it in this form with transformers, in Python, and set pretrained.path to FOLDER:\n"
            f'    AutoTokenizer.from_pretrained("{path}").save_pretrained("FOLDER")\n'
            f'    AutoModel.from_pretrained("{path}").save_pretrained("FOLDER", safe_serialization=True)'
        )
    refuse_broken(path, folder / "model.safetensors")
    return folder


def snapshot(name: str) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise DataError(f"{name} is fetched with huggingface_hub. Type: pip install huggingface_hub") from None
    bases = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)  # its HTTP library's own errors are one
    failures: tuple[type[Exception], ...] = (OSError, ValueError, *bases)
    try:
        folder = huggingface_hub.snapshot_download(name, allow_patterns=list(FILES), etag_timeout=PATIENCE)
    except failures as error:
        reason = redact(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        raise DataError(
            f"Hugging Face does not give {name}: {reason}\n"
            "Check the name and the network, or set pretrained.path to a local folder, or pretrained to minilm"
        ) from None
    return Path(folder)


def refuse_broken(path: str, weights: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "np"):
            pass
    except SafetensorError as error:
        raise DataError(
            f"the encoder {path}: its {weights.name} is no safetensors file ({error}).\n"
            "A file of about 130 bytes is a pointer of Git LFS; type in its folder: git lfs pull"
        ) from None
