"""A feedback store filled as `ratchet serve` fills it, without a service."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.feedback_loop.store import Prediction, Store


def png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def turned(picture: np.ndarray, degrees: float = 25) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR))


def record(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def fill(project: Path, given: list[tuple[str, bytes, str, Any]], **about: Any) -> None:
    """A prediction and its label for each (kind, record, label, answer)."""
    (project / ".ratchet").mkdir(exist_ok=True)
    store = Store(f"sqlite:///{project}/.ratchet/feedback.db")
    made = {"time": 1_790_000_000_000, "model": "mnist", "version": 1, "digest": "d" * 64} | about
    start = sum(1 for _ in store.labelled())
    for number, (kind, content, label, answer) in enumerate(given, start):
        name = f"{number:032x}"
        store.add([Prediction(id=name, kind=kind, record=content, answer=json.dumps(answer), **made)])
        store.label(name, label, made["time"] + 1000)
    store.close()
