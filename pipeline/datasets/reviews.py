"""Movie reviews: snippets of Rotten Tomatoes, rated from −4 to 4. Hutto and Gilbert, ICWSM 2014; MIT."""

import hashlib
import html
import math
from pathlib import Path

import numpy as np

from pipeline.config.data import FileSum, ReviewsData, of_kind
from pipeline.config.schema import Config
from pipeline.datasets.texts import Corpus, describe, prepared
from pipeline.project.errors import DataError
from pipeline.project.paths import RAW_AGAIN
from pipeline.store.splits import Fold, Prepared, Unusable

FILE = "movieReviewSnippets_GroundTruth.txt"
LABELS = ["negative", "positive"]
AGAIN = f"Type: {RAW_AGAIN}"


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """Positive is a mean rating above 0, negative one below; the few at 0 are neither and left out."""
    data = of_kind(config.data, ReviewsData)
    settings = data.prepare
    corpus, neutral = read(raw / FILE, data.source.files)
    encoder = describe(raw, "classification", LABELS, "text", settings.max_length)
    done = prepared(corpus, encoder, (settings.validation, settings.test), settings.max_quarantined, raw, fold)
    done.statistics["neutral"] = neutral
    return done


def read(path: Path, files: dict[str, FileSum]) -> tuple[Corpus, int]:
    """The reviews, and how many were neutral."""
    texts, targets, rows, unusable, neutral = [], [], [], [], 0
    for row, line in enumerate(lines(path, files)):
        fields = line.decode("utf-8", errors="replace").split("\t")
        if reason := problem(fields):
            unusable.append(Unusable(row, f"line {row + 1} of {FILE}: {reason}", line))
        elif (rating := float(fields[1])) == 0:
            neutral += 1
        else:
            texts.append(html.unescape(fields[2]))  # the file has &amp; for &
            targets.append(int(rating > 0))
            rows.append(row)
    return Corpus(texts, np.array(targets, np.int64), np.array(rows, np.int64), unusable, LABELS), neutral


def lines(path: Path, files: dict[str, FileSum]) -> list[bytes]:
    if FILE not in files:
        raise DataError(f"data.source.files has no sum for {FILE}, which is what this kind of data reads")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `ratchet download` fetches it.\nType: dvc repro download") from None
    if (given := hashlib.sha256(content).hexdigest()) != files[FILE].sha256:
        raise DataError(f"{path} was altered: SHA-256 {given};\nexpected {files[FILE].sha256}.\n{AGAIN}")
    return content.splitlines()


def problem(fields: list[str]) -> str | None:
    if len(fields) != 3:
        return f"{len(fields)} fields; id, mean rating and text are expected, with a tab between two"
    try:
        rating = float(fields[1])
    except ValueError:
        rating = math.nan
    if not -4 <= rating <= 4:
        return f"the mean rating {fields[1]!r} is no number from -4 to 4"
    if "\ufffd" in fields[2]:
        return "the text is not UTF-8"
    return None if fields[2].strip() else "the text is empty"
