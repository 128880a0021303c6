"""What ends a training before its last epoch. Light: a verb that finds its training done imports no Lightning."""

import signal


class Interrupted(BaseException):
    """A SIGTERM or SIGINT, raised between two blocks of steps once the checkpoint is safe."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class Pruned(BaseException):
    """Stopped at the end of an epoch because it lagged behind other trials."""

    def __init__(self, epoch: int):
        super().__init__(f"pruned at epoch {epoch}")
        self.epoch = epoch
