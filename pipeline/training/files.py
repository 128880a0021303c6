"""Checkpoints and weights that are whole or absent: `<step>-<sha256>.ckpt`, written beside, fsynced, then renamed.

The name carries the digest, so a damaged file is known as such; the newest that verifies is used, the one before kept.
"""

from pathlib import Path
from typing import Any

from pipeline.project.files import sha256, write_atomically


def named(folder: Path, step: int, suffix: str, write: Any) -> Path:
    """Writes a file under a name that carries its step and digest."""
    begun = folder / f"{step:08d}{suffix}"
    return write_atomically(begun, write, lambda file: folder / f"{step:08d}-{sha256(file)}{suffix}")


def verified(path: Path) -> bool:
    return path.stem.partition("-")[2] == sha256(path)


def newest(folder: Path) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint that is whole, as are the best weights up to it; and the files that are no use."""
    checkpoints, weights = (sorted(folder.glob(f"[0-9]*-*.{kind}"), reverse=True) for kind in ("ckpt", "safetensors"))
    useless = [file for file in weights if not verified(file)]
    for path in checkpoints:
        best = next((file for file in weights if file.name[:8] <= path.name[:8]), None)
        if best not in useless and verified(path):
            return path, useless
        useless.append(path)
    return None, useless


def drop_weights_before(best: Path) -> None:
    """Earlier best weights, but for those that a checkpoint would go on from."""
    weights = sorted(best.parent.glob("[0-9]*-*.safetensors"))
    needed = {file for file in weights if file.name >= best.name}
    for checkpoint in best.parent.glob("[0-9]*-*.ckpt"):
        needed.update([file for file in weights if file.name[:8] <= checkpoint.name[:8]][-1:])
    for old in set(weights) - needed:
        old.unlink()
