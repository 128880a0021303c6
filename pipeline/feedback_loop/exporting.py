"""Labels from the feedback store as raw data: data/feedback/labels.parquet, named under `labels` in params.yaml."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import polars as pl

from pipeline.config.schema import Config, Labels
from pipeline.feedback_loop.store import Labelled, Store
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import sha256, write_atomically, write_text
from pipeline.store.labels import COLUMNS, FILE


def chosen(config: Config, store: Store, after: int = 0) -> Iterator[Labelled]:
    """Labels of this model with higher numbers than `after` that the settings under `feedback` don't leave out."""
    since, skipped = first_moment(config.feedback.since), config.feedback.skip
    for one in store.labelled(after):
        left_out = any(low <= one.sequence <= high for low, high in skipped)
        if one.prediction.model == config.registry.model and one.time >= since and not left_out:
            yield one


def first_moment(day: str | None) -> float:
    """ms since 1970, at which the day begins in UTC."""
    return 0 if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000


def export(config: Config, store: Store) -> Labels | None:
    """All labels that are chosen, laid into data/feedback and kept in .ratchet/feedback; None if there are none."""
    rows = [row(one) for one in chosen(config, store)]
    if not rows:
        return None
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row").sort("number")
    temporary = paths.scratch() / "labels.parquet"
    table.write_parquet(temporary)
    labels = Labels(
        rows=len(table),
        sha256=sha256(temporary),
        until=cast("int", table["number"].max()),  # there are rows
        held_back=config.feedback.held_back,
    )
    write_atomically(kept(labels), lambda beside: shutil.copyfile(temporary, beside))
    lay(labels)
    for file in kept(labels).parent.glob("*.parquet"):
        if file not in (kept(labels), config.labels and kept(config.labels)):
            file.unlink()
    return labels


def row(one: Labelled) -> tuple[int, str, int, int, str, bytes, str]:
    given = one.prediction
    return one.sequence, given.id, one.time, given.version, given.kind, given.record, one.label


def kept(labels: Labels) -> Path:
    return paths.state("feedback", f"{labels.sha256}.parquet")


def lay(labels: Labels | None) -> None:
    """Makes data/feedback what the settings name; a table without rows if they name nothing."""
    if labels is None:
        write_atomically(FILE, pl.DataFrame(schema=COLUMNS).write_parquet)
        return
    if FILE.is_file() and sha256(FILE) == labels.sha256:
        return
    source = kept(labels)
    if not source.is_file():
        raise DataError(
            f"params.yaml names {labels.rows:,} labels from use, SHA-256 {labels.sha256}, and this clone does not have "
            f"them.\nType: dvc pull data/feedback   (or make them anew: ratchet feedback --export)"
        )
    # never into the file itself: it may be a link into DVC's cache
    write_atomically(FILE, lambda beside: shutil.copyfile(source, beside))


def name(labels: Labels | None) -> None:
    """Puts them under `labels` in params.yaml, or takes that key out of it; all else there stays."""
    from pipeline.config import editing
    from pipeline.config.composition import read_params

    there = "labels" in read_params()
    with paths.PARAMS.open(encoding="utf-8", newline="") as file:  # its line ends as they are
        text = file.read()
    if labels is not None:
        write_text(paths.PARAMS, editing.put(text, "labels", labels.model_dump()))
    elif there:
        write_text(paths.PARAMS, editing.drop(text, "labels"))
