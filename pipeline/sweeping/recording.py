"""Every trial has its run under the sweep's, one that trained nothing too; and the run says how it ended."""

from typing import Any

from pipeline.sweeping.process import Membership, Outcome
from pipeline.tracking.journal import Journal, close_if_dead
from pipeline.tracking.lines import Status, journal_file

STATUSES: dict[str, Status] = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}  # MLflow's


def record(outcome: Outcome, name: str, member: Membership, settings: dict[str, Any]) -> None:
    """Writes what the trial's own process has not: its state, and all of it where there was no such process."""
    run_id = outcome["run_id"]
    if journal_file(run_id).is_file():
        close_if_dead(run_id)
    with Journal.begin(run_id, member.experiment, name, 1.0, member.parent) as journal:
        if not journal.stated:
            journal.tags(member.tags)
            journal.params(settings)
            journal.metrics(0, outcome.get("found", {}))
            if "reused" in outcome:
                journal.tags({"ratchet.reused_run": outcome["reused"]})
            journal.status(STATUSES[outcome["state"]], outcome.get("reason") or said(outcome))
        beside = {key: value for key, value in outcome.get("found", {}).items() if not key.startswith("val/")}
        journal.metrics(max((step for step, _ in journal.seen.values()), default=0), beside)
        journal.tags({"sweep.state": outcome["state"]})


def said(outcome: Outcome) -> str:
    return f"its settings were trained before, as run {outcome['reused']}" if "reused" in outcome else ""
