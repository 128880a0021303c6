"""Bodies that take long to read, pictures above all, on a few threads of their own: what else waits is not held up."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from pipeline.kinds.bodies import Invalid
from pipeline.serving.backlog import Backlog, within

READERS = 2  # bodies at a time; each may take 16 bytes for each of its pixels, serving.pixels at most
LARGE = 1 << 14  # bytes of a body; as many of a PNG that is made for it take 11 ms to read
SHARE = 0.5  # of the seconds that a request has: as long as reading what waits may take


class Reader:
    def __init__(self, seconds: float):
        """`seconds`: for an answer."""
        self.seconds = seconds
        self.backlog = Backlog(0.1, READERS, SHARE * seconds)
        self.pool = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    async def read(self, parse: Callable[..., Any], body: bytes) -> Any:
        """parse(body), or at once parse(body, quick=True) of a small body that is read quickly."""
        with suppress(Invalid):  # said below
            if len(body) <= LARGE:
                return parse(body, quick=True)
        return await self.aside(parse, body)

    async def aside(self, parse: Callable[..., Any], body: bytes) -> Any:
        """HTTPException, 503, where too much waits; what nobody awaits any more is not begun."""
        self.backlog.admit(1)
        work = self.pool.submit(self.timed, parse, body)
        work.add_done_callback(lambda _: self.backlog.finish(1))  # also where it was never begun
        return await within(self.seconds, asyncio.wrap_future(work))

    def timed(self, parse: Callable[..., Any], body: bytes) -> Any:
        with self.backlog.learn(READERS):  # as many are read meanwhile
            return parse(body)

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)
