"""Where a trial's worker listens. Light: a worker imports this, and no torch."""

from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from typing import Any


@dataclass(frozen=True)
class Watcher:
    address: Any  # of a socket on this machine
    key: bytes

    def connect(self) -> Connection:
        return Client(self.address, authkey=self.key)
