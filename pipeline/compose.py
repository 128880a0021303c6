"""ratchet compose [setting=value …]: settle the settings and write params.lock.yaml."""

import argparse

from pipeline.config import composition, lock
from pipeline.project import paths


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("ratchet compose", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="Hydra's grammar: optimizer.lr=0.01")
    config = composition.compose(parser.parse_args(arguments).overrides)
    lock.write(config)
    print(f"{paths.LOCK}: scenario {config.scenario}, config hash {config.hash[:12]}")
