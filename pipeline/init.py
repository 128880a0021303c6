"""ratchet init --data PATH [--target COLUMN]: look at a person's own data and write params.yaml for it.

PATH: a CSV, Excel, Parquet or JSON file, packed or not, with a column to predict, or a folder of class folders of
pictures.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config import composition
from pipeline.config.naming import mend_name
from pipeline.config.schema import Config
from pipeline.config.writing import dump_yaml
from pipeline.datasets import vocabulary
from pipeline.own_data import dry_run, image_settings, table_settings
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import write_text
from pipeline.project.terminal import loud

BEFORE = Path("params.yaml.before-init")


def main(arguments: list[str]) -> None:
    options = read_options(arguments)
    path = paths.typed(options.data)
    kind = options.kind or ("text" if options.text else None)
    if not path.exists():
        raise DataError(f"--data {options.data}: there is no such file or folder")
    name, command = mend_name(options.name or path.stem), f"ratchet init {shlex.join(arguments)}"
    if path.is_dir() or kind == "images":
        proposed = image_settings.of_images(path, name)
        print(proposed.shown)
        with settings_kept():
            write(proposed.params, command)
    else:
        wishes = table_settings.Wishes(
            kind, options.text, options.group, options.time, options.task, options.missing, options.header
        )
        proposed = table_settings.of_file(path, name, options.target, wishes)
        print(proposed.shown)
        with settings_kept():
            write_rehearsed(proposed.params, command, path)
        data = proposed.params["data"]
        if data["kind"] == "text" and (said := vocabulary.foreign(path, data["prepare"])):
            print(loud(said))
    for warning in proposed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    scenario = proposed.params["scenario"]
    print(f"{paths.PARAMS}: scenario {scenario}, data {name}. Correct it where it is wrong. Then type:")
    print("  dvc repro && ratchet promote")


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "ratchet init", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a table's file, or a folder of class folders of pictures")
    parser.add_argument("--target", help="the column to predict")
    parser.add_argument("--kind", choices=["table", "text", "images"], help="default: as the data looks")
    parser.add_argument("--task", choices=["classification", "regression"], help="default: as the target looks")
    parser.add_argument("--text", help="the column of texts, for --kind text; default: the longest")
    parser.add_argument("--group", help="a column: rows of one value stay on one side of the split")
    parser.add_argument("--time", help="a column: the latest rows are test, those before validation")
    parser.add_argument("--missing", action="append", default=[], help="a word or number that means a missing cell")
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first row names the columns; default: as it looks",
    )
    parser.add_argument("--name", help="under which models are registered; default: the file's name")
    return parser.parse_args(arguments)


def write_rehearsed(params: dict[str, Any], command: str, file: Path) -> None:
    """With the share of rows that preprocess has to set apart, and what it will do with each row, said."""
    config = write(params, command)
    account = dry_run.rehearse(file, config)
    print(account.told())
    if account.share > config.data.prepare.max_quarantined:
        params["data"]["prepare"]["max_quarantined"] = account.share
        write(params, command)
        print(f"  data.prepare.max_quarantined: {account.share:g} is set, so that preprocess goes on without them")


def write(params: dict[str, Any], command: str) -> Config:
    text = dump_yaml(params, width=120)
    command = "".join(each if each.isprintable() else "?" for each in command)  # of a comment
    write_text(paths.PARAMS, f"# Written by: {command}\n# What is not here is set in conf/.\n{text}")
    return composition.compose()


@contextmanager
def settings_kept() -> Iterator[None]:
    """params.yaml stays as it was if what is done fails; otherwise what stood there is kept beside it."""
    before = paths.PARAMS.read_bytes() if paths.PARAMS.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            paths.PARAMS.unlink(missing_ok=True)
        else:
            paths.PARAMS.write_bytes(before)
        raise
    if before is not None and before != paths.PARAMS.read_bytes():
        BEFORE.write_bytes(before)
        print(f"{BEFORE}: the settings that were there before")
