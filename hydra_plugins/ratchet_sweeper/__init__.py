"""Hydra's side of a sweep: whichever launcher is chosen starts workers, and each asks the study for trial after trial.

Hydra looks for sweepers in this namespace package alone.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class RatchetSweeperConf:
    _target_: str = "hydra_plugins.ratchet_sweeper.RatchetSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="ratchet", node=RatchetSweeperConf, provider="ratchet")


class RatchetSweeper(Sweeper):
    """Its task function is a worker's whole life, not a single trial: so no worker waits for another."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Starts the workers and returns what each of them returned; raises what one of them raised."""
        jobs = self.launcher.launch([[]] * self.config.workers, initial_job_idx=0)
        return [job.return_value for job in jobs]
