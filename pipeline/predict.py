"""ratchet predict FILE: score a file with the champion, or with a bundle, in streams.

FILE: a table (CSV, Excel, Parquet, JSON) with the columns of the training data, or for pictures a folder or a picture.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import polars as pl
import torch

from pipeline.kinds.encoding import chosen, encode_usable
from pipeline.kinds.kind import of
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import write_atomically
from pipeline.project.spreadsheets import guarded
from pipeline.tables import batches
from pipeline.tables.batches import Batch
from pipeline.tasks import task as tasks

SUFFIX = ".predictions"
NOT_FINITE = "the model has no finite answer; are all of its numbers plausible?"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("ratchet predict", description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--bundle", help="a bundle's folder, such as models/bundle, instead of the champion")
    parser.add_argument("--model", help="an MLflow model, such as models:/orders/3; default: models:/NAME@champion")
    parser.add_argument("--out", help="a .csv or .jsonl to write; default: FILE.predictions.csv")
    parser.add_argument(
        "--raw-cells",
        action="store_true",
        help="texts in .csv files as they are, also such as =A1, which a spreadsheet runs; else with a ' before them",
    )
    options = parser.parse_args(arguments)
    source = paths.typed(options.file)
    if not source.exists():
        raise DataError(f"{options.file} does not exist; give a table, a picture or a folder of pictures")
    out = paths.typed(options.out) if options.out else source.with_name(f"{source.name}{SUFFIX}.csv")
    if out.suffix not in (".csv", ".jsonl"):
        raise DataError(f"--out is {out}; it must end in .csv or .jsonl")
    unusable = out.with_name(f"{out.stem.removesuffix(SUFFIX)}.unusable.csv")
    if source in (out, unusable):
        raise DataError(f"{source} would be overwritten; give --out another name, such as {source.stem}-answers.csv")
    bundle = Bundle.load(paths.typed(options.bundle) if options.bundle else champion(options.model))
    read = batches.pictures if of(bundle.encoder).in_files else batches.rows
    written = Written(source, out, unusable, (lambda frame: frame) if options.raw_cells else guarded)
    written.write(scored(bundle, read(source)))
    print(written.told())


class Written:
    """The file of answers, and beside it that of the records without one, if there are any."""

    def __init__(self, source: Path, out: Path, unusable: Path, cells: Callable[[pl.DataFrame], pl.DataFrame]):
        self.source, self.out, self.unusable, self.cells = source, out, unusable, cells
        self.answered = self.left = 0
        self.first = ""  # of those without an answer

    def write(self, parts: Iterable[tuple[pl.DataFrame, pl.DataFrame]]) -> None:
        def both(listed: Path) -> None:
            write_atomically(self.out, lambda answers: self.fill(parts, answers, listed))

        write_atomically(self.unusable, both)
        if not self.left:
            self.unusable.unlink()

    def fill(self, parts: Iterable[tuple[pl.DataFrame, pl.DataFrame]], answers: Path, listed: Path) -> None:
        with answers.open("wb") as file, listed.open("wb") as beside:
            for answered, left in parts:
                if self.out.suffix == ".csv":
                    self.add(file, flat(answered), self.answered)
                else:
                    answered.write_ndjson(file)
                self.add(beside, left, self.left)
                if left.height and not self.left:
                    self.first = "{} {}: {}".format(left.columns[0], *left.row(0))
                self.answered, self.left = self.answered + answered.height, self.left + left.height
        if not self.answered:
            self.refuse()
        self.unusable.unlink(missing_ok=True)  # of an earlier run

    def add(self, file: BinaryIO, frame: pl.DataFrame, before: int) -> None:
        if frame.height:
            self.cells(frame).write_csv(file, include_header=before == 0)

    def refuse(self) -> None:
        if not self.left:
            raise DataError(f"{self.source} holds nothing to answer: no row, or no file")
        raise DataError(f"none of the {self.left:,} records of {self.source} can be answered; {self.first}")

    def told(self) -> str:
        """A line for standard output, and a warning."""
        if self.left:
            print(
                f"ratchet predict: warning: {self.left:,} records have no prediction; {self.unusable} lists them with "
                f"the reason. The first: {self.first}",
                file=sys.stderr,
            )
        more = f" + {self.left:,} unusable → {self.unusable}" if self.left else ", none unusable"
        return f"{self.answered + self.left:,} records = {self.answered:,} predictions → {self.out}{more}"


def champion(uri: str | None) -> Path:
    """The verified bundle of a registered version, fetched from MLflow."""
    from pipeline.registry import uris, versions
    from pipeline.tracking import mlflow_store

    with mlflow_store.answering("ratchet predict", "Score with the bundle itself instead: --bundle models/bundle"):
        client = mlflow_store.client()
        return versions.fetched(client, uris.named(client, uri))


def scored(bundle: Bundle, parts: Iterable[Batch]) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """For each batch what stands for the record, then the answer; and of those without one the reason, the record."""
    for batch in parts:
        reasons = dict(batch.unread)
        places = [place for place in range(len(batch.names)) if place not in reasons]
        inputs, found = encode_usable(bundle.encoder, chosen(batch.records, places) if reasons else batch.records)
        reasons |= {places[place]: reason for place, reason in found.items()}
        places = [place for place in places if place not in reasons]
        answers, finite = answered(bundle, torch.from_numpy(inputs))
        reasons |= {places[place]: NOT_FINITE for place in (~finite).nonzero().flatten().tolist()}
        places = [place for place in places if place not in reasons]
        left = sorted(reasons)
        told = {"reason": [reasons[place] for place in left], "record": [batch.text(place) for place in left]}
        listed = pl.DataFrame({batch.names.name: batch.names[left], **told}, schema_overrides={"record": pl.String})
        if isinstance(batch.records, list):  # of pictures, which are in their files
            listed = listed.drop("record")
        yield answers.insert_column(0, batch.names[places]) if places else pl.DataFrame(), listed


def answered(bundle: Bundle, inputs: torch.Tensor) -> tuple[pl.DataFrame, torch.Tensor]:
    """The answers that are finite numbers, and which of `inputs` (N, …) have one, (N,) bool."""
    size, task = of(bundle.encoder).at_once, tasks.of(bundle.encoder)
    frames, finite = [pl.DataFrame()], [torch.ones(0, dtype=torch.bool)]
    for part in torch.split(inputs, size) if len(inputs) else ():
        outputs = bundle.outputs(part)
        finite.append(outputs.isfinite().all(dim=1))
        frames.append(task.table(outputs[finite[-1]], part[finite[-1]], bundle.encoder))
    return pl.concat([frame for frame in frames if frame.height] or frames[:1]), torch.cat(finite)


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """CSV has no lists: their members stand in one field with a bar between them."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    return frame.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join("|") for name in lists)
