"""ratchet sweep [setting=space …] [setting=value …] [sweep=NAME] [sweep.KEY=value …] [hydra/launcher=NAME]

Searches settings: a Hydra multirun whose trials are an Optuna study. Spaces are in Hydra's grammar, such as

  ratchet sweep 'optimizer.lr=tag(log,interval(1e-4,1e-2))' 'model.widths=choice([256],[512,256])' sweep.workers=2

Without a space, conf/sweep/SCENARIO.yaml has one; what sweep.KEY can be stands in conf/sweep/default.yaml. Killed, the
same command goes on.
"""

import argparse
from contextlib import closing

from pipeline.project.errors import ConfigError
from pipeline.sweeping.process import Server


def main(arguments: list[str]) -> int:
    describe = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("ratchet sweep", description=__doc__, formatter_class=describe)
    parser.add_argument("overrides", nargs="*", metavar="setting=…")
    options = parser.parse_args(arguments)
    with closing(Server()) as server:  # imports torch while the sweep is looked at
        try:
            from pipeline.sweeping import driver
        except ModuleNotFoundError as error:
            raise ConfigError(f"sweeps need {error.name}.\nType: pip install 'ratchet-ml[sweep]'") from None
        return driver.drive(options.overrides, server)
