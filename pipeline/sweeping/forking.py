"""What a worker forks its trials from: a process that has imported torch and Lightning, and never uses them itself.

So a trial starts in milliseconds, in a process that no other trial has touched. On stdin come pickled tasks, on stdout
go the pid of each and how it ended. (multiprocessing's own fork server can't be started in joblib's workers.)
"""

import os
import pickle
import signal
import sys
from typing import Any, BinaryIO


def serve(tasks: BinaryIO, answers: BinaryIO) -> None:
    """One trial at a time, until the worker closes its end."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # meant for the trial, which gets them too
        signal.signal(signum, signal.SIG_IGN)
    while (task := next_task(tasks)) is not None:
        pid = os.fork()
        if pid == 0:
            become(task, tasks, answers)
        say(answers, pid)
        _, status = os.waitpid(pid, 0)
        say(answers, os.waitstatus_to_exitcode(status))


def next_task(tasks: BinaryIO) -> Any:
    try:
        return pickle.load(tasks)  # from the worker that started this process
    except EOFError:
        return None


def say(answers: BinaryIO, number: int) -> None:
    answers.write(b"%d\n" % number)
    answers.flush()


def become(task: Any, *pipes: BinaryIO) -> None:
    """Never returns."""
    from pipeline.sweeping import trial

    code = 1
    try:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)
        for pipe in pipes:
            os.dup2(os.open(os.devnull, os.O_RDWR), pipe.fileno())
        trial.main(*task)
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of the server's is to be tidied up by its copy


if __name__ == "__main__":
    from pipeline.sweeping import trial  # noqa: F401 - imported once for all trials

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    serve(sys.stdin.buffer, answers)
