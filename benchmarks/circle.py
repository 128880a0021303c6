"""The circle on real MNIST: python -m benchmarks.circle [--scenario mnist_mlp]. Prints the table of docs/feedback.md.

In a fresh clone: dvc repro, promote, serve; then 4,000 pictures of train, turned by 25 degrees, are asked and labelled,
first with 30% wrong labels, then with the right ones, each followed by `ratchet feedback --retrain`. Live accuracy is
that on 2,000 turned pictures of test, for which no label is ever given.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks.__main__ import REPOSITORY, run

LABELLED, ASKED, AT_ONCE = 4000, 2000, 500
RATCHET = [sys.executable, "-m", "pipeline"]
Answers = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.circle", description=__doc__)
    parser.add_argument("--scenario", default="mnist_mlp", choices=["mnist_mlp", "mnist_cnn", "mnist_cnn_small"])
    scenario = parser.parse_args().scenario
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
        params = {"scenario": scenario, "gate": {"minimum": {"test/accuracy": 0.9}}}
        (clone / "params.yaml").write_text(yaml.safe_dump(params))
        run(clone, "dvc", "repro")
        run(clone, "ratchet", "promote")
        with served(clone) as uri:
            for row in rounds(clone, uri):
                print(f"| {' | '.join(map(str, row))} |", flush=True)


def rounds(clone: Path, uri: str) -> Iterator[tuple[Any, ...]]:
    use, truth = read(clone, "train", LABELLED)
    fresh, fresh_truth = read(clone, "t10k", ASKED)
    yield "", "version", "upright", "turned by 25°", "retraining"
    yield "---", "---", "---", "---", "---"

    def line(what: str, told: str) -> tuple[Any, ...]:
        upright, turned = (accuracy(ask(uri, some), fresh_truth) for some in (fresh, turn(fresh)))
        return what, health(uri)["version"], f"{upright:.3f}", f"{turned:.3f}", told

    yield line("at first", "")
    answers = ask(uri, turn(use))
    generator = np.random.default_rng(0)
    wrong = truth.copy()
    places = generator.choice(LABELLED, LABELLED * 3 // 10, replace=False)
    wrong[places] = (wrong[places] + generator.integers(1, 10, len(places))) % 10
    for what, labels in (("30% of 4,000 labels wrong", wrong), ("all 4,000 corrected", truth)):
        for one, label in zip(answers, labels, strict=True):
            post(uri, "/feedback", {"prediction_id": one["prediction_id"], "label": str(label)})
        told = retrained(clone)
        time.sleep(5)  # beyond serving.watch_seconds
        yield line(what, told)
    yield line("the same labels again", retrained(clone))


def retrained(clone: Path) -> str:
    began = time.perf_counter()
    done = subprocess.run([*RATCHET, "feedback", "--retrain"], cwd=clone, capture_output=True, text=True)
    if done.returncode == 2:
        raise SystemExit(done.stdout + done.stderr)
    lines = done.stdout.splitlines()
    kept = [text for text in lines if text.startswith(("retraining", "promoted", "refused", "0 labels"))]
    kept += [f"{text.partition('  ')[0]} FAILED" for text in lines if " FAILED " in text]
    return f"{'; '.join(kept)} ({time.perf_counter() - began:.0f} s)"


def read(clone: Path, part: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The first pictures (rows, 28, 28) and labels (rows,) of a published split."""
    pictures = np.fromfile(clone / f"data/raw/{part}-images-idx3-ubyte", np.uint8, offset=16)
    labels = np.fromfile(clone / f"data/raw/{part}-labels-idx1-ubyte", np.uint8, offset=8)
    return pictures.reshape(-1, 28, 28)[:rows], labels[:rows].astype(int)


def turn(pictures: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(one).rotate(25, Image.Resampling.BILINEAR)) for one in pictures])


def accuracy(answers: Answers, truth: np.ndarray) -> float:
    return float(np.mean([one["label"] == str(label) for one, label in zip(answers, truth, strict=True)]))


def ask(uri: str, pictures: np.ndarray) -> Answers:
    parts = (pictures[start : start + AT_ONCE] for start in range(0, len(pictures), AT_ONCE))
    found = [post(uri, "/predict/batch", {"records": [{"pixels": one.tolist()} for one in part]}) for part in parts]
    return [one for each in found for one in each["predictions"]]


def post(uri: str, path: str, value: Any) -> dict[str, Any]:
    request = urllib.request.Request(uri + path, json.dumps(value).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def health(uri: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{uri}/health", timeout=10) as reply:
        return json.load(reply)


@contextmanager
def served(clone: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([*RATCHET, "serve", "--port", str(port)], cwd=clone, stdout=subprocess.DEVNULL) as process:
        uri, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                health(uri)
                break
            except OSError:
                time.sleep(0.2)
        try:
            yield uri
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
