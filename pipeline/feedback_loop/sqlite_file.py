"""The file of an SQLite database while it is used: SQLite writes on to one that was deleted, and no error tells.

So each transaction looks whether the file that it wrote is still there.
"""

import os
import shlex
import sqlite3
from typing import Any, cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DisconnectionError

from pipeline.project.errors import StoreError

GONE = "Put it back, with its -wal if it was moved, without if it is a backup; or begin with an empty one: touch {file}"
LOG_GONE = "What it held was saved as far as possible. Stop all that use it, then start the service anew"

Identity = tuple[tuple[int, int] | None, ...]


def identity(path: str) -> Identity:
    """Of the database, and of the log that is written before it."""
    return found(path), found(f"{path}-wal")


def found(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def remember(connection: sqlite3.Connection, record: Any) -> None:
    """When a connection is made; its first statement opens the log."""
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    record.info["path"] = path = connection.execute("PRAGMA database_list").fetchone()[2]
    record.info["identity"] = identity(path)


def watch(engine: Engine) -> None:
    """From now on a file that is away is not made anew, and one that came in its place gets new connections."""
    event.listen(engine, "do_connect", require_file)
    event.listen(engine, "checkout", require_same)


def require_file(dialect: Any, record: Any, arguments: list[str], options: dict[str, Any]) -> None:
    if arguments and not arguments[0].startswith("file:") and found(arguments[0]) is None:
        raise gone(arguments[0])


def require_same(connection: sqlite3.Connection, record: Any, proxy: Any) -> None:
    before, now = record.info["identity"], identity(record.info["path"])
    if before[0] != now[0]:
        raise DisconnectionError  # the pool tries a new one
    if before != now:
        raise log_gone(record.info["path"])


def require_there(connection: Connection) -> None:
    """After a commit: StoreError if that went to a file that is no more."""
    before, path = connection.info["identity"], connection.info["path"]
    if before == (now := identity(path)):
        return
    if before[0] != now[0]:
        raise gone(path)
    # From the log that only this process still sees; beneath SQLAlchemy, which would begin a transaction
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)  # it is open
    driver.execute("PRAGMA wal_checkpoint(FULL)")
    raise log_gone(path)


def require_writable(path: str) -> None:
    if not os.access(path, os.W_OK) and found(path):
        typed = f"chmod u+w {shlex.quote(path)}"
        raise StoreError(f"the feedback store {path} is read-only.\nType: {typed}", "it is read-only")


def gone(path: str) -> StoreError:
    return StoreError(f"the feedback store {path} was deleted.\n{GONE.format(file=path)}", "its file was deleted")


def log_gone(path: str) -> StoreError:
    return StoreError(f"the feedback store's log {path}-wal was deleted.\n{LOG_GONE}", "its log was deleted")
