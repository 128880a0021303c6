"""Predicts with the model.onnx beside this file: python example.py records.json

Needs numpy and onnxruntime; for texts tokenizers as well. In other languages do the same, by encoder.json:

    inputs   pictures: uint8 (N, channels, height, width), unscaled
             tables: float32 (N, numbers + categories), scaled as `table` does
             behaviour: int32 (N, length), items' places among the labels, 1 and up, at the right; else 0
             texts: int32 (N, length), token ids at the left; else encoder["padding"]
    outputs  classification: logits (N, classes), whose softmax are the probabilities of encoder["labels"]
             regression: (N, 1) in standard deviations of the target around its mean
             ranking: a score for each of encoder["labels"] (N, items); what is in the history is not recommended

records.json holds a list: of pictures as rows of pixels 0 to 255, of texts, of lists of item ids, or of rows
{"column": value}, in which a number is a number, a date is written as in the training data, and null is missing.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
MISSING = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-")
TOP = 10

Encoder = dict[str, Any]  # encoder.json
Column = dict[str, Any]  # of encoder["columns"]


def image(encoder: Encoder, records: list[Any]) -> np.ndarray:
    return np.array(records, np.uint8).reshape(-1, *encoder["shape"])


def text(encoder: Encoder, records: list[Any]) -> np.ndarray:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(encoder["tokenizer"])
    tokenizer.no_padding()
    tokenizer.enable_truncation(encoder["shape"][0])
    tokenizer.encode_special_tokens = True
    texts = [record[encoder["column"]] if isinstance(record, dict) else record for record in records]
    return padded([one.ids for one in tokenizer.encode_batch(texts)], encoder, left=False)


def behaviour(encoder: Encoder, records: list[Any]) -> np.ndarray:
    places = {label: place for place, label in enumerate(encoder["labels"], start=1)}
    histories = [record["items"] if isinstance(record, dict) else record for record in records]
    return padded([[places[item] for item in history] for history in histories], encoder, left=True)


def padded(rows: list[list[int]], encoder: Encoder, left: bool) -> np.ndarray:
    length = max(encoder["shape"][0], *map(len, rows))
    inputs = np.full((len(rows), length), encoder.get("padding", 0), np.int32)
    for row, ids in enumerate(rows):
        start = length - len(ids) if left else 0
        inputs[row, start : start + len(ids)] = ids
    return inputs


def table(encoder: Encoder, records: list[Any]) -> np.ndarray:
    """Numbers and dates in the order of encoder["columns"], then categories."""
    rows: tuple[list[list[float]], list[list[float]]] = ([], [])
    marks = {"", *(mark.lower() for mark in encoder.get("missing_marks", MISSING))}
    for record in records:
        numbers: list[float] = []
        categories: list[float] = []
        for column in encoder["columns"]:
            value = cell(record[column["name"]], marks)
            if value is None and encoder["missing"] == "drop":
                raise ValueError(f"{column['name']} is missing; the model was made without such rows")
            if column["type"] == "category":
                categories.append(column["values"].index(value) + 1 if value in column["values"] else 0)
            else:
                numbers += measured(column, value)
        rows[0].append(numbers)
        rows[1].append(categories)
    return np.concatenate([np.array(part, np.float32).reshape(len(records), -1) for part in rows], axis=1)


def cell(value: Any, marks: set[str]) -> str | None:
    """A category's text as the encoder knows it; None where it is missing."""
    if isinstance(value, bool):
        return str(value).lower()
    value = "" if value is None else str(value).strip()
    whole = value.removesuffix(".0")
    return None if {value.lower(), whole} & marks else whole if whole.lstrip("+-").isdigit() else value


def measured(column: Column, value: str | None) -> list[float]:
    given = None if value is None else float(value) if column["type"] == "number" else seconds(value, column)
    number = column["fill"] if given is None else given
    number = max(number, column["low"]) if column["low"] is not None else number
    number = min(number, column["high"]) if column["high"] is not None else number
    scaled = [(part_of(number, part["part"], column) - part["subtract"]) * part["multiply"] for part in column["parts"]]
    return [*scaled, *[given is None] * column["flag"]]


def seconds(value: str, column: Column) -> float:
    """Since 1970, UTC; by the first of the column's forms that fits, otherwise as ISO writes it."""
    forms = [column["format"]] if isinstance(column["format"], str) else column["format"] or []
    for form in forms:
        try:
            moment = datetime.strptime(value, form.replace("%S%.f", "%S.%f").replace("%#z", "%z"))
            break
        except ValueError:
            continue
    else:
        moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def part_of(number: float, part: str, column: Column) -> float:
    if part in ("value", "seconds"):
        return number if part == "value" else number - column["start"]
    moment = datetime.fromtimestamp(number, UTC)
    return moment.isoweekday() if part == "weekday" else getattr(moment, part)


def answers(encoder: Encoder, inputs: np.ndarray, outputs: np.ndarray) -> list[dict[str, Any]]:
    if encoder["task"] == "regression":
        target = encoder["target"]
        return [{"value": value} for value in (outputs[:, 0] * target["std"] + target["mean"]).tolist()]
    labels = encoder["labels"]
    if encoder["task"] == "classification":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        return [{"label": labels[row.argmax()], "probabilities": row.tolist()} for row in shares]
    found = []
    for history, scores in zip(inputs, outputs, strict=True):
        scores[history[history > 0] - 1] = -np.inf
        best = (-scores).argsort(kind="stable")[: min(TOP, np.isfinite(scores).sum())]
        titles = encoder.get("titles") or labels
        found.append({name: [of[place] for place in best] for name, of in (("items", labels), ("titles", titles))})
        found[-1]["scores"] = scores[best].tolist()
    return found


def main() -> None:
    encoder = json.loads((FOLDER / "encoder.json").read_text(encoding="utf-8"))
    records = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    inputs = {"image": image, "text": text, "behaviour": behaviour, "table": table}[encoder["kind"]](encoder, records)
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["outputs"], {"inputs": inputs})
    for answer in answers(encoder, inputs, outputs.astype(np.float64)):
        print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
