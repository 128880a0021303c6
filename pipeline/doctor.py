"""ratchet doctor [--deep] [--json]: what is here, what is wrong, and what to type. It changes nothing.

Exit code 0: no problem; 1: at least one.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable

from pipeline.diagnosis import cache, machine, project, repository, runs, stored, tracker
from pipeline.diagnosis.finding import Finding, Look, problem, refused
from pipeline.project.errors import RatchetError
from pipeline.project.secrets import redact

Check = Callable[[Look], Iterable[Finding]]
SECTIONS: dict[str, tuple[Check, ...]] = {
    "machine": (
        machine.python,
        machine.packages,
        machine.processors,
        machine.memory,
        machine.gpus,
        machine.disk,
        machine.writable,
    ),
    "project": (repository.repository, project.settings, project.locked, project.dvc_lock),
    "tracking": (tracker.tracking, tracker.moved),
    "runs": (runs.runs,),
    "files": (
        stored.processed_data,
        stored.bundle,
        stored.folds,
        stored.checkpoints,
        stored.leftovers,
        stored.unhashed,
        cache.cache,
    ),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ratchet doctor", description=__doc__)
    parser.add_argument("--deep", action="store_true", help="hash large files and DVC's cache as well; takes longer")
    parser.add_argument("--json", action="store_true", help="for scripts: {problems, findings}")
    options = parser.parse_args(arguments)
    look = Look(options.deep)
    project.settle(look)
    found = {section: [one for check in checks for one in checked(check, look)] for section, checks in SECTIONS.items()}
    problems = sum(finding.mark == "problem" for findings in found.values() for finding in findings)
    print(as_json(found, problems) if options.json else as_text(found, problems))
    return int(problems > 0)


def checked(check: Check, look: Look) -> list[Finding]:
    """What one check finds; one that fails is a finding itself, so that the others are still made."""
    findings: list[Finding] = []
    try:
        findings.extend(check(look))
    except RatchetError as error:
        findings.append(refused(check.__name__, error, "dvc repro"))
    except Exception as error:  # noqa: BLE001  told as a problem
        text = f"could not be looked at: {type(error).__name__}: {redact(str(error))}"
        findings.append(problem(check.__name__, text, "make install   (if a package is missing or damaged)"))
    return findings


def as_json(found: dict[str, list[Finding]], problems: int) -> str:
    findings = [{"section": name, **dataclasses.asdict(one)} for name, several in found.items() for one in several]
    return json.dumps({"problems": problems, "findings": findings}, indent=2, ensure_ascii=False)


def as_text(found: dict[str, list[Finding]], problems: int) -> str:
    width = max(len(finding.name) for findings in found.values() for finding in findings)
    lines = []
    for section, findings in found.items():
        lines.append(section)
        for finding in findings:
            first, *rest = finding.text.splitlines()
            lines.append(f"  {finding.mark:<7}  {finding.name:<{width}}  {first}")
            lines += [f"           {line}" for line in rest]
            lines += [f"           Type: {finding.typed}".replace("\n", "\n           ")] if finding.typed else []
    end = f"{problems} problem{'s' if problems > 1 else ''}" if problems else "no problems"
    return "\n".join([*lines, end])
