"""What can be compared of encoded inputs: a column for each feature, of training data and of use by the same code.

A column is float64 (N,), NaN where there is no value, or an array of texts.
"""

import json
from typing import Any

import numpy as np

from pipeline.encoders import text as tokens

STEP = 1000  # pictures in float64 at a time
Columns = dict[str, np.ndarray]


def of_inputs(encoder: dict[str, Any], inputs: np.ndarray, popularity: np.ndarray) -> Columns:
    """`popularity`: (items + 1,) of a ranking, in shares of train's choices; index 0 is no item."""
    return {"image": pictures, "text": texts, "behaviour": histories, "table": cells}[encoder["kind"]](
        encoder, inputs, popularity
    )


def of_answers(encoder: dict[str, Any], answers: list[dict[str, Any]], popularity: np.ndarray) -> Columns:
    """Of answers as models/outputs.py gives them, or as the feedback store keeps them."""
    if encoder["task"] == "regression":
        return {"predicted value": np.array([one["value"] for one in answers], np.float64)}
    if encoder["task"] == "ranking":
        index = {label: place for place, label in enumerate(encoder["labels"], 1)}
        first = [index.get(name(one["items"][0]), 0) if one["items"] else 0 for one in answers]
        return {"popularity of the first item": popularity[first]}
    given = [one["probabilities"] for one in answers]
    highest = [max(one.values() if isinstance(one, dict) else one) for one in given]
    return {"predicted class": np.array([one["label"] for one in answers]), "its probability": np.array(highest)}


def name(item: Any) -> str:
    return item["item"] if isinstance(item, dict) else item


def pictures(encoder: dict[str, Any], inputs: np.ndarray, _: np.ndarray) -> Columns:
    """Light, and what is drawn: whatever differs from the picture's median, weighted by how far."""
    parts = [moments(inputs[start : start + STEP].astype(np.float64)) for start in range(0, len(inputs), STEP)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def moments(pixels: np.ndarray) -> Columns:
    """Of (N, C, H, W): places in pixels from the centre, sizes as standard deviations, slant in pixels a row."""
    grey = pixels.mean(axis=1)  # (N, H, W)
    ink = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True))
    height, width = ink.shape[1:]
    x, y = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):  # a picture of one grey has no ink: NaN
        ink /= ink.sum(axis=(1, 2), keepdims=True)
        across, down = ink.sum(axis=1), ink.sum(axis=2)  # (N, W), (N, H)
        middle_x, middle_y = across @ x, down @ y
        spread_x, spread_y = across @ x**2 - middle_x**2, down @ y**2 - middle_y**2
        together = np.einsum("nhw,h,w->n", ink, y, x) - middle_x * middle_y
        return {
            "brightness": grey.mean(axis=(1, 2)),
            "contrast": grey.std(axis=(1, 2)),
            "centre, across": middle_x,
            "centre, down": middle_y,
            "width": np.sqrt(spread_x.clip(0)),
            "height": np.sqrt(spread_y.clip(0)),
            "slant": -together / spread_y,
        }


def texts(encoder: dict[str, Any], inputs: np.ndarray, _: np.ndarray) -> Columns:
    there = inputs != encoder["padding"]
    lengths = there.sum(axis=1)
    found = {"length in tokens": lengths.astype(np.float64)}
    word = json.loads(encoder["tokenizer"])["model"].get("unk_token")
    if word is not None:
        unknown = tokens.tokenizer(encoder["tokenizer"], encoder["shape"][0]).token_to_id(word)
        found["share of unknown tokens"] = ((inputs == unknown) & there).sum(axis=1) / lengths.clip(1)
    return found


def histories(encoder: dict[str, Any], inputs: np.ndarray, popularity: np.ndarray) -> Columns:
    lengths = (inputs > 0).sum(axis=1)
    with np.errstate(invalid="ignore"):  # an empty history has no items: NaN
        mean = popularity[inputs].sum(axis=1) / lengths
    return {"length of the history": lengths.astype(np.float64), "popularity of its items": mean}


def cells(encoder: dict[str, Any], inputs: np.ndarray, _: np.ndarray) -> Columns:
    """Columns by their names: numbers in their unit, dates in days since the first of train, categories as texts."""
    found, place = {}, 0
    for column in encoder["columns"]:
        if column["type"] != "category":
            part = column["parts"][-1]  # the value, or the seconds
            at = place + len(column["parts"]) - 1
            values = inputs[:, at].astype(np.float64) / (part["multiply"] or np.inf) + part["subtract"]
            place = at + 1 + column["flag"]
            if column["flag"]:
                values[inputs[:, place - 1] == 1] = np.nan
            found[column["name"]] = values / (86_400 if column["type"] == "date" else 1)
    for column in encoder["columns"]:
        if column["type"] == "category":
            names = np.array(["(another)", *("(none)" if value is None else value for value in column["values"])])
            found[column["name"]] = names[inputs[:, place].astype(np.int64)]
            place += 1
    return found
