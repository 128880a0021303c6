"""A project that was moved or copied: its MLflow database is told where the files lie now.

MLflow writes absolute paths into its tables: of each experiment, run, logged model and version. After a move they name
a folder that is gone, or that a write would make again; in a copy they name the original's files. So the first command
in the new place sets them anew; the database is the project's own mlflow.db, whose files lie in mlartifacts/ beside it.
"""

import hashlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock

from pipeline.project import paths
from pipeline.project.errors import RegistryError

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def key(uri: str) -> str:
    """What a server is called in the names of files beside a journal."""
    return hashlib.sha256(uri.encode()).hexdigest()[:12]


def settle(database: Path) -> None:
    """Sets the locations of the project's own database to its folder, if it lay elsewhere before."""
    home = paths.home(Path.cwd())
    if database != home / DATABASE or not former(database):
        return
    with FileLock(f"{database}.lock"):
        for before in former(database):
            keep_shipped(before, home)
            try:
                count = relocate(database, before, home)
            except sqlite3.OperationalError as error:
                raise RegistryError(
                    f"this project lay at {before} before, and {database} still says so: {error}\n"
                    "Let someone who may write to it type: ratchet sync"
                ) from error
            print(f"this project lay at {before} before: {count} locations in {database} are set anew", file=sys.stderr)


def former(database: Path) -> list[Path]:
    """Folders, not this one, where the project's files are said to lie by its experiments."""
    if not database.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=60)) as connection:
            found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    except sqlite3.DatabaseError:  # it is empty, or damaged: MLflow says so when it is asked
        return []
    homes = {home for (location,) in found if location and (home := home_of(location))}
    return sorted(home for home in homes if is_former(home, database.parent))


def home_of(location: str) -> Path | None:
    """The project of an experiment's folder, as Ratchet names it: PROJECT/mlartifacts/EXPERIMENT."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    folder = Path(unquote(parts.path) if parts.scheme else location)
    places = [one.parent for one in folder.parents if one.name == ARTIFACTS and one.is_absolute()]
    return places[0] if places else None


def is_former(home: Path, now: Path) -> bool:
    """Gone, or the original of a copy; else it is another project's, which ships to this one's database."""
    if home == now or (os.path.exists(home) and os.path.samefile(home, now)):
        return False
    return not os.path.isdir(home / ARTIFACTS) or os.path.isfile(home / DATABASE)


def columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def relocate(database: Path, before: Path, home: Path) -> int:
    """How many locations name `home` instead of `before`: all, or none if this process is killed."""
    count = 0
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in LOCATIONS:
            if column in columns(connection, table):
                moves = list(moved(connection, table, column, before, home))
                connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", moves)
                count += len(moves)
    return count


def moved(
    connection: sqlite3.Connection, table: str, column: str, before: Path, home: Path
) -> Iterator[tuple[str, int]]:
    """(new location, row); of what has files, only where they are here, or there no more."""
    Rewriting = Callable[[str], str]
    forms: dict[str, tuple[str, Rewriting, Rewriting]] = {
        f"file://{before}/": (f"{home.as_uri()}/", str, quote),
        f"{before.as_uri()}/": (f"{home.as_uri()}/", unquote, str),  # the same as the first where no letter is odd
        f"{before}/": (f"{home}/", str, str),
    }
    for old, (new, decode, encode) in forms.items():
        query = f"SELECT rowid, {column} FROM {table} WHERE substr({column}, 1, ?) = ?"
        for row, location in connection.execute(query, (len(old), old)).fetchall():
            rest = location.removeprefix(old)
            here, there = home / decode(rest), before / decode(rest)
            if table == "experiments" or os.path.exists(here) or not os.path.exists(there):
                yield new + encode(rest), row


def keep_shipped(before: Path, home: Path) -> None:
    """What says how far each journal is shipped bears the server's name, which the path is a part of."""
    old, new = (key(f"sqlite:///{folder / DATABASE}") for folder in (before, home))
    for file in paths.state("journal").glob(f"*/*-{old}.*"):
        target = file.with_name(file.name.replace(f"-{old}.", f"-{new}."))
        if not target.exists():
            file.rename(target)
