"""What a worker forks its trials from: a process that has imported torch and Lightning, and never uses them itself.

So a trial starts in milliseconds, in a process that no other trial has touched. Pickled tasks come in, the pid of each
one and how it ended go out: through the pipes of one worker, or through a socket that a machine's workers share.
(multiprocessing's own fork server can't be started in joblib's workers.)
"""

import os
import pickle
import signal
import socket
import sys
from typing import Any, BinaryIO

from pipeline.project.output import survive


def serve(tasks: BinaryIO, answers: BinaryIO) -> None:
    """One trial at a time, until the worker closes its end."""
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


def share(path: str, owner: int) -> None:
    """Gives each worker that connects a copy of this process to fork its trials from; ends with its owner."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        listener.settimeout(1)
        import_all()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies that end leave nothing behind
        while os.getppid() == owner:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                connection.settimeout(None)
                serve(connection.makefile("rb"), connection.makefile("wb"))
                os._exit(0)
            connection.close()


def import_all() -> None:
    from pipeline.sweeping import trial  # noqa: F401 - once for all trials
    from pipeline.training import launch

    launch.import_lightning()


if __name__ == "__main__":
    survive()
    for signum in (signal.SIGINT, signal.SIGTERM):  # meant for the trial, which gets them too
        signal.signal(signum, signal.SIG_IGN)
    if len(sys.argv) > 1:
        share(sys.argv[1], int(sys.argv[2]))
    else:
        import_all()
        answers = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # what a library prints is no answer
        serve(sys.stdin.buffer, answers)
