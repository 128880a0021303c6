"""Who works on which trial: a table beside the study's own, in which a claim succeeds once, whoever tries.

A claim is renewed every BEAT seconds by a counter, so that clocks of several hosts need not agree. It has lapsed when
its process is gone (seen on the same host at once), or when its counter has stood still for LAPSE seconds.
"""

import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Column, Engine, Float, Integer, MetaData, String, Table, delete, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

BEAT = 10.0
LAPSE = 60.0

TABLE = Table(
    "ratchet_leases",
    MetaData(),
    Column("trial", Integer, primary_key=True, autoincrement=False),  # Optuna's id of it, not its number
    Column("owner", String(32), nullable=False),
    Column("host", String(255), nullable=False),
    Column("process", Integer, nullable=False),
    Column("started", Float, nullable=False),  # the process, in seconds since 1970 by its host's clock
    Column("beats", Integer, nullable=False),
)


def host() -> str:
    """The machine, and which numbering of processes on it: containers have one each."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {os.readlink(space) if space.is_symlink() else ''}".strip()


class Leases:
    """One worker's view of the table; any number of trials may be its own."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.owner = uuid.uuid4().hex
        self.seen: dict[int, tuple[Any, float]] = {}  # trial → (the row, when it was first seen so)
        try:
            TABLE.create(engine, checkfirst=True)
        except SQLAlchemyError:  # another worker made it meanwhile
            if not inspect(engine).has_table(TABLE.name):
                raise

    def claim(self, trial: int) -> bool:
        """Whether the trial is this worker's now: it was nobody's, or its owner is gone."""
        process = psutil.Process()
        mine = {"owner": self.owner, "host": host(), "process": process.pid, "started": process.create_time()}
        with self.engine.begin() as connection:
            row = connection.execute(select(TABLE).where(TABLE.c.trial == trial)).one_or_none()
        try:
            with self.engine.begin() as connection:
                if row is None:
                    connection.execute(insert(TABLE).values(trial=trial, beats=0, **mine))
                    return True
                if row.owner == self.owner:  # claimed before the database went away for a moment
                    return True
                if not self.lapsed(row):
                    return False
                same = (TABLE.c.trial == trial) & (TABLE.c.owner == row.owner) & (TABLE.c.beats == row.beats)
                return connection.execute(update(TABLE).where(same).values(beats=0, **mine)).rowcount == 1
        except IntegrityError:  # another worker was faster
            return False

    def lapsed(self, row: Any) -> bool:
        if row.host == host():
            try:
                return abs(psutil.Process(row.process).create_time() - row.started) > 1
            except psutil.NoSuchProcess:
                return True
        before, since = self.seen.get(row.trial, (None, 0.0))
        if before != (row.owner, row.beats):
            self.seen[row.trial] = ((row.owner, row.beats), time.monotonic())
            return False
        return time.monotonic() - since > LAPSE

    def renew(self, trial: int) -> bool:
        """False where another worker has taken the trial over, because this one was silent for too long."""
        mine = (TABLE.c.trial == trial) & (TABLE.c.owner == self.owner)
        try:
            with self.engine.begin() as connection:
                return connection.execute(update(TABLE).where(mine).values(beats=TABLE.c.beats + 1)).rowcount == 1
        except SQLAlchemyError:  # the database is away: nobody else can claim it there either
            return True

    def release(self, trial: int) -> None:
        mine = (TABLE.c.trial == trial) & (TABLE.c.owner == self.owner)
        with self.engine.begin() as connection:
            connection.execute(delete(TABLE).where(mine))

    def holder(self, trial: int) -> str | None:
        """The host of whoever works on it."""
        with self.engine.begin() as connection:
            return connection.execute(select(TABLE.c.host).where(TABLE.c.trial == trial)).scalar_one_or_none()
