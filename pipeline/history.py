"""ratchet history [--at TIME] [--json] [--model NAME]: every decision about the champion, the newest last.

Exit code 1: the alias was moved by hand, or the ledger is broken; what to type is said. A promotion that was cut off
between ledger and alias is finished, and a champion that was deleted in MLflow is recorded as lost.
"""

import argparse
import dataclasses
import sys
from datetime import UTC, datetime
from typing import Any

from pipeline.config import lock
from pipeline.project.tables import table
from pipeline.registry import champion
from pipeline.registry.champion import State
from pipeline.registry.ledger import Entry, shown
from pipeline.tracking import mlflow_store
from pipeline.tracking.recorded import as_json

HEADER = ("entry", "time (UTC)", "decision", "version", "champion", "by", "reason", "evidence")
VOID = "void: another was faster"
TIMES = "2026-03-01, 2026-03-01T09:30 (both UTC) or 2026-03-01T09:30+01:00"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "ratchet history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=moment,
        help="who was champion then: 2026-03-01 or 2026-03-01T09:30+01:00, else UTC",
    )
    parser.add_argument("--json", action="store_true", help="for scripts: all that the ledger holds")
    parser.add_argument("--model", metavar="NAME", help="another than registry.model")
    options = parser.parse_args(arguments)
    name = options.model or lock.load().registry.model
    with mlflow_store.answering("ratchet history"):
        state = seen(mlflow_store.client(), name)
    if options.json:
        print(as_json(described(name, state, options.at)))
    else:
        print(shown_table(name, state) if options.at is None else at(name, state, options.at))
    if state.drift is not None:
        print(state.drift, file=sys.stderr)
    champion.require_whole(name, state.chain.broken)
    return int(state.drift is not None)


def seen(client: Any, name: str) -> State:
    """A broken ledger is shown as far as it goes; of a whole one, what was cut off is finished."""
    state = champion.look(client, name)
    return state if state.chain.broken else champion.state(client, name)


def moment(text: str) -> int:
    """ms since the epoch; a time without an offset is UTC, a date its first moment."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give {TIMES}") from None
    return int(given.replace(tzinfo=given.tzinfo or UTC).timestamp() * 1000)


def shown_table(name: str, state: State) -> str:
    if not state.chain.entries:
        alias = "" if state.alias is None else f"; alias champion names version {state.alias}"
        return f"no decision about {name} is recorded yet{alias}.\nType: ratchet promote"
    return table([HEADER, *map(row, state.chain.entries)])


def row(entry: Entry) -> tuple[Any, ...]:
    before = "none" if entry.champion is None else entry.champion
    after = f"{before} → {entry.after or 'none'}" if entry.changes else before if entry.counts else VOID
    time = shown(entry.time).removesuffix(" UTC")
    reason, evidence = (" ".join(str(text).split()) for text in (entry.reason, entry.evidence.get("summary", "")))
    return entry.number, time, entry.action, entry.version, after, entry.actor, reason, evidence


def at(name: str, state: State, when: int) -> str:
    version, entry = state.chain.at(when)
    if entry is not None and entry.action == "lost":
        then = "had no champion" if version is None else f"version {version} was champion"
        return f"{name} {then} at {shown(when)}: version {entry.version} was {entry.told}{entry.because}"
    if entry is not None:
        return f"{name} version {version} was champion at {shown(when)}: {entry.told}{entry.because}"
    if not state.chain.counting:
        return shown_table(name, state)
    first = state.chain.counting[0]
    since = f"the ledger begins with entry {first.number}, {shown(first.time)}"
    if version is None:
        return f"{name} had no champion at {shown(when)}: {since}"
    return f"{name} version {version} was champion at {shown(when)}, or none was yet: {since}, and finds it champion"


def described(name: str, state: State, when: int | None) -> dict[str, Any]:
    told = {"model": name, "champion": state.champion, "alias": state.alias, "drift": state.drift}
    told["broken"] = state.chain.broken
    if when is None:
        return told | {"entries": [dataclasses.asdict(entry) for entry in state.chain.entries]}
    version, entry = state.chain.at(when)
    return told | {"at": shown(when), "champion_then": version, "entry": entry and dataclasses.asdict(entry)}
