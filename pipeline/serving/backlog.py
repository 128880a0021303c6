"""How much work waits, and whether what comes is to be refused at once since its answer would come too late."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.exceptions import HTTPException

MEMORY = 0.9  # of what was measured before, at each measurement


class Backlog:
    """In any unit of cost, whose pace is learned; for any threads."""

    def __init__(self, seconds: float, cost: float, most: float):
        """`seconds` for a `cost` as it is believed at first; more than `most` seconds of work do not wait."""
        self.seconds, self.cost, self.most = seconds, cost, most
        self.waiting = 0.0  # cost of what was admitted and is not finished
        self.lock = threading.Lock()

    @property
    def pace(self) -> float:
        """Seconds for a cost of 1."""
        return self.seconds / self.cost

    def admit(self, cost: float) -> None:
        """HTTPException if too much waits already; where nothing waits all is admitted, whatever was learned."""
        with self.lock:
            if self.waiting * self.pace > self.most:
                raise later("more is asked than can be answered; try again")
            self.waiting += cost

    def finish(self, cost: float) -> None:
        with self.lock:
            self.waiting -= cost

    @contextmanager
    def learn(self, cost: float) -> Iterator[None]:
        """Around the work itself."""
        began = time.perf_counter()
        yield
        taken = time.perf_counter() - began
        with self.lock:
            self.seconds, self.cost = MEMORY * self.seconds + taken, MEMORY * self.cost + cost


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    """Its result; HTTPException where that takes longer, and then it is cancelled."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise later(f"no answer within {seconds:g} seconds (serving.seconds); try again") from None


def later(message: str) -> HTTPException:
    return HTTPException(503, message, {"retry-after": "1"})
