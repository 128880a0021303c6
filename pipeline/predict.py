"""ratchet predict FILE: score a file with the champion, or with a bundle, in streams.

FILE: a table (CSV, Excel, Parquet, JSON) with the columns of the training data, or for pictures a folder or a picture.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import torch

from pipeline.data.encoding import encode
from pipeline.data.reading import RAGGED, Table, open_table
from pipeline.data.sniffing import format_of
from pipeline.models import outputs as meaning
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import write_atomically

ROWS = 20_000  # of a table at once
PICTURES = 200


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("ratchet predict", description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--bundle", help="a bundle's folder, such as models/bundle, instead of the champion")
    parser.add_argument("--model", help="an MLflow model, such as models:/orders/3; default: models:/NAME@champion")
    parser.add_argument("--out", help="a .csv or .jsonl to write; default: FILE.predictions.csv")
    options = parser.parse_args(arguments)
    source = paths.typed(options.file)
    if not source.exists():
        raise DataError(f"{options.file} does not exist; give a table, a picture or a folder of pictures")
    out = paths.typed(options.out) if options.out else source.with_name(f"{source.name}.predictions.csv")
    if out.suffix not in (".csv", ".jsonl"):
        raise DataError(f"--out is {out}; it must end in .csv or .jsonl")
    bundle = Bundle.load(paths.typed(options.bundle) if options.bundle else champion(options.model))
    rows = 0

    def write(temporary: Path) -> None:
        nonlocal rows
        with temporary.open("wb") as file:
            for part in scored(bundle, source):
                if out.suffix == ".csv":
                    flat(part).write_csv(file, include_header=rows == 0)
                else:
                    part.write_ndjson(file)
                rows += part.height

    write_atomically(out, write)
    print(f"{rows:,} predictions → {out}")


def champion(uri: str | None) -> Path:
    """The verified bundle of a registered version, fetched from MLflow."""
    from pipeline.registry import aliases, versions
    from pipeline.tracking import mlflow_store

    with mlflow_store.answering("Score with the bundle itself instead: --bundle models/bundle"):
        client = mlflow_store.client()
        return versions.fetched(client, aliases.named(client, uri))


def scored(bundle: Bundle, file: Path) -> Iterator[pl.DataFrame]:
    """Frames of a batch each: what stands for the record, then the answer."""
    batches = picture_batches(file) if bundle.encoder["kind"] == "image" else table_batches(file)
    for named, records in batches:
        try:
            inputs = torch.from_numpy(encode(bundle.encoder, records))
        except DataError as error:  # it counts records from the batch's first
            raise DataError(f"{file}, counted from {named.columns[0]} {named.item(0, 0)} on: {error}") from None
        answers = [answered(bundle, part) for part in inputs.split(ROWS if inputs.ndim == 2 else PICTURES)]
        yield pl.concat([named, pl.concat(answers)], how="horizontal")


def answered(bundle: Bundle, inputs: torch.Tensor) -> pl.DataFrame:
    outputs, encoder = bundle.outputs(inputs), bundle.encoder
    if encoder["task"] == "classification":
        probabilities = outputs.double().softmax(dim=1)  # (N, C)
        labels = pl.Series(encoder["labels"], dtype=pl.String)[probabilities.argmax(dim=1).numpy()]
        shares = zip(encoder["labels"], probabilities.T, strict=True)
        return pl.DataFrame({"label": labels, **{f"p_{label}": share.numpy() for label, share in shares}})
    if encoder["task"] == "regression":
        return pl.DataFrame({"value": meaning.unscaled(outputs, encoder).numpy()})
    return pl.DataFrame(meaning.ranked(outputs, inputs, encoder))


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """CSV has no lists: their members stand in one field with a bar between them."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    return frame.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join("|") for name in lists)


def picture_batches(file: Path) -> Iterator[tuple[pl.DataFrame, list[bytes]]]:
    files = sorted(one for one in file.rglob("*") if one.is_file()) if file.is_dir() else [file]
    for start in range(0, len(files), PICTURES):
        some = files[start : start + PICTURES]
        names = [str(one.relative_to(file) if file.is_dir() else one) for one in some]
        yield pl.DataFrame({"file": names}), [one.read_bytes() for one in some]


def refuse_ragged(table: Table, frame: pl.DataFrame) -> None:
    if len(wrong := frame[RAGGED].drop_nulls()):
        raise DataError(f"a line of {table.path} is no row of the table: {wrong[0]}")


def table_batches(file: Path) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    start = 0
    with tempfile.TemporaryDirectory(prefix="ratchet-") as scratch:
        table = open_table(file, format_of(file), Path(scratch))
        for frame in table.frame.collect_batches(chunk_size=ROWS, maintain_order=True):
            refuse_ragged(table, frame)
            yield pl.DataFrame({"row": range(start, start + frame.height)}), frame
            start += frame.height
