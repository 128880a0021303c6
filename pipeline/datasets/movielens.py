"""MovieLens 100K: who rated which film when. Harper and Konstan, 2015; for research, not to be redistributed.

The order of time is broken by ties: people rate a page of films at once, and half of all ratings share their second
with the one before. data.prepare.ties decides those. Nothing of a rating but its place in that order is used.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.data import FileSum, MovielensData, PrepareBehaviour, of_kind
from pipeline.config.schema import Config
from pipeline.project.errors import ConfigError, DataError
from pipeline.project.paths import RAW_AGAIN
from pipeline.store.splits import Fold, Prepared, Split, Unusable, refuse_too_many_unusable

RATINGS, FILMS = "u.data", "ml-100k.item"
RATED = {"1", "2", "3", "4", "5"}
FEWEST = 3  # films of a user: validation, test, and one before them
USER, ITEM, TIME, ROW = range(4)  # columns of the ratings
BUCKETS = {50: "under 50 films", 100: "50 to 99 films", 200: "100 to 199 films"}  # of a history, by its upper bound
AGAIN = f"Type: {RAW_AGAIN}"


def prepare(raw: Path, config: Config, fold: Fold | None = None) -> Prepared:
    """Each user's last film is test, the one before it validation, and each earlier one but the first is train.

    Train inputs hold the last `window` films before the target; those of validation and test hold all of them,
    because ranking leaves out what a user has seen.
    """
    if fold is not None:
        raise ConfigError("cv is for rows without an order; here each user's last two films are validation and test")
    data = of_kind(config.data, MovielensData)
    settings, files = data.prepare, data.source.files
    films = read_films(raw / FILMS, files)
    ratings, unusable = read_ratings(raw / RATINGS, films, files)
    ratings, dropped = histories(ratings, list(films), settings.ties)
    splits = split(ratings, settings.window, unusable + dropped)
    refuse_too_many_unusable(splits, settings.max_quarantined)
    encoder = describe(films, settings, splits["test"].inputs.shape[1])
    return Prepared(splits, encoder, statistics(ratings, splits), examples(splits["test"], encoder["labels"]))


def read(path: Path, files: dict[str, FileSum]) -> list[bytes]:
    """The lines of a raw file whose sum is right."""
    if path.name not in files:
        raise DataError(f"data.source.files has no sum for {path.name}; MovieLens is the two {RATINGS} and {FILMS}")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `ratchet download` fetches it.\nType: dvc repro download") from None
    if (given := hashlib.sha256(content).hexdigest()) != files[path.name].sha256:
        raise DataError(f"{path} was altered: SHA-256 {given};\nexpected {files[path.name].sha256}.\n{AGAIN}")
    return content.splitlines()


def read_films(path: Path, files: dict[str, FileSum]) -> dict[str, str]:
    """Item id → title with its year, in the file's order, which is that of the net's outputs."""
    films: dict[str, str] = {}
    for number, line in enumerate(read(path, files)[1:], start=2):  # line 1 names the columns
        fields = line.decode("utf-8", errors="replace").split("\t")
        if len(fields) < 3 or not fields[0].strip() or fields[0] in films:
            reason = "repeats an item" if fields[0] in films else "is not item, title, year and genres between tabs"
            raise DataError(f"{path} line {number} {reason}: {fields}.\nCorrect the file, then its sum in the settings")
        films[fields[0]] = f"{fields[1]} ({fields[2]})" if fields[2] else fields[1]
    if not films:
        raise DataError(f"{path} names no film; it has a header line and a line for each film.\n{AGAIN}")
    return films


def read_ratings(path: Path, films: dict[str, str], files: dict[str, FileSum]) -> tuple[np.ndarray, list[Unusable]]:
    """int64 (N, 4): user, item index, seconds since 1970, row; and the lines that are no rating."""
    index = {item: position for position, item in enumerate(films)}
    ratings, unusable = [], []
    for row, line in enumerate(read(path, files)):
        fields = line.decode("utf-8", errors="replace").split("\t")
        if reason := problem(fields, index):
            unusable.append(Unusable(row, f"line {row + 1} of {path.name}: {reason}", line))
        else:
            ratings.append((int(fields[0]), index[fields[1]], int(fields[3]), row))
    return np.array(ratings, np.int64).reshape(-1, 4), unusable


def problem(fields: list[str], index: dict[str, int]) -> str | None:
    if len(fields) != 4:
        return f"{len(fields)} fields; user, item, rating and timestamp are expected, with a tab between two"
    user, item, rating, timestamp = fields
    if not is_count(user):
        return f"the user {user!r} is no whole number"
    if item not in index:
        return f"the item {item!r} is not in {FILMS}"
    if rating not in RATED:
        return f"the rating {rating!r} is not 1 to 5"
    return None if is_count(timestamp) else f"the timestamp {timestamp!r} is no whole number of seconds"


def is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18  # fits int64


def histories(ratings: np.ndarray, items: list[str], ties: str) -> tuple[np.ndarray, list[Unusable]]:
    """Ratings (N, 4) by user and time, without later ratings of one film and users with too few; and those."""
    tie = ratings[:, ITEM if ties == "item" else ROW]
    ratings = ratings[np.lexsort((tie, ratings[:, TIME], ratings[:, USER]))]
    _, first = np.unique(ratings[:, [USER, ITEM]], axis=0, return_index=True)
    again = np.ones(len(ratings), bool)
    again[first] = False
    unusable = [refused(row, items, "had rated the film before") for row in ratings[again].tolist()]
    ratings = ratings[~again]
    _, place, number = np.unique(ratings[:, USER], return_inverse=True, return_counts=True)
    few = (number < FEWEST)[place]
    reason = f"has fewer than {FEWEST} films: one each for validation and test, after one"
    unusable += [refused(row, items, reason) for row in ratings[few].tolist()]
    if few.all():
        raise DataError(f"{RATINGS} has no user with {FEWEST} films or more; there is nothing to learn or to rank")
    return ratings[~few], unusable


def refused(rating: list[int], items: list[str], reason: str) -> Unusable:
    user, item, time, row = rating
    record = f"user {user}, item {items[item]}, timestamp {time}".encode()
    return Unusable(row, f"line {row + 1} of {RATINGS}: user {user} {reason}", record)


def split(ratings: np.ndarray, window: int, unusable: list[Unusable]) -> dict[str, Split]:
    """Of `ratings` in order, (N, 4); what can't be used is counted with train."""
    first = np.flatnonzero(np.diff(ratings[:, USER], prepend=-1))  # (users,) position of each user's first film
    last = np.append(first[1:], len(ratings)) - 1
    longest = int((last - first).max())  # films before a test target
    start = np.repeat(first, last - first + 1)  # (N,)
    position = np.arange(len(ratings))
    targets = {
        "train": position[(position > start) & (position < np.repeat(last - 1, last - first + 1))],
        "val": last - 1,
        "test": last,
    }
    if not len(targets["train"]):
        raise DataError(f"{RATINGS} has no user with {FEWEST + 1} films or more; there is nothing to learn from")
    splits = {}
    for name, at in targets.items():
        inputs = before(ratings[:, ITEM], at, start[at], window if name == "train" else longest)
        slices = {"history": [bucket(length) for length in (at - start[at]).tolist()]} if name == "test" else {}
        bad = unusable if name == "train" else []
        splits[name] = Split(inputs, ratings[at, ITEM], ratings[at, ROW], bad, slices)
    return splits


def before(items: np.ndarray, at: np.ndarray, start: np.ndarray, width: int) -> np.ndarray:
    """int32 (N, width): item index + 1 of the films from `start` up to, not including, `at`, the latest last."""
    places = at[:, None] + np.arange(-width, 0)  # (N, width)
    return np.where(places >= start[:, None], items[places.clip(0)] + 1, 0).astype(np.int32)


def bucket(length: int) -> str:
    return next((name for bound, name in BUCKETS.items() if length < bound), "200 films or more")


def describe(films: dict[str, str], settings: PrepareBehaviour, longest: int) -> dict[str, Any]:
    return {
        "kind": "behaviour",
        "task": "ranking",
        "shape": [longest],
        "dtype": "int32",
        "labels": list(films),
        "titles": list(films.values()),
        "window": settings.window,
    }


def statistics(ratings: np.ndarray, splits: dict[str, Split]) -> dict[str, float]:
    """Of the ratings before validation and test."""
    held_out = np.isin(ratings[:, ROW], np.append(splits["val"].rows, splits["test"].rows))
    train = ratings[~held_out]
    users, films = (len(np.unique(train[:, column])) for column in (USER, ITEM))
    return {"users": users, "ratings": len(train), "films": films, "mean_history": len(train) / users}


def examples(test: Split, labels: list[str]) -> list[list[str]]:
    """The two shortest histories of test, as lists of item ids."""
    shortest = np.argsort((test.inputs > 0).sum(1), kind="stable")[:2]
    return [[labels[item - 1] for item in row if item] for row in test.inputs[shortest].tolist()]
