"""ratchet init --data PATH [--target COLUMN]: look at a person's own data and write params.yaml for it.

PATH: a CSV, Parquet or JSON-lines file with a column to predict, or a folder of class folders of pictures.
"""

import argparse
import shlex
from pathlib import Path
from typing import Any

from pipeline.config import composition
from pipeline.config.naming import mend_name
from pipeline.config.writing import dump_yaml
from pipeline.data import proposal
from pipeline.project import paths
from pipeline.project.errors import DataError, RatchetError
from pipeline.project.files import write_text

BEFORE = Path("params.yaml.before-init")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "ratchet init", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a table's file, or a folder of class folders of pictures")
    parser.add_argument("--target", help="the column to predict")
    parser.add_argument("--kind", choices=["table", "text", "images"], help="default: as the data looks")
    parser.add_argument("--text", help="the column of texts, for --kind text; default: the longest")
    parser.add_argument("--group", help="a column: rows of one value stay on one side of the split")
    parser.add_argument("--time", help="a column: the latest rows are test, those before validation")
    parser.add_argument("--name", help="under which models are registered; default: the file's name")
    options = parser.parse_args(arguments)

    path = paths.typed(options.data)
    kind = options.kind or ("text" if options.text else None)
    if not path.exists():
        raise DataError(f"--data {options.data}: there is no such file or folder")
    name = mend_name(options.name or path.stem)
    if path.is_dir() or kind == "images":
        proposed = proposal.of_images(path, name)
    else:
        proposed = proposal.of_file(path, name, options.target, kind, options.text, options.group, options.time)
    print(proposed.shown)
    write(proposed.params, f"ratchet init {shlex.join(arguments)}")
    scenario = proposed.params["scenario"]
    print(f"{paths.PARAMS}: scenario {scenario}, data {name}. Correct it where it is wrong. Then type:")
    print("  dvc repro && ratchet promote")


def write(params: dict[str, Any], command: str) -> None:
    """Writes params.yaml if the settings compose; what stood there is kept beside it."""
    before = paths.PARAMS.read_bytes() if paths.PARAMS.is_file() else None
    text = dump_yaml(params, width=120)
    command = "".join(each if each.isprintable() else "?" for each in command)  # of a comment
    try:
        write_text(paths.PARAMS, f"# Written by: {command}\n# What is not here is set in conf/.\n{text}")
        composition.compose()
    except RatchetError:
        if before is not None:
            paths.PARAMS.write_bytes(before)
        raise
    if before is not None and before != paths.PARAMS.read_bytes():
        BEFORE.write_bytes(before)
        print(f"{BEFORE}: the settings that were there before")
