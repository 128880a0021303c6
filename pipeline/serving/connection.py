"""What uvicorn runs for each connection: http="pipeline.serving.connection:Connection", whichever parser it has found.

No app hears of a client that never ends its request's head or never reads its answer: they are ended here.
"""

import asyncio
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from pipeline.serving import metrics
from pipeline.serving.exchange import CLOSE, GONE, LATER, Exchange, Message, Receive, Refusal, Send, whole

STALLED = 1 << 18  # bytes that complete no head and add to no body


class Connection(AutoHTTPProtocol):
    """uvicorn's, with an end to waiting: `timeout_keep_alive` seconds for a request's head, or for an answer's reader.

    In a crowd of `limit_concurrency`, a new connection takes the place of the one that has been silent longest.
    """

    silent: ClassVar[WeakKeyDictionary[Any, dict["Connection", None]]] = WeakKeyDictionary()  # the longest first

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.most, self.limit_concurrency = self.limit_concurrency, None  # refused here, in the API's form
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task | None = None  # of the request that is answered
        self.stalled = 0
        self.waiting = self.silent.setdefault(self.server_state, {})
        if self.crowded and self.waiting:
            oldest = next(iter(self.waiting))
            self.connections.discard(oldest)
            oldest.end()
        self.wait()

    @property
    def busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def crowded(self) -> bool:
        return self.most is not None and max(len(self.connections), len(self.tasks)) > self.most

    def data_received(self, data: bytes) -> None:
        cycle, length = self.cycle, len(self.cycle.body) if self.cycle else 0
        self.app = CROWDED if self.crowded else self.run
        super().data_received(data)
        if self.cycle is not cycle or (cycle and len(cycle.body) > length):
            self.stalled = 0
        else:
            self.stalled += len(data)
            if self.stalled == len(data) and not self.busy:
                self.wait()  # the first bytes of a head
        if self.busy:
            self.rest()
        if self.stalled > STALLED:
            self.end()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.busy:
            self.wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.wait()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.busy:
            self.rest()

    async def run(self, scope: Message, receive: Receive, send: Send) -> None:
        self.task = asyncio.current_task()
        try:
            await self.config.loaded_app(scope, receive, send)
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                raise

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.rest()
        if self.task is not None:
            self.task.cancel(GONE)

    def wait(self) -> None:
        self.rest()
        if self.timer is None:
            self.timer = self.loop.call_later(self.timeout_keep_alive, self.end)
        if not self.busy:
            self.waiting[self] = None

    def rest(self) -> None:
        self.waiting.pop(self, None)
        if self.timer is not None and not self.flow.write_paused:
            self.timer.cancel()
            self.timer = None

    def end(self) -> None:
        self.waiting.pop(self, None)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        if not self.busy or not self.cycle.response_started:
            refusal = Refusal(400, "no HTTP/1.1 request that can be read; see RFC 9112", CLOSE)
            metrics.REQUESTS.labels("other", "400").inc()
            head = b"".join(b"%b: %b\r\n" % pair for pair in whole(refusal))
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + refusal.body)
        self.transport.close()


async def refuse_crowd(scope: Message, receive: Receive, send: Send) -> None:
    refusal = Refusal(503, "too many connections (serving.connections); try again", LATER, CLOSE)
    await Exchange(scope, receive, send).refuse(refusal)


CROWDED = metrics.Measured(refuse_crowd)
