"""ratchet feedback: how the champion does in use, by the labels that `ratchet serve` has stored; and what follows.

Nothing given: the score by version and day, and what has drifted from the training data → reports/feedback.html.
Exit code of --retrain: 0: promoted, or nothing to do; 1: the gate refused; 2: could not be finished, the next call goes
on with it.
"""

import argparse
import signal
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.config.arguments import chosen
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import RatchetError
from pipeline.project.files import write_json, write_text
from pipeline.project.secrets import redact

if TYPE_CHECKING:  # SQLAlchemy takes half a second
    from pipeline.feedback_loop.store import Store

REPORT, PAGE = paths.REPORTS / "feedback.json", paths.REPORTS / "feedback.html"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ratchet feedback", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="such as feedback.least=50")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--export", action="store_true", help="labels → data/feedback and params.yaml; then: dvc repro")
    what.add_argument("--retrain", action="store_true", help="if there is a reason: export, dvc repro, the gate")
    what.add_argument("--watch", action="store_true", help="--retrain whenever there is a reason, for ever")
    what.add_argument("--bring", action="store_true", help=argparse.SUPPRESS)  # the stage: data/feedback as in params
    parser.add_argument("--locked", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    if options.bring:
        from pipeline.feedback_loop import exporting

        exporting.lay(chosen(options).labels)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if options.watch else 143))  # what was started ends too
    if options.watch:
        return watch(options)
    config = chosen(options)
    act = export if options.export else retrain if options.retrain else show
    return act(config)


def opened(config: Config) -> "Store":
    from pipeline.feedback_loop.store import Store
    from pipeline.serving.service import database

    return Store(database(config.serving), config.serving.scrub)


def show(config: Config) -> int:
    from pipeline.feedback_loop import page
    from pipeline.feedback_loop.report import report

    with closing(opened(config)) as store:
        found = report(config, store)
    write_json(REPORT, found.as_json)
    write_text(PAGE, page.page(found))
    print(found.text)
    print(f"page: {PAGE}")
    return 0


def export(config: Config) -> int:
    from pipeline.feedback_loop import exporting
    from pipeline.store.labels import FILE

    with closing(opened(config)) as store:
        labels = exporting.export(config, store)
    if labels is None:
        raise RatchetError(f"no label of {config.registry.model} is in the store that the settings don't leave out")
    exporting.name(labels)
    print(f"{labels.rows:,} labels → {FILE}, SHA-256 {labels.sha256[:12]}…; type: dvc repro")
    return 0


def retrain(config: Config) -> int:
    from pipeline.feedback_loop import retraining

    try:
        return looked(config, quiet=False)
    except RatchetError as error:
        print(f"ratchet feedback: error: {redact(str(error))}", file=sys.stderr)
        return retraining.UNFINISHED


def looked(config: Config, quiet: bool) -> int:
    from pipeline.feedback_loop import retraining

    with closing(opened(config)) as store:
        return retraining.retrain(config, store, quiet) or 0


def watch(options: argparse.Namespace) -> int:
    """Until a retraining can't be finished: whoever watches this process hears of it by its end."""
    from pipeline.feedback_loop import attempts, retraining

    while True:
        config = chosen(options)  # they may have been edited
        try:
            looked(config, quiet=True)
        except attempts.Busy:
            pass  # whoever it is takes the same labels
        except RatchetError as error:
            print(f"ratchet feedback: error: {redact(str(error))}", file=sys.stderr)
            return retraining.UNFINISHED
        time.sleep(config.feedback.watch_seconds)
