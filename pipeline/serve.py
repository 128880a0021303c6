"""ratchet serve: the champion over HTTP, with a page to try it and a store of what was predicted and what was right.

A new champion takes over while requests run; one that can't be loaded leaves the old one serving, and /health says so.
"""

import argparse
import atexit
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from pipeline.config.arguments import chosen
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import RatchetError, RegistryError
from pipeline.project.files import quoted
from pipeline.project.processes import end_with
from pipeline.project.secrets import redact

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS = 65535
AGAIN = 2.0  # seconds before a watcher that has died is started again


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ratchet serve", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="setting=value", help="such as serving.scrub=true")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for every network; then with --token-file")
    parser.add_argument("--port", type=port, default=8000, help="0: any that is free")
    parser.add_argument(
        "--workers", type=int, choices=range(1, 129), default=1, metavar="N", help="processes that answer"
    )
    parser.add_argument(
        "--token-file", help="a file whose one line every request has to bring: Authorization: Bearer …"
    )
    parser.add_argument("--locked", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--watch", type=int, metavar="PID", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    options.host = options.host.strip("[]")  # as an IPv6 address stands in a URL
    config = chosen(options)
    if options.watch:
        end_with(options.watch)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return watched(config.registry.model, config.serving.watch_seconds)
    return served(config, options, arguments)


def watched(name: str, seconds: float) -> int:
    """The process that asks MLflow; its first look ends with a line for the one that started it."""
    from pipeline.serving import watcher

    print(json.dumps(watcher.look(name)), flush=True)
    watcher.watch(name, seconds)
    return 0


def served(config: Config, options: argparse.Namespace, arguments: list[str]) -> int:
    numbers = paths.scratch()
    atexit.register(shutil.rmtree, numbers, ignore_errors=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(numbers)  # read when its package is imported

    from pipeline.feedback_loop.store import Store
    from pipeline.serving.service import database

    token = paths.typed(options.token_file) if options.token_file else None
    if token is not None and not token.is_file():
        raise RatchetError(
            f"--token-file {options.token_file} does not exist.\nType: openssl rand -hex 32 > {quoted(token)}"
        )
    if token is None and options.host not in LOOPBACK:
        print(f"warning: whoever reaches {options.host} may predict and label; see --token-file", file=sys.stderr)
    Store(database(config.serving)).close()  # what is wrong with it is said before anything is served
    with listening(options.host, options.port) as taken:
        first(arguments)
        return answer(config, options, token, taken)


def answer(config: Config, options: argparse.Namespace, token: Path | None, taken: socket.socket) -> int:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from pipeline.serving import app

    given = {"serving": config.serving.model_dump(mode="json"), "model": config.registry.model, "host": options.host}
    given |= {"workers": options.workers, "token_file": str(token) if token else None, "main": os.getpid()}
    os.environ[app.SETTINGS] = json.dumps(given)
    print(shown(options.host, taken.getsockname()[1]), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it anew when all is answered
    signal.signal(signal.SIGHUP, reload)  # of one worker; uvicorn takes it for several
    serving = uvicorn.Config(
        "pipeline.serving.app:create",
        factory=True,
        workers=options.workers,
        http="pipeline.serving.connection:Connection",
        limit_concurrency=config.serving.connections,
        timeout_keep_alive=round(config.serving.seconds),
        timeout_graceful_shutdown=round(config.serving.seconds),
        proxy_headers=False,
        ws="none",
        log_level="warning",
        log_config=log_config(uvicorn.config.LOGGING_CONFIG),
        server_header=False,
    )
    if options.workers == 1:
        server = uvicorn.Server(serving)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[taken])
        return 0 if server.started else 1
    above = Multiprocess(serving, sockets=[taken])
    above.handle_hup = reload  # type: ignore[method-assign]  # uvicorn's would restart the workers
    above.run()
    return 0


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= PORTS):
        raise argparse.ArgumentTypeError(f"{text!r} was given; allowed are 1 to {PORTS}, or 0 for any that is free")
    return int(text)


def listening(host: str, port: int) -> socket.socket:
    try:
        taken = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        free = port + 1 if error.errno == errno.EADDRINUSE and port < PORTS else 0
        cure = f"--port {free}" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host 127.0.0.1"
        raise RatchetError(
            f"{shown(host, port)} can't be used: {error.strerror or error}.\nType: ratchet serve {cure}"
        ) from None
    taken.set_inheritable(True)
    return taken


def shown(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def log_config(usual: dict[str, Any]) -> dict[str, Any]:
    """uvicorn's, with the time in each line."""
    form = {"()": "logging.Formatter", "format": "%(asctime)s %(levelname)s %(message)s"}
    return usual | {"formatters": usual["formatters"] | {"default": form}}


def reload(*_: object) -> None:
    """Nothing is restarted: a worker that came up with other settings than its neighbour would be worse."""
    print("ratchet serve: champion and token file are always read anew; other settings need a restart", flush=True)


def first(arguments: list[str]) -> None:
    """Starts the watcher, and again whenever it dies; RegistryError if there is nothing to serve."""
    process = start(arguments)
    state = json.loads(cast("IO[str]", process.stdout).readline() or "{}")
    if not state.get("digest"):
        process.kill()
        process.communicate()
        raise RegistryError(state.get("problem") or "the process that looks for the champion died; see above")
    print(f"{state['model']} version {state['version']}", flush=True)

    def again() -> None:
        watcher = process
        while True:
            watcher.wait()
            time.sleep(AGAIN)
            print(redact(f"ratchet serve: the watcher ended with {watcher.returncode}; another one starts"), flush=True)
            watcher = start(arguments)

    threading.Thread(target=again, daemon=True).start()


def start(arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", "serve", *arguments, "--watch", str(os.getpid())]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
