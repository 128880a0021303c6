"""ratchet promote [--version N]: let the gate decide whether a version becomes champion, on the data of data/processed.

Both versions are fetched from the registry and score the same test rows here. Exit code 0: promoted (or champion
already); 1: refused; 2: could not decide.
"""

import argparse
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.config import lock
from pipeline.config.schema import Config, Gate
from pipeline.evaluation.beaten import beaten
from pipeline.evaluation.metric_names import without_class
from pipeline.project import paths
from pipeline.project.errors import RatchetError, RegistryError
from pipeline.project.files import read_json, sha256, write_json, write_text
from pipeline.project.secrets import redact
from pipeline.project.terminal import loud
from pipeline.registry import champion, constant_model, decision_page, gate, held_back, registering, versions
from pipeline.registry.aliases import CHALLENGER, CHAMPION, by_alias, by_number
from pipeline.registry.comparison import Comparison, asked, measured
from pipeline.store import held_out, processed
from pipeline.tracking import mlflow_store, revision

PROMOTED, REFUSED, UNDECIDED = 0, 1, 2
REPORT, PAGE = paths.REPORTS / "promotion.json", paths.REPORTS / "promotion.html"


class Undecided(RegistryError):
    """Nothing was promoted or refused."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ratchet promote", description=__doc__)
    parser.add_argument("--version", type=int, help=f"of the model; default: its {CHALLENGER}")
    parser.add_argument("--dry-run", action="store_true", help="decide and report, but leave all as it is")
    parser.add_argument("--reason", default="", help="why, for the ledger; default: what the gate found")
    options = parser.parse_args(arguments)
    try:
        with mlflow_store.answering("ratchet promote", "If the promotion had begun, the next command finishes it."):
            return decide(mlflow_store.client(), lock.load(), options)
    except RatchetError as error:
        print(f"ratchet promote: could not decide: {redact(str(error))}", file=sys.stderr)
        return UNDECIDED


def decide(client: Any, config: Config, options: argparse.Namespace) -> int:
    name = config.registry.model
    seen = champion.state(client, name, keep=not options.dry_run)
    if seen.drift:
        print(f"warning: {seen.drift}", file=sys.stderr)
    version = wanted(client, config, options)
    if seen.champion == int(version.version) == seen.alias:
        print(f"{name} version {version.version} is {CHAMPION} already")
        return PROMOTED
    if seen.champion == int(version.version):
        raise Undecided(f"version {version.version} is {CHAMPION} by the ledger, and the alias was moved by hand")
    found, report = judged(client, config, version, seen)
    passed = all(condition.passed for condition in found)
    print(gate.table(found))
    if report["beaten"]:
        print(loud(report["beaten"]))
    report["decision"] = "promoted" if passed else "refused"
    title = f"{name} version {version.version}"
    write(report, options.dry_run)
    if options.dry_run:
        print(f"would be {report['decision']}: {title} (dry run: nothing was moved or recorded)")
        return PROMOTED if passed else REFUSED
    publish(client, version, report)
    evidence = {"summary": report["summary"], "report_sha256": sha256(REPORT), **report["data"]}
    evidence["conditions"] = report["conditions"]
    reason = options.reason or ("passed the gate" if passed else f"failed: {', '.join(report['failed'])}")
    champion.record(client, name, seen, "promote" if passed else "refuse", int(version.version), reason, evidence)
    if not passed:
        print(f"refused: {title} does not become {CHAMPION}")
        return REFUSED
    print(f"promoted: {title} is {CHAMPION}")
    return PROMOTED


def wanted(client: Any, config: Config, options: argparse.Namespace) -> Any:
    """The version to judge; what `dvc repro` registered, and is not in this registry, is registered first."""
    name, number = config.registry.model, options.version
    if number is not None:
        if (version := by_number(client, name, number)) is None:
            raise Undecided(f"model {name!r} has no version {number}.\nType: ratchet ui   (shows its versions)")
        return version
    version = by_alias(client, name, CHALLENGER)
    if registering.is_missing(client, config) and (version is None or not registering.is_known(client, config)):
        where = f"the bundle of {paths.BUNDLE} has no version at {mlflow_store.shown_uri()}"
        if options.dry_run:
            raise Undecided(f"{where}.\nType: ratchet register   (or promote without --dry-run, which registers it)")
        version, _ = registering.register(client, config)
        print(f"{where}, so it was registered: {name} version {version.version} → alias {CHALLENGER}", flush=True)
    if version is None:
        raise Undecided(f"model {name!r} has no {CHALLENGER}.\nType: {again()}   (or name one: --version N)")
    return version


def again() -> str:
    """What makes a challenger here: DVC does nothing where all its stages are done."""
    return "ratchet register && ratchet promote" if is_registered() else "dvc repro && ratchet promote"


def is_registered() -> bool:
    """Whether models/ holds, by DVC's files, a registered bundle of the data of data/processed."""
    if not (paths.REGISTERED.is_file() and paths.RUN.is_file()):
        return False
    told, run = read_json(paths.REGISTERED, "register"), read_json(paths.RUN, "train")
    return told["digest"] == run["bundle_digest"] and run["data_fingerprint"] == processed.load_spec()["fingerprint"]


def judged(
    client: Any, config: Config, version: Any, seen: champion.State
) -> tuple[list[gate.Condition], dict[str, Any]]:
    """The conditions and the report."""
    settings, test = config.gate, held_out.held_out()
    if seen.champion is None and not (settings.minimum or settings.over_baseline):
        raise Undecided(
            "a first champion needs absolute thresholds, and gate.minimum names no metric.\n"
            "Set one in params.yaml, such as gate: {minimum: {test/accuracy: 0.9}}, or gate: {over_baseline: true}"
        )
    if version.tags.get("data.test_sha256") != test.sha256:
        raise Undecided(
            f"version {version.version} was made with other data than {paths.PROCESSED} holds; it may have learned "
            f"from these test rows.\nFor one of this data, type: {again()}   (or bring back its data: "
            f"{revision.checkout(version.tags)} && dvc checkout)"
        )
    challenger = measured(client, version, test, settings.metric)
    if problem := without_class(settings.minimum, challenger.encoder):
        raise Undecided(f"{problem}.\nCorrect it in {paths.PARAMS}, then type: ratchet compose && ratchet promote")
    found = [*gate.alone(settings, challenger), *constant_model.certain_gain(settings, client, challenger, test)]
    report = {
        "name": version.name,
        "version": int(version.version),
        "champion_before": seen.champion,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {"test_sha256": test.sha256, "test_rows": len(test)},
        "gate": settings.model_dump(mode="json"),
        "comparison": None,
        "beside": None,
        "summary": f"first champion, on {len(test):,} rows",
        "beaten": beaten(challenger.metrics, challenger.task),
    }
    if seen.champion is not None:
        before = measured(client, client.get_model_version(version.name, str(seen.champion)), test, settings.metric)
        pair = Comparison(test, challenger, before)
        compared, facts = comparison(client, settings, pair)
        found += compared
        report |= facts | {"data": report["data"] | facts["data"]}
    report |= {"conditions": gate.as_report(found), "failed": [each.name for each in found if not each.passed]}
    return found, report


def comparison(client: Any, settings: Gate, pair: Comparison) -> tuple[list[gate.Condition], dict[str, Any]]:
    """Of challenger and champion, also on labels from use if enough of them were held back."""
    held = held_out.held_back()
    if held is None or len(held) < settings.least_rows:
        gain = gate.gain_of(settings, pair)
        found, facts = list(gate.against(settings, pair, gain)), {"comparison": gain, "data": {}}
    else:
        sides = (asked(client, one, held, settings.metric) for one in (pair.challenger, pair.champion))
        found, gain, beside = held_back.judged(settings, pair, Comparison(held, *sides))
        data = {"held_back_sha256": held.sha256, "held_back_rows": len(held)}
        facts = {"comparison": gain, "beside": beside, "data": data}
    return found, facts | {"summary": gate.summary(settings, gain)}


def write(report: dict[str, Any], dry_run: bool) -> None:
    write_json(REPORT, report | {"promoted": report["decision"] == "promoted" and not dry_run})
    write_text(PAGE, decision_page.page(report))


def publish(client: Any, version: Any, report: dict[str, Any]) -> None:
    """Report and page among the files of the version's model, where MLflow's UI shows them."""
    with tempfile.TemporaryDirectory(prefix="ratchet-") as top:
        folder = Path(top) / "promotion" / f"{report['time'].replace(':', '')}-{report['decision']}"
        folder.mkdir(parents=True)
        for file in (PAGE, REPORT):
            shutil.copyfile(file, folder / file.name)
        client.log_model_artifacts(versions.logged_model(version), top)
