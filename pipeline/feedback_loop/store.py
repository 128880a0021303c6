"""What was predicted, and what would have been right: SQLite (WAL) or PostgreSQL, any number of processes at once.

A label that was taken is on disk. Labels have sequence numbers in the order in which they are committed, so that
whoever has read up to one misses none that comes later.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from pipeline.feedback_loop import sqlite_file
from pipeline.feedback_loop.database import (
    LABELS,
    LASTING,
    PREDICTIONS,
    QUICK,
    STORE,
    connecting,
    explained,
    make,
    opened,
    transaction,
)
from pipeline.feedback_loop.scrubbing import scrubbed_record
from pipeline.kinds.kind import by_name

DAY = 86_400_000  # milliseconds
PAGE = 200  # rows in memory, or under lock, at once
PATIENCE = 3  # seconds for which a check waits for others who write
EVER = 1 << 31  # SQLite's user_version, which nothing else here uses, is below it
UNLABELLED = ~exists().where(LABELS.c.prediction == PREDICTIONS.c.id)


@dataclass(frozen=True)
class Prediction:
    id: str
    time: int  # ms since 1970
    model: str
    version: int
    digest: str  # of the bundle
    kind: str  # of the encoder
    record: bytes  # a PNG for pictures, else UTF-8 JSON
    answer: str  # JSON


@dataclass(frozen=True)
class Labelled:
    prediction: Prediction
    label: str
    status: str  # stored, known (it was there already) or corrected (another was)
    time: int  # ms since 1970, of the last change
    corrections: int
    sequence: int  # of the last change


class Store:
    def __init__(self, url: str, scrub: bool = False):
        """`scrub`: e-mail addresses and phone numbers are taken out of records. StoreError where it can't be used."""
        self.engine = opened(url)
        self.checker = connecting(self.engine.url, pool_size=1)  # its own: others may all be waiting
        if self.sqlite:
            sqlite_file.watch(self.checker)
        self.scrub = scrub

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self, writes: str | None = None) -> Iterator[Connection]:
        with explained(self.engine.url), transaction(self.engine, writes) as connection:
            yield connection

    def check(self) -> None:
        """StoreError if a label could not be kept now. It writes: a full disk shows in nothing else."""
        with explained(self.engine.url):
            if self.sqlite:
                file = cast("str", self.engine.url.database)  # opened() takes no database in memory
                sqlite_file.require_writable(file)
            with transaction(self.checker, LASTING, PATIENCE) as connection:
                if self.sqlite:
                    make(connection)  # where an empty file was put in its place
                    connection.exec_driver_sql(f"PRAGMA user_version={time.time() % EVER:.0f}")  # a page that differs
                else:
                    connection.execute(update(STORE).values(sequence=STORE.c.sequence))

    def add(self, predictions: Sequence[Prediction]) -> None:
        """All of them or none; they outlive the process, and with SQLite a power cut only once a label was taken."""
        if not predictions:
            return
        rows = [vars(self.kept(one)) for one in predictions]
        with self.transaction(QUICK) as connection:
            connection.execute(insert(PREDICTIONS), rows)

    def kept(self, prediction: Prediction) -> Prediction:
        if not self.scrub or not by_name(prediction.kind).scrubbed:
            return prediction
        return replace(prediction, record=scrubbed_record(prediction.record))

    def label(self, prediction_id: str, label: str, now: int) -> Labelled | None:
        """On disk when it returns; None: there is no such prediction."""
        if not possible(prediction_id):
            return None
        with self.transaction(LASTING) as connection:
            found = select(PREDICTIONS).where(PREDICTIONS.c.id == prediction_id)
            row = connection.execute(found.with_for_update()).one_or_none()  # others wait here
            return None if row is None else labelled(connection, Prediction(*row), label, now)

    def prediction(self, prediction_id: str) -> Prediction | None:
        if not possible(prediction_id):
            return None
        with self.transaction() as connection:
            row = connection.execute(select(PREDICTIONS).where(PREDICTIONS.c.id == prediction_id)).one_or_none()
        return None if row is None else Prediction(*row)

    def labelled(self, after: int = 0) -> Iterator[Labelled]:
        """By sequence number; a label that is corrected meanwhile comes again."""
        joined = select(PREDICTIONS, LABELS).join_from(LABELS, PREDICTIONS).order_by(LABELS.c.sequence).limit(PAGE)
        while True:
            with self.transaction() as connection:
                rows = connection.execute(joined.where(LABELS.c.sequence > after)).all()
            for row in rows:
                _, label, time, corrections, sequence = row[len(PREDICTIONS.c) :]
                status = "corrected" if corrections else "stored"
                yield Labelled(Prediction(*row[: len(PREDICTIONS.c)]), label, status, time, corrections, sequence)
            if len(rows) < PAGE:
                return
            after = rows[-1].sequence

    def made(self, model: str) -> dict[tuple[int, int], int]:
        """(version, days since 1970 in UTC) → how many predictions."""
        day = PREDICTIONS.c.time // DAY
        asked = select(PREDICTIONS.c.version, day, func.count()).where(PREDICTIONS.c.model == model)
        with self.transaction() as connection:
            rows = connection.execute(asked.group_by(PREDICTIONS.c.version, day)).all()
        return {(version, int(day)): count for version, day, count in rows}

    def newest(self, model: str, most: int) -> list[Prediction]:
        """The last predictions of the version that predicted last, the newest first."""
        of_model = select(PREDICTIONS).where(PREDICTIONS.c.model == model).order_by(PREDICTIONS.c.time.desc())
        with self.transaction() as connection:
            last = connection.execute(of_model.limit(1)).one_or_none()
            if last is None:
                return []
            rows = connection.execute(of_model.where(PREDICTIONS.c.version == last.version).limit(most)).all()
        return [Prediction(*row) for row in rows]

    def prune(self, before: int) -> int:
        """Deletes predictions that nobody labelled and that are older than `before` ms, a page at a time."""
        time, deleted, since = PREDICTIONS.c.time, 0, None
        old = select(PREDICTIONS.c.id, time).where(time < before, UNLABELLED).order_by(time).limit(PAGE)
        while True:
            page = old if since is None else old.where(time >= since)
            with self.transaction(QUICK) as connection:
                rows = connection.execute(page.with_for_update(skip_locked=True)).all()
                # again: a label may have come in between the page's first row and its lock
                chosen = PREDICTIONS.c.id.in_([row.id for row in rows])
                deleted += connection.execute(delete(PREDICTIONS).where(chosen, UNLABELLED)).rowcount
            if len(rows) < PAGE:
                return deleted
            since = rows[-1].time

    def close(self) -> None:
        self.engine.dispose()
        self.checker.dispose()


def possible(prediction_id: str) -> bool:
    """Whether a prediction can have this id: PostgreSQL raises over a NUL, and both over half a character."""
    return prediction_id.isprintable()


def labelled(connection: Connection, prediction: Prediction, label: str, now: int) -> Labelled:
    """Within a transaction that holds the prediction's lock."""
    mine = LABELS.c.prediction == prediction.id
    old = connection.execute(select(LABELS).where(mine)).one_or_none()
    if old is not None and old.label == label:
        return Labelled(prediction, label, "known", old.time, old.corrections, old.sequence)
    # The row stays locked until the commit: a higher number is never seen before a lower one
    connection.execute(update(STORE).values(sequence=STORE.c.sequence + 1))
    sequence = connection.execute(select(STORE.c.sequence)).scalar_one()
    values = {"label": label, "time": now, "sequence": sequence}
    if old is None:
        connection.execute(insert(LABELS).values(prediction=prediction.id, corrections=0, **values))
        return Labelled(prediction, status="stored", corrections=0, **values)
    corrections = old.corrections + 1
    connection.execute(update(LABELS).where(mine).values(corrections=corrections, **values))
    return Labelled(prediction, status="corrected", corrections=corrections, **values)
