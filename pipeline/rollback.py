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
    with mlflow_store.answering("ratchet rollback", "Nothing was moved."):
        roll_back(mlflow_store.client(), name, options)


def roll_back(client: Any, name: str, options: argparse.Namespace) -> None:
    state = champion.state(client, name, keep=not options.dry_run)
    if state.lost is not None and state.champion is not None and options.to in (None, state.champion):
        print(f"champion of {name}: version {state.lost} → {state.champion}")
        return
    target = chosen(client, name, state) if options.to is None else options.to
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


def chosen(client: Any, name: str, state: State) -> int:
    """The champion before: the newest that is in MLflow still."""
    if state.drift is not None:
        raise RegistryError(state.drift)
    if state.champion is None:
        raise RegistryError(f"{name} has no champion, by the ledger.\nType: dvc repro && ratchet promote")
    if (target := champion.before(client, name, state.chain)) is None:
        raise RegistryError(f"{name} has version {state.champion}, and none before it.\nType: ratchet history")
    return target


def require_champion_once(client: Any, name: str, state: State, target: int) -> None:
    known = sorted(state.chain.ever_champion | ({state.champion} if state.champion is not None else set()))
    if target not in known:
        raise RegistryError(
            f"version {target} of {name} was never champion; these were: {', '.join(map(str, known)) or '(none)'}.\n"
            f"To let the gate judge it, type: ratchet promote --version {target}"
        )
    if not champion.is_there(client, name, state.chain, target):
        others = (version for version in known if version != target)
        there = [version for version in others if champion.is_there(client, name, state.chain, version)]
        ways = "".join(f"\nType: ratchet rollback --to {version}" for version in reversed(there))
        raise RegistryError(f"version {target} of {name} was champion, and is deleted in MLflow.{ways}")
