"""The feedback store's tables, and what is said when their database can't be used."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from pipeline.feedback_loop import sqlite_file
from pipeline.project.errors import StoreError
from pipeline.project.secrets import redact

FORMAT = 1
WAIT = 10  # seconds for a lock, a connection or a server's reply
CONNECTIONS = 4  # of a process, at most; more threads wait in line
CREATION = 0x52617463686574  # PostgreSQL's advisory lock of whoever makes the tables: "Ratchet"
ALLOWED = "sqlite:///FILE, or postgresql+psycopg2://USER@HOST/DATABASE (a server that runs)"
LASTING, QUICK = "FULL", "NORMAL"  # SQLite: fsync at each commit, or left to the system; both outlive the process

TABLES = MetaData()
STORE = Table(
    "ratchet_store",
    TABLES,
    Column("format", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),  # the last number that a label was given
)
PREDICTIONS = Table(
    "ratchet_predictions",
    TABLES,
    Column("id", String(64), primary_key=True),
    Column("time", BigInteger, nullable=False),  # ms since 1970
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("answer", Text, nullable=False),
)
Index("ratchet_predictions_time", PREDICTIONS.c.time)
Index("ratchet_predictions_version", PREDICTIONS.c.version)
LABELS = Table(
    "ratchet_labels",
    TABLES,
    Column("prediction", ForeignKey(PREDICTIONS.c.id), primary_key=True),
    Column("label", Text, nullable=False),
    Column("time", BigInteger, nullable=False),  # of the last change
    Column("corrections", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False, unique=True),  # of the last change
)
HELD = ("55P03", "57014")  # PostgreSQL's codes: a lock, or a statement, took longer than WAIT
CURES = {  # SQLite's code → the reason, and what to do
    "SQLITE_FULL": ("its disk is full", "Free some room on its disk (`df -h {folder}`)"),
    "SQLITE_IOERR": ("its disk fails, or is full", "Look at its disk, and at its room (`df -h {folder}`)"),
    "SQLITE_BUSY": ("another process holds it", "End the process that holds it (`fuser {file}`)"),
    "SQLITE_CANTOPEN": (
        "its file can't be opened",
        "Its folder has to exist, and to take files of this user: mkdir -p {folder}",
    ),
    "SQLITE_READONLY": (
        "it is read-only",
        "This user has to be allowed to write the file and its folder: chmod -R u+w {folder}",
    ),
    "SQLITE_NOTADB": ("its file is no database", "That is no database: name another file"),
    "SQLITE_CORRUPT": (
        "its file is damaged",
        "It is damaged. Move it away, and save what can be read: sqlite3 {file} .recover",
    ),
}


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Within it a failing database is a StoreError that says what to do."""
    try:
        yield
    except SQLAlchemyError as error:
        original = getattr(error, "orig", None)
        reason = redact(" ".join(str(original or error).split()))[:300]
        plainly, advice = cure(url, original)
        raise StoreError(f"{named(url)} can't be used: {reason}.\n{advice}.", plainly) from error


def named(url: URL) -> str:
    return f"the feedback store {redact(url.render_as_string())}"


def cure(url: URL, error: BaseException | None) -> tuple[str, str]:
    """The reason, which names no place, and what to do."""
    if getattr(error, "pgcode", None) in HELD:
        return "it is held, or busy", "Another session holds it, or its server is busy: select * from pg_stat_activity"
    if url.get_backend_name() != "sqlite":
        advice = f"Is its server running, and may this user in? Given with serving.store: {ALLOWED}"
        return "its server refuses, or does not answer", advice
    code = getattr(error, "sqlite_errorname", "")
    for start, (plainly, text) in CURES.items():
        if code.startswith(start):
            folder = (url.database or "").rpartition("/")[0] or "."
            return plainly, f"{text.format(file=url.database, folder=folder)}; then try again"
    return "its database refuses", f"Given with serving.store: {ALLOWED}"


def opened(given: str) -> Engine:
    """With its tables, made if they were absent; StoreError for a URL, a server or a format that can't be used."""
    engine = connecting(given)
    try:
        with explained(engine.url), transaction(engine, LASTING) as connection:
            make(connection)
    except StoreError:
        engine.dispose()
        raise
    if engine.url.get_backend_name() == "sqlite":
        sqlite_file.watch(engine)
    return engine


def connecting(given: str | URL, **more: Any) -> Engine:
    """`more`: of create_engine."""
    try:
        url = make_url(given)
        engine = create_engine(url, **options(url) | more)
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(f"serving.store={redact(str(given))}: {error}. Allowed: {ALLOWED}") from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", write_ahead)
        event.listen(engine, "connect", sqlite_file.remember)
    event.listen(engine, "begin", begin if url.get_backend_name() == "sqlite" else bounded)
    return engine


def options(url: URL) -> dict[str, Any]:
    """Of create_engine; what the URL says itself goes before."""
    backend, limits = url.get_backend_name(), {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": WAIT}
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return {"connect_args": {"timeout": WAIT}, **limits}
    if backend == "postgresql":
        patience = {"connect_timeout": WAIT // 2, "tcp_user_timeout": 1000 * WAIT}
        mine = {name: value for name, value in patience.items() if name not in url.query}
        return {"connect_args": mine, "pool_pre_ping": True, "isolation_level": "READ COMMITTED", **limits}
    raise StoreError(f"serving.store={redact(url.render_as_string())} keeps nothing. Allowed: {ALLOWED}")


def write_ahead(connection: sqlite3.Connection, _: object) -> None:
    """One writer and any number of readers at the same time. SQLite does not wait where two processes turn it on."""
    connection.isolation_level = None  # BEGIN is said by `begin`, so that tables are made in a transaction too
    deadline = time.monotonic() + WAIT
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
        time.sleep(0.02)
    if mode != "wal":
        raise StoreError(f"the feedback store can't be on this disk, which shares no memory. Allowed: {ALLOWED}")


def begin(connection: Connection) -> None:
    if (synchronous := connection.get_execution_options().get("ratchet_writes")) is None:
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA busy_timeout={1000 * patience(connection)}")
    connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # waits for other writers now; one that read first could not


def bounded(connection: Connection) -> None:
    """PostgreSQL waits for ever otherwise, and whoever waits for the writer with it. Reports may take their time."""
    if connection.get_execution_options().get("ratchet_writes") is not None:
        wait = patience(connection)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout='{wait}s'; SET LOCAL statement_timeout='{wait}s'")


def patience(connection: Connection) -> int:
    """Seconds that it waits for others who write."""
    return connection.get_execution_options()["ratchet_wait"]


@contextmanager
def transaction(engine: Engine, writes: str | None = None, wait: int | None = None) -> Iterator[Connection]:
    """All of it or nothing; `writes` is LASTING or QUICK; `wait`: seconds for others who write, if not WAIT."""
    with engine.connect() as connection:
        connection.execution_options(ratchet_writes=writes, ratchet_wait=WAIT if wait is None else wait)
        with connection.begin():
            yield connection
        if writes is not None and engine.dialect.name == "sqlite":
            sqlite_file.require_there(connection)


def make(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(CREATION)))
    if inspect(connection).has_table(STORE.name):
        found = connection.execute(select(STORE.c.format)).scalar_one()
        if found != FORMAT:
            raise StoreError(
                f"{named(connection.engine.url)} has format {found}; this Ratchet reads {FORMAT}.\n"
                "A later Ratchet made it: install that one, or name another database with serving.store"
            )
        return
    TABLES.create_all(connection)
    connection.execute(insert(STORE).values(format=FORMAT, sequence=0))
