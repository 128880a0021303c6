"""What stops a training, said in one message: what was given and what to type; and the signals that stop it."""

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config.schema import Config
from pipeline.project.errors import TrainingError
from pipeline.project.files import FULL, unwritable
from pipeline.training.stops import Interrupted

NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def explained(error: BaseException, config: Config, folder: Path) -> BaseException:
    """The same as a RatchetError where memory or disk ran out; anything else as it is. `folder`: what was written."""
    if isinstance(error, OSError) and error.errno in FULL:
        return unwritable(Path(error.filename).parent if error.filename else folder, error.errno)
    if out_of_memory(error):
        return TrainingError(without_memory(str(error), config))
    return error


def out_of_memory(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):  # torch's allocators and kernels raise it, torch.OutOfMemoryError among others
        return any(words in str(error) for words in NO_MEMORY)
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def without_memory(said: str, config: Config) -> str:
    batch, parts = config.training.batch_size, 2 * config.training.accumulate
    less = [f"training.accumulate={parts}   (the same steps in half the memory)"] if batch % parts == 0 else []
    less += [f"training.batch_size={batch // 2}"] if batch > 1 else ["a smaller model"]
    first = next(iter(said.splitlines()), "")[:300] or "MemoryError"
    return (
        f"out of memory: {first}\nGiven training.batch_size={batch}, training.accumulate={parts // 2}, "
        f"trainer.validation_batch={config.trainer.validation_batch}.\nType: {', or '.join(less)}"
    )


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT raise Interrupted, wherever Python is; Checkpointer.listening takes over for the steps."""
    if threading.current_thread() is not threading.main_thread():  # no signal reaches another one
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise Interrupted(signum)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
