"""The command line that all stages share: overrides, or the locked settings."""

import argparse

from pipeline.config import composition
from pipeline.config.schema import Config


def stage_parser(verb: str, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"ratchet {verb}", description=description)
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="Hydra's grammar: optimizer.lr=0.01")
    parser.add_argument("--locked", action="store_true", help="take params.lock.yaml as it is, as the DVC stages do")
    return parser


def chosen(options: argparse.Namespace) -> Config:
    """params.lock.yaml as it is, or what conf/, params.yaml and the overrides compose to."""
    return composition.chosen(options.overrides, options.locked)
