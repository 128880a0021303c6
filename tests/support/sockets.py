"""A real uvicorn around a small app, and clients that say to it what they like, byte by byte."""

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from pipeline.serving.connection import Bounded
from pipeline.serving.edge import Edge
from tests.conftest import REPOSITORY, lean
from tests.support.runs import eventually
from tests.support.trackers import free_port

BODY, SECONDS, PLACES = 1 << 20, 1, 400
SECRET = "hunter2hunter2"
GROWTH = 64 << 20  # bytes of memory; 400 bodies of full size would be 400 MiB
POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n"


async def app(scope: dict, receive: object, send: object) -> None:
    """/echo tells what it received; the other paths do what their names say."""
    if scope["type"] == "lifespan":
        for moment in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{moment}.complete"})
        return
    message = await receive()
    path = scope["path"]
    if path == "/fails":
        raise ValueError(f"it fails: postgresql://user:{SECRET}@host/")
    status, kind, answer = 200, b"text/html; charset=utf-8", b"<p>"
    if path == "/sleeps":
        await asyncio.sleep(30)
    elif path == "/large":
        answer = bytes(64 << 20)
    elif path == "/plain":  # as Starlette answers to what fails
        status, kind, answer = 500, b"text/plain", b"Internal Server Error"
    elif path == "/echo":
        told = {"bytes": len(message["body"]), "sha256": hashlib.sha256(message["body"]).hexdigest()}
        kind, answer = b"application/json", json.dumps(told | {"more": message["more_body"]}).encode()
    length = (b"content-length", b"%d" % len(answer))
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), length]})
    await send({"type": "http.response.body", "body": answer, "more_body": True})
    await send({"type": "http.response.body"})  # which waits until the client has read most of it
    if path == "/plain":
        raise ValueError("it fails and has said so")


def serve(port: int, token: str | None) -> None:
    import uvicorn

    edge = Bounded(Edge(app, hosts={"localhost", "127.0.0.1", "[::1]"}, body=BODY, seconds=SECONDS, token=token))
    connection = "pipeline.serving.connection:Connection"
    limits = {"limit_concurrency": PLACES, "timeout_keep_alive": SECONDS, "timeout_graceful_shutdown": SECONDS}
    uvicorn.run(edge, port=port, http=connection, ws="none", proxy_headers=False, log_level="warning", **limits)


class Service:
    def __init__(self, port: int, process: subprocess.Popen, log: Path):
        self.port, self.process, self.log = port, process, log
        self.seen = psutil.Process(process.pid)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.connect() as client:
            with suppress(ConnectionError):  # it need not listen to the end
                for part in parts:
                    client.sendall(part)
            return answer(client.makefile("rb"))

    def places(self) -> int:
        """Connections that it holds."""
        return sum(one.status == psutil.CONN_ESTABLISHED for one in self.seen.net_connections())

    def well(self) -> None:
        """It answers, and nothing has failed on the way."""
        status, _, body = self.ask(POST + b"Content-Length: 3\r\n\r\nabc")
        assert (status, json.loads(body)["bytes"]) == (200, 3)
        assert "Traceback" not in self.log.read_text()


def answer(reader: BinaryIO) -> tuple[int, dict[str, str], bytes]:
    """The next one; status 0 if the connection ends without."""
    status = reader.readline().split()
    if not status:
        return 0, {}, b""
    lines = iter(reader.readline, b"\r\n")
    headers = dict(line.decode().strip().lower().split(": ", 1) for line in lines)
    return int(status[1]), headers, reader.read(int(headers["content-length"]))


@contextmanager
def running(folder: Path, token: str | None = None) -> Iterator[Service]:
    port = free_port()
    code = f"from tests.support.sockets import serve; serve({port}, {token!r})"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=lean(), stdout=log, stderr=log)
    service = Service(port, process, folder / "log")
    try:
        eventually(lambda: process.poll() is not None or up(service), 60)
        assert process.poll() is None, service.log.read_text()
        yield service
    finally:
        process.kill()
        process.wait()


def up(service: Service) -> bool:
    with suppress(OSError):
        service.connect().close()
        return True
    return False


@contextmanager
def memory_bounded(service: Service) -> Iterator[None]:
    before, most, done = service.seen.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], service.seen.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert most[0] - before < GROWTH, f"{(most[0] - before) >> 20} MiB more"
