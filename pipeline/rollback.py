"""ratchet rollback [--to N] [--reason TEXT] [--dry-run]: back to the champion before, or to any that was champion.

Two rollbacks go two champions back: a promotion puts one on the stack, a rollback takes one off. No version is deleted.
"""

import argparse
from typing import Any

from pipeline.config import lock
from pipeline.project.errors import RegistryError
from pipeline.registry import champion
from pipeline.registry.champion import State
from pipeline.tracking import mlflow_store


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "ratchet rollback", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", metavar="N", type=int, help="the version; default: the champion before")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why; `ratchet history` shows it")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    options = parser.parse_args(arguments)
    name = lock.load().registry.model
    with mlflow_store.answering("Nothing was moved. When the server is back, type: ratchet rollback"):
        roll_back(mlflow_store.client(), name, options)


def roll_back(client: Any, name: str, options: argparse.Namespace) -> None:
    state = champion.state(client, name)
    target = chosen(name, state) if options.to is None else options.to
    require_champion_once(client, name, state, target)
    if state.champion == target and state.drift is None:
        print(f"{name} version {target} is champion already")
        return
    move = f"champion of {name}: version {state.champion} → {target}"
    if options.dry_run:
        print(f"would be the {move} (dry run: the alias stays)")
        return
    summary = f"back from version {state.champion}" + (f", alias found at {state.alias}" if state.drift else "")
    entry = champion.record(client, name, state, "rollback", target, options.reason, {"summary": summary})
    print(f"{move} (entry {entry.number})")


def chosen(name: str, state: State) -> int:
    """The champion before."""
    if state.drift is not None:
        raise RegistryError(state.drift)
    if len(state.chain.stack) < 2:
        now = "no champion" if state.champion is None else f"version {state.champion}, and none before it"
        raise RegistryError(f"{name} has {now}, by the ledger.\nType: ratchet history")
    return state.chain.stack[-2]


def require_champion_once(client: Any, name: str, state: State, target: int) -> None:
    known = sorted(state.chain.ever_champion | {state.champion} - {None})
    if target not in known:
        raise RegistryError(
            f"version {target} of {name} was never champion; these were: {', '.join(map(str, known)) or '(none)'}.\n"
            f"To let the gate judge it, type: ratchet promote --version {target}"
        )
    if not champion.exists(client, name, target):
        there = [version for version in known if version != target and champion.exists(client, name, version)]
        ways = "".join(f"\nType: ratchet rollback --to {version}" for version in reversed(there))
        raise RegistryError(f"version {target} of {name} was champion, and is deleted in MLflow.{ways}")
