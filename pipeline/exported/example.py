"""Predicts with the model.onnx beside this file: python example.py records.json

Needs numpy and onnxruntime, and what encoding.py imports. records.json holds a list of records; encoding.py says what
one is and how it becomes an input, answers.py what an output means. In other languages do the same, by encoder.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from answers import answers
from encoding import encode

FOLDER = Path(__file__).parent


def main() -> None:
    encoder = json.loads((FOLDER / "encoder.json").read_text(encoding="utf-8"))
    records = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    inputs = encode(encoder, records)
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["outputs"], {"inputs": inputs})
    for answer in answers(encoder, inputs, outputs.astype(np.float64)):
        print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
