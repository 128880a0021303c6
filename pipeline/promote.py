"""ratchet promote: let the gate decide whether the challenger becomes champion.

Exit code 0: promoted (or champion already); 1: refused; 2: could not decide.
"""

import argparse
from typing import Any

from pipeline.config import lock
from pipeline.config.schema import Config
from pipeline.project import paths
from pipeline.project.errors import RegistryError
from pipeline.project.files import write_json
from pipeline.registry import gate
from pipeline.registry.aliases import CHALLENGER, CHAMPION, by_alias
from pipeline.tracking import mlflow_store

PROMOTED, REFUSED, UNDECIDED = 0, 1, 2


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ratchet promote", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="decide and report, but leave the alias where it is")
    options = parser.parse_args(arguments)
    config = lock.load()
    try:
        client = mlflow_store.client()
        return decide(client, config, options.dry_run)
    except mlflow_store.unreachable() as error:
        raise RegistryError(
            f"{mlflow_store.shown_uri()} can't be used: {type(error).__name__}: {str(error)[:300]}\n"
            "Nothing was promoted. When the server is back, type: ratchet promote"
        ) from error


def decide(client: Any, config: Config, dry_run: bool) -> int:
    name = config.registry.model
    challenger, champion = by_alias(client, name, CHALLENGER), by_alias(client, name, CHAMPION)
    if challenger is None:
        print(f"could not decide: model {name!r} has no {CHALLENGER}.\nType: dvc repro")
        return UNDECIDED
    if champion is not None and champion.version == challenger.version:
        print(f"{name} version {champion.version} is champion already")
        return PROMOTED
    if not config.gate.minimum:
        print("could not decide: gate.minimum names no metric.\nSet one, such as gate.minimum: {test/accuracy: 0.9}")
        return UNDECIDED
    if not gate.comparable(challenger.tags, champion and champion.tags):
        print(f"could not decide: versions {challenger.version} and {champion.version} were scored on other test data")
        return UNDECIDED
    return carry_out(client, config, challenger, champion, dry_run)


def carry_out(client: Any, config: Config, challenger: Any, champion: Any | None, dry_run: bool) -> int:
    found = gate.conditions(config.gate.minimum, challenger.tags, champion and champion.tags)
    passed = all(condition.passed for condition in found)
    print(gate.table(found))
    report = {
        "name": challenger.name,
        "challenger": int(challenger.version),
        "champion_before": champion and int(champion.version),
        "promoted": passed and not dry_run,
        "conditions": gate.as_report(found),
    }
    write_json(paths.REPORTS / "promotion.json", report)
    if not passed:
        print(f"refused: {challenger.name} version {challenger.version} stays {CHALLENGER}")
        return REFUSED
    if dry_run:
        print(f"would promote {challenger.name} version {challenger.version} (dry run: the alias stays)")
        return PROMOTED
    client.set_registered_model_alias(challenger.name, CHAMPION, challenger.version)
    print(f"promoted: {challenger.name} version {challenger.version} is {CHAMPION}")
    return PROMOTED
