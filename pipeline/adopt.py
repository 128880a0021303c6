"""ratchet adopt [STUDY | RUN] [--trial N]: write the settings of a sweep's best trial, or of any run, into params.yaml.

Nothing given: the best trial of the study whose trial finished last. With several objectives, one of the Pareto front
is chosen with --trial. RUN: an id of `ratchet runs`, the beginning of one, or a run's name. Comments, order and all
other settings stay; where the data is fetched, devices, tracking, registry and gate are not adopted. Then: dvc repro
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.project import paths
from pipeline.project.errors import ConfigError
from pipeline.project.files import read_json, write_text
from pipeline.project.tables import table

if TYPE_CHECKING:  # they import optuna and Hydra, which --help does without
    from pipeline.config.schema import Config
    from pipeline.sweeping.adopted_run import Adopted
    from pipeline.sweeping.params_edit import ParamsEdit


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "ratchet adopt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("which", nargs="?", metavar="STUDY|RUN")
    parser.add_argument("--trial", metavar="N", type=int, help="this one of the study, and not the best")
    parser.add_argument("--storage", metavar="URL", help="database of the studies; default: .ratchet/sweeps.db")
    options = parser.parse_args(arguments)

    try:
        from pipeline.sweeping.adopted_run import find_adopted
    except ModuleNotFoundError as error:
        raise ConfigError(f"studies need {error.name}.\nType: pip install 'ratchet-ml[sweep]'") from None
    found = find_adopted(options.which, options.trial, options.storage)
    done, threads = adopted(found)
    print(found.title)
    if done.changes:
        write_text(paths.PARAMS, done.text)
        print(table([(str(paths.PARAMS), "before", "now"), *done.changes]))
    else:
        print(f"{paths.PARAMS} has these settings already")
    for note in notes(found, done, threads):
        print(note)
    print(f"config hash {done.after.hash[:12]}, as of that run. Type: dvc repro")


def adopted(found: "Adopted") -> "tuple[ParamsEdit, int | None]":
    """The edit, and the number of threads that is a part of it."""
    from pipeline.config.composition import read_params
    from pipeline.sweeping.params_edit import edit_params

    read_params()  # says what is wrong with the file
    with paths.PARAMS.open(encoding="utf-8", newline="") as file:  # its line ends as they are
        text = file.read()
    done = edit_params(text, found.config, None)
    threads = None if found.threads in (None, threads_here(done.after)) else found.threads
    return (done if threads is None else edit_params(text, found.config, threads)), threads


def threads_here(config: "Config") -> int:
    import torch

    return config.trainer.threads or torch.get_num_threads()


def notes(found: "Adopted", done: "ParamsEdit", threads: int | None) -> Iterator[str]:
    """What else decides whether `dvc repro` gives the same numbers."""
    if threads is not None:
        yield f"trainer.threads: equal bytes need equal threads, and CPU threads were {threads} when it was trained"
    there, here = found.config.trainer, done.after.trainer
    for name in ("devices", "nodes", "deterministic", "validation_batch"):
        if getattr(there, name) != getattr(here, name):
            yield f"trainer.{name} is not adopted: {getattr(there, name)} there, {getattr(here, name)} here"
    spec = paths.PROCESSED / "spec.json"
    if spec.is_file() and not any(key.startswith(("data.", "pretrained.")) for key, *_ in done.changes):
        now, then = read_json(spec, "preprocess")["fingerprint"], found.tags.get("data.fingerprint")
        if then not in (None, now):
            yield (
                f"the data has changed since: it was trained on {then[:12]}, and {paths.PROCESSED} holds {now[:12]}; "
                "so `dvc repro` gives other metrics"
            )
