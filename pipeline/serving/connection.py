"""Around uvicorn's own protocol, http="pipeline.serving.connection:Connection", and inside it around the app.

No app hears of a client that never ends its request's head or never reads its answer, and uvicorn has no setting for
either, nor a bound for a head that httptools parses. Both sides speak public interfaces: asyncio's and ASGI.
"""

import asyncio
from copy import copy
from functools import lru_cache
from typing import Any, ClassVar, cast

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.serving import metrics
from pipeline.serving.asgi import CLOSE, GONE, LATER, Exchange, Message, Receive, Refusal, Send, whole

STALLED = 1 << 20  # bytes that complete no head and add to no body; above what is read before the app is heard


@lru_cache(maxsize=1)
def unlimited(config: Config) -> Config:
    """uvicorn would count the silent too, and refuse in a form of its own."""
    config = copy(config)
    config.limit_concurrency = None
    return config


class Connection(asyncio.Protocol):
    """With an end to waiting: `timeout_keep_alive` seconds for a request's head, or for an answer's reader.

    In a crowd of `limit_concurrency`, a new connection takes the place of the one that has been silent longest.
    """

    places: ClassVar[dict[tuple[str | None, int], "Connection"]] = {}  # by the client's address, as ASGI's scope has it
    silent: ClassVar[dict["Connection", None]] = {}  # the longest first

    def __init__(self, config: Config, **given: Any):
        self.most, self.seconds = config.limit_concurrency, config.timeout_keep_alive
        self.inner = HttpToolsProtocol(config=unlimited(config), **given)
        self.task: asyncio.Task[Any] | None = None  # of the request that is answered
        self.timer: asyncio.TimerHandle | None = None
        self.stalled = 0
        self.reading = self.answering = self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # TCP's
        self.client = (transport.get_extra_info("peername") or (None, id(self)))[:2]  # it may have gone already
        self.places[self.client] = self
        if self.crowded and self.silent:
            next(iter(self.silent)).end()
        self.wait()
        self.inner.connection_made(cast("asyncio.Transport", Wire(self)))  # it has all of it

    @property
    def crowded(self) -> bool:
        return self.most is not None and len(self.places) > self.most

    def data_received(self, data: bytes) -> None:
        if not self.stalled and self.task is None:
            self.wait()  # the first bytes of a head
        self.stalled += len(data)
        self.reading = True
        self.inner.data_received(data)
        self.reading = False
        if self.stalled > STALLED:
            self.end()

    def eof_received(self) -> None:
        self.inner.eof_received()

    def pause_writing(self) -> None:
        self.paused = True
        self.inner.pause_writing()
        self.wait()

    def resume_writing(self) -> None:
        self.paused = False
        self.inner.resume_writing()
        if self.task is not None:
            self.rest()

    def connection_lost(self, error: Exception | None) -> None:
        self.leave()
        self.inner.connection_lost(error)
        if self.task is not None:
            self.task.cancel(GONE)

    def wait(self) -> None:
        self.rest()
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(self.seconds, self.end)
        if self.task is None:
            self.silent[self] = None

    def rest(self) -> None:
        self.silent.pop(self, None)
        if self.timer is not None and not self.paused:
            self.timer.cancel()
            self.timer = None

    def leave(self) -> None:
        self.paused = False
        self.rest()
        if self.places.get(self.client) is self:
            del self.places[self.client]

    def end(self) -> None:
        self.leave()
        self.transport.abort()

    async def answer(self, app: Any, scope: Message, receive: Receive, send: Send) -> None:
        async def heard() -> Message:
            message = await receive()
            if message.get("body") or not message.get("more_body"):
                self.stalled = 0
            return message

        self.task = task = asyncio.current_task()
        self.stalled, self.answering = 0, False
        self.rest()
        try:
            await app(scope, heard, send)
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                raise
        finally:
            if self.task is task:  # else the next request has begun
                self.task = None
                if not self.transport.is_closing():
                    self.wait()


class Wire:
    """The transport, as uvicorn sees it: what it writes while it reads is no app's, but its own word on bad HTTP."""

    def __init__(self, connection: Connection):
        self.connection, self.transport = connection, connection.transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        if not self.connection.reading:
            self.connection.answering = True
            self.transport.write(data)
        elif self.connection.task is None or not self.connection.answering:
            refusal = Refusal(400, "no HTTP/1.1 request that can be read; see RFC 9112", CLOSE)
            metrics.REQUESTS.labels("other", "400").inc()
            head = b"".join(b"%b: %b\r\n" % pair for pair in whole(refusal))
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + refusal.body)


class Bounded:
    """An app that answers over Connection; `limit_concurrency` of them have places, whoever comes besides gets 503."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        connection = Connection.places.get(tuple(client)) if client else None
        if connection is None:  # it has gone, or there is none, as for lifespan
            return await self.app(scope, receive, send)
        app = refuse_crowd if connection.crowded else self.app
        return await connection.answer(app, scope, receive, send)


async def refuse_crowd(scope: Message, receive: Receive, send: Send) -> None:
    refusal = Refusal(503, "too many connections (serving.connections); try again", LATER, CLOSE)
    await Exchange(scope, receive, send).refuse(refusal)
