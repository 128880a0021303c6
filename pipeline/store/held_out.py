"""The test split as a user would give it: any version of the model can be asked, whatever its own encoder is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from pipeline.kinds.encoding import raw
from pipeline.kinds.kind import of
from pipeline.project import paths
from pipeline.store import processed
from pipeline.store.labels import HELD_BACK

NAME = "records.parquet"  # of data/processed; pictures and histories are read back from the split itself
GROUP = 100_000  # rows; a fixed number, so that the same rows give the same bytes on any number of cores
TRAIN = "train_texts.parquet"  # ROW and the text; for baselines, which need not read by the net's tokens
ROW = " row"  # no column's name begins with a blank: reading.stripped


@dataclass(frozen=True)
class HeldOut:
    """N records in the order of the split."""

    records: Any  # as pipeline/kinds/KIND/encoder.py takes them, and can be cut: records[a:b]
    targets: list[str] | np.ndarray  # (N,) labels, or float64 in a regression
    slices: pl.DataFrame  # a column for each way to slice the rows, or none
    sha256: str

    def __len__(self) -> int:
        return len(self.targets)


def held_out(folder: Path = paths.PROCESSED) -> HeldOut:
    spec, encoder = processed.load_spec(folder), processed.load_encoder(folder)
    split = processed.load_split("test", spec, folder)
    targets, slices = split["targets"].numpy(), processed.file(processed.SLICES, spec, folder)
    return HeldOut(
        records=records(encoder, split["inputs"].numpy(), spec, folder),
        targets=[encoder["labels"][target] for target in targets] if encoder["labels"] else targets.astype(np.float64),
        slices=pl.DataFrame() if slices is None else pl.read_parquet(slices),
        sha256=spec["splits"]["test"]["sha256"],
    )


def held_back(folder: Path = paths.PROCESSED) -> HeldOut | None:
    """The labels from use that nothing was trained on; None if this data has none."""
    spec, encoder = processed.load_spec(folder), processed.load_encoder(folder)
    path = processed.file(HELD_BACK, spec, folder)
    if path is None:
        return None
    table = pl.read_parquet(path)
    labels = table["label"].to_list()
    return HeldOut(
        records=[raw(encoder, kind, record) for kind, record in table.select("kind", "record").iter_rows()],
        targets=labels if encoder["labels"] else np.array(labels, np.float64),
        slices=pl.DataFrame(),
        sha256=spec["files"][HELD_BACK],
    )


def records(encoder: dict[str, Any], inputs: np.ndarray, spec: Mapping[str, Any], folder: Path) -> Any:
    told = of(encoder).held_out(encoder, inputs)
    return raw_records(spec, folder) if told is None else told


def raw_records(spec: Mapping[str, Any], folder: Path) -> pl.DataFrame:
    """Of a kind whose records can't be read back from the split: preprocess leaves a file of them."""
    return pl.read_parquet(cast("Path", processed.file(NAME, spec, folder)))


def write(frame: pl.LazyFrame, rows: np.ndarray, folder: Path) -> dict[str, Path]:
    """The `rows` (n,), ascending, of a raw table in a file of `folder`; as Prepared.files wants it."""
    chosen = pl.LazyFrame({ROW: rows}, schema={ROW: pl.UInt32})
    numbered = frame.with_row_index(ROW)
    found = numbered.join(chosen, on=ROW, how="semi", maintain_order="left").drop(ROW)
    found.sink_parquet(folder / NAME, row_group_size=GROUP)
    return {NAME: folder / NAME}


def write_train(texts: Sequence[str], numbers: np.ndarray, chosen: np.ndarray, folder: Path) -> dict[str, Path]:
    """The `chosen` (n,) texts, with their rows in the raw file, in a file of `folder`; as Prepared.files wants it."""
    frame = pl.DataFrame({ROW: numbers[chosen], "text": [texts[place] for place in chosen]})
    frame.write_parquet(folder / TRAIN, row_group_size=GROUP)
    return {TRAIN: folder / TRAIN}


def texts(
    encoder: dict[str, Any], spec: Mapping[str, Any], folder: Path = paths.PROCESSED
) -> tuple[dict[int, str], list[str]] | None:
    """Of text data: row in the raw file → text of train, and the texts of test in the order of the split.

    Of train's labels from use there are none. None where data/processed was made before they were kept.
    """
    if (path := processed.file(TRAIN, spec, folder)) is None:
        return None
    train = pl.read_parquet(path)
    tests = raw_records(spec, folder)[encoder["column"]].to_list()
    return dict(zip(train[ROW].to_list(), train["text"].to_list(), strict=True)), tests
