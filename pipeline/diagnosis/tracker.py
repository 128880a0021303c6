"""The tracking server and the registry: do they answer, and who is champion. Asks only, and waits a few seconds."""

import logging
import os
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.diagnosis.finding import Finding, Look, note, ok, problem
from pipeline.project import paths
from pipeline.project.files import free, quoted
from pipeline.project.secrets import redact
from pipeline.registry.aliases import CHALLENGER, CHAMPION, by_alias
from pipeline.registry.champion import look as seen
from pipeline.tracking import mlflow_store, relocation, sync

PATIENCE = 4.0  # seconds
LATER = "ratchet sync   (when it answers; until then runs wait in .ratchet/journal, and nothing is lost)"


def tracking(look: Look) -> Iterator[Finding]:
    database = mlflow_store.local_database()
    origin = "MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else "the default"
    shown = f"{mlflow_store.shown_uri()} ({origin})"
    if database is not None and not database.is_file():
        yield note("server", f"{shown} is not made yet; the first run makes it", begin())
        return
    import mlflow  # noqa: F401  a second's work, which is not the server's

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # what goes wrong is said below
    logging.getLogger("alembic").setLevel(logging.WARNING)
    yield from within(PATIENCE, shown, look)


def begin() -> str:
    """What to type where nothing is: DVC does nothing of itself for another server if all its stages are done."""
    return "ratchet sync && dvc repro && ratchet promote" if sync.run_ids() else "dvc repro"


def moved(look: Look) -> Iterator[Finding]:
    """Whether the project lay elsewhere when its runs were made, or when its environment was."""
    database = mlflow_store.local_database()
    for before in relocation.former(database.absolute()) if database is not None else ():
        yield note("moved", f"runs name {before}, where this project lay; the next command mends it", "ratchet sync")
    own = paths.home(Path.cwd()) / ".venv"
    script = own / "bin" / "ratchet"
    found = re.search(rb"(/[^\n\"']+)/bin/python", script.read_bytes()[:1000]) if script.is_file() else None
    if found and not ((made := Path(os.fsdecode(found[1]))).is_dir() and made.samefile(own)):
        yield problem("moved", f"the commands in {own} run what is in {made}", "rm -rf .venv && make install")


def within(seconds: float, shown: str, look: Look) -> list[Finding]:
    """What the server says; a server that says nothing is left behind with the thread that waits for it."""
    found: list[Finding] = []
    wrong: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(asked(shown, look))
        except Exception as error:  # noqa: BLE001  whatever the server does is told below
            wrong.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return [problem("server", f"{shown} has not answered within {seconds:.0f} seconds", LATER)]
    if wrong:
        return [failed(shown, wrong[0])]
    return found


def asked(shown: str, look: Look) -> Iterator[Finding]:
    uri = mlflow_store.tracking_uri()
    if not uri.startswith(("http:", "https:")):
        uri = readable(uri)
        if not has_tables(uri):
            yield note("server", f"{shown} is empty; the first run makes its tables", "dvc repro")
            return
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    yield ok("server", f"{shown} answers")
    if look.config is not None:
        yield from experiment(client, look.config.tracking.experiment)
        yield champion(client, look.config.registry.model)


def readable(uri: str) -> str:
    """A database's URI that MLflow can't write to: it would make what is missing, the folder included."""
    database = mlflow_store.local_database()
    if database is None:
        return uri
    # without a slash MLflow sees no folder to make; SQLite reads %2F as one
    return f"sqlite:///file:{quote(str(database.absolute()), safe='')}?mode=ro&uri=true"


def has_tables(uri: str) -> bool:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        return sqlalchemy.inspect(engine).has_table("experiments")
    finally:
        engine.dispose()


def experiment(client: Any, name: str) -> Iterator[Finding]:
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
        yield problem("experiment", f"{name} is deleted in MLflow: no run can be shipped to it", at_server(restore))
    elif found is None:
        yield note("experiment", f"{name} is not there yet; the first run makes it", begin())
    else:
        yield ok("experiment", f"{name}")


def champion(client: Any, name: str) -> Finding:
    state = seen(client, name)
    if state.chain.broken:
        return problem("registry", f"the ledger of {name} is broken: {state.chain.broken}", "ratchet history")
    if state.drift:
        moved = state.drift.splitlines()[0]
        return problem("registry", moved, "ratchet history   (shows the ways out)")
    first, second = by_alias(client, name, CHAMPION), by_alias(client, name, CHALLENGER)
    if first is not None:
        beside = f", version {second.version} is {CHALLENGER}" if second and second.version != first.version else ""
        return ok("registry", f"model {name}: version {first.version} is {CHAMPION}{beside}")
    if second is not None:
        return note("registry", f"model {name}: no {CHAMPION}; version {second.version} waits", "ratchet promote")
    return note("registry", f"model {name} has no version yet", "dvc repro && ratchet promote")


def reason(error: BaseException) -> BaseException:
    """The system's own words where an error stands on them: Connection refused, Name or service not known."""
    root = error
    while deeper := root.__cause__ or root.__context__:
        root = deeper
    return root if isinstance(root, OSError) else error


def failed(shown: str, error: Exception) -> Finding:
    text = redact(str(reason(error))).partition("\n[SQL")[0].strip()
    said = f"{shown} does not answer: {text[:300]}"
    if isinstance(error, ModuleNotFoundError):
        other = "or name a driver that is here, as in postgresql+psycopg2://"
        return problem("server", said, f"pip install {error.name}   ({other})")
    database = mlflow_store.local_database()
    if "out-of-date database schema" in text:
        return problem("server", said, upgrade(database))
    if database is not None and ("not a database" in text or "malformed" in text):
        away = (
            f"{put_aside(database)} && rm -f .ratchet/journal/*/{sync.beside('', 'shipped.json').name} && ratchet sync"
        )
        again = "dvc repro --force register && ratchet promote"
        return problem("server", said, f"{away}   (ships every run anew)\nthen, for the registry: {again}")
    return problem("server", said, LATER)


def at_server(command: str) -> str:
    """With the server's address, which is not told where it holds a password: it stands in the environment then."""
    uri, shown = mlflow_store.tracking_uri(), mlflow_store.shown_uri()
    return f"MLFLOW_TRACKING_URI={shlex.quote(uri)} {command}" if uri == shown else command


def upgrade(database: Path | None) -> str:
    uri, shown = mlflow_store.tracking_uri(), mlflow_store.shown_uri()
    address = shlex.quote(uri) if uri == shown else '"$MLFLOW_TRACKING_URI"'
    typed = f"mlflow db upgrade {address}"
    if database is None:
        return f"{typed}   (make a backup first)"
    return f"cp {quoted(database)} {quoted(free(Path(f'{database}.before')))} && {typed}"


def put_aside(database: Path) -> str:
    """Moves it aside with what SQLite keeps beside it, which would spoil a new file of that name."""
    beside = [Path(f"{database}{end}") for end in ("", "-wal", "-shm", "-journal")]
    aside = quoted(free(Path(f"{database}.damaged")))
    return f"mkdir {aside} && mv {shlex.join(str(file) for file in beside if file.exists())} {aside}"
