"""The command line that all stages share: overrides, or the locked settings."""

import argparse

from pipeline.config import lock
from pipeline.config.schema import Config
from pipeline.project.errors import ConfigError


def stage_parser(verb: str, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"ratchet {verb}", description=description)
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="Hydra's grammar: optimizer.lr=0.01")
    parser.add_argument("--locked", action="store_true", help="take params.lock.yaml as it is, as the DVC stages do")
    return parser


def chosen(options: argparse.Namespace) -> Config:
    """params.lock.yaml as it is, or what conf/, params.yaml and the overrides compose to."""
    if not options.locked:
        from pipeline.config.composition import compose  # imports Hydra, which the stages can do without

        return compose(options.overrides)
    if options.overrides:
        raise ConfigError("--locked takes no overrides: the settings are those of params.lock.yaml")
    return lock.load()
