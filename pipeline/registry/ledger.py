"""The ledger of champions: every decision about a model, append-only, in the registered model NAME.ledger.

MLflow's aliases know neither compare-and-set nor history, but its registry numbers versions: one after the other under
a unique key, in the order of commits, on every server. So an entry is a version of NAME.ledger: canonical JSON in the
tag `entry`, its SHA-256 in the tag `sha256`. An entry counts if its `previous` is the SHA-256 of the last entry before
it that counts; of two that were written at once the second is void, for every reader alike.

What is in doubt is never acted on. An entry that is missing, altered or cut off makes the whole ledger `broken`: it is
still read and shown, but no alias moves. That finds edits, deletions and accidents; whoever may write to the registry's
database, and rewrites all of it consistently, is not found.
"""

import getpass
import hashlib
import json
import math
import os
import socket
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline.project.secrets import redact
from pipeline.tracking.mlflow_store import once_each

SOURCE = "ratchet:/ledger"  # MLflow wants one of every version; this scheme names no file, run or logged model
PAGE = 10_000
LONGEST_DESCRIPTION = 5000  # MLflow's column
FIELDS = {"id", "action", "version", "champion", "alias_found", "actor", "reason", "evidence", "previous"}
DECIDED = {"promote": "promoted", "refuse": "refused", "rollback": "gone back to"}
DECIDED |= {"lost": "written off", "note": "noted"}
UNCHANGED = ("refuse", "note")  # actions after which the champion is who it was
PROMOTION = "promotion.entry"  # tag of a version that became champion: LEDGER NUMBER SHA256
DESCRIPTION = (
    "Ratchet's ledger of the champions of {name}: each version is one decision, and its description tells who decided "
    "what and why. Append-only: when an entry is edited or deleted, `ratchet promote` and `ratchet rollback` refuse. "
    "To read it, type: ratchet history"
)


@dataclass(frozen=True)
class Entry:
    number: int  # its version in NAME.ledger
    time: int  # ms since the epoch, by the server's clock
    id: str
    action: str  # promote, refuse, rollback; lost: the champion was deleted in MLflow; note: something of it was
    version: int  # of the model, that was decided about
    champion: int | None  # before
    alias_found: int | None  # where the alias stood before
    actor: str
    reason: str
    evidence: dict[str, Any]
    previous: str | None  # SHA-256 of the entry before
    sha256: str
    applied: str | None  # when the alias had been moved
    counts: bool = True  # False: another entry was faster

    @property
    def changes(self) -> bool:
        return self.counts and self.action not in UNCHANGED

    @property
    def after(self) -> int | None:
        """The champion that an entry which changes it makes: after a loss the one before, or none."""
        return self.evidence["back_to"] if self.action == "lost" else self.version

    @property
    def told(self) -> str:
        return f"{DECIDED[self.action]} by {self.actor} at {shown(self.time)} (entry {self.number})"

    @property
    def because(self) -> str:
        return f": {self.reason}" if self.reason else ""


@dataclass(frozen=True)
class Chain:
    entries: tuple[Entry, ...]  # void ones too, oldest first
    broken: str | None  # what is missing or altered

    @cached_property
    def counting(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.counts]

    @property
    def head(self) -> Entry | None:
        return self.counting[-1] if self.counting else None

    @cached_property
    def changing(self) -> list[Entry]:
        """The entries that made a champion."""
        return [entry for entry in self.counting if entry.changes]

    @property
    def last_change(self) -> Entry | None:
        return self.changing[-1] if self.changing else None

    @property
    def first_champion(self) -> int | None:
        """Before the ledger's first entry."""
        return self.counting[0].champion if self.counting else None

    @property
    def champion(self) -> int | None:
        return self.last_change.after if self.last_change else self.first_champion

    @property
    def ever_champion(self) -> set[int]:
        champions = (*(entry.after for entry in self.changing), self.first_champion)
        return {version for version in champions if version is not None}

    @property
    def stack(self) -> list[int]:
        """The champions that rollbacks go back through, the present one last: promote pushes, rollback and loss pop."""
        stack = [] if self.first_champion is None else [self.first_champion]
        for entry in self.changing:
            if entry.action == "lost" or (entry.action == "rollback" and entry.version in stack):
                while stack and stack[-1] != entry.after:
                    stack.pop()
            elif stack[-1:] != [entry.version]:
                stack.append(entry.version)
        return stack

    def made_champion(self, version: int) -> int | None:
        """When a version became champion for the last time, in ms; None if it never was."""
        times = [entry.time for entry in self.changing if entry.after == version]
        times += [self.counting[0].time] * (bool(self.counting) and self.first_champion == version)
        return max(times, default=None)

    def by_id(self, wanted: str) -> Entry | None:
        return next((entry for entry in self.counting if entry.id == wanted), None)

    def at(self, moment: int) -> tuple[int | None, Entry | None]:
        """The champion at a time in ms, and the entry that had made it; None where it was before the first change."""
        last, clock = None, 0
        for entry in self.changing:
            clock = max(clock, entry.time)  # entries are in the order of commits; a server's clock may be set back
            if clock <= moment:
                last = entry
        return (last.after if last else self.first_champion), last


def shown(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment / 1000))


def checked(client: Any, name: str) -> Chain:
    """The ledger, compared with what the versions of the model remember: that it was not cut off, or deleted."""
    promotions = promoted(client, name)  # first, so that they name no entry that came after the ledger was read
    chain = read(client, name)
    known = {entry.sha256 for entry in chain.counting}
    for version, (number, sum_) in promotions.items():
        if chain.broken is None and sum_ not in known:
            fault = f"entry {number}, which made version {version} champion, is not there any more, or was altered"
            return replace(chain, broken=fault)
    return chain


def read(client: Any, name: str) -> Chain:
    """The ledger of the model `name`: numbers without a gap, sums that are true, each entry's place in the chain."""
    stored = listed(client, f"name='{name}.ledger'")
    faults = [f"entry {number} is missing" for number, each in enumerate(stored, 1) if int(each.version) > number][:1]
    entries: list[Entry] = []
    sums: list[str | None] = [None]
    for each in stored:
        entry = parsed(each)
        if entry is None or entry.sha256 != digest(each.tags["entry"]):
            faults.append(f"entry {each.version} was altered")
        elif entry.previous not in sums:
            faults.append(f"entry {each.version} follows none that is there: one before it was altered")
        elif entry.previous != sums[-1]:
            entry = replace(entry, counts=False)
        if entry is not None:
            entries.append(entry)
            sums += [entry.sha256] * entry.counts
    return Chain(tuple(entries), faults[0] if faults else None)


def listed(client: Any, query: str) -> list[Any]:
    """Versions, the oldest first, however many pages they fill."""
    found, token = [], None
    while True:
        page = client.search_model_versions(query, PAGE, ["version_number ASC"], token)
        found += page
        if not (token := page.token):
            return sorted(found, key=lambda each: int(each.version))


def parsed(stored: Any) -> Entry | None:
    """None of what is no entry, or not one any more."""
    try:
        fields = json.loads(stored.tags["entry"])
        if fields.keys() != FIELDS or fields["action"] not in DECIDED:
            return None
        if fields["action"] == "lost" and "back_to" not in fields["evidence"]:
            return None
        tags = {"sha256": stored.tags["sha256"], "applied": stored.tags.get("applied")}
        return Entry(int(stored.version), stored.creation_timestamp, **fields, **tags)
    except (KeyError, ValueError, AttributeError):
        return None


def promoted(client: Any, name: str) -> dict[str, tuple[str, str]]:
    """Versions of the model that say which entry made them champion → its number and SHA-256."""
    found = {}
    for each in listed(client, f"name='{name}' and tags.`{PROMOTION}` LIKE '%'"):
        ledger, *entry = each.tags[PROMOTION].rsplit(" ", 2)
        if ledger == f"{name}.ledger" and len(entry) == 2:  # a copy of another model's version bears that one's tag
            found[str(each.version)] = entry[0], entry[1]
    return found


def written(fields: dict[str, Any]) -> str:
    """Canonical JSON, without secrets."""
    return json.dumps(clean(fields), sort_keys=True, separators=(",", ":"))


def clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): clean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):  # JSON has none
        return str(value)
    return redact(value) if isinstance(value, str) else value


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def append(client: Any, name: str, text: str, sentence: str) -> None:
    """Sends one entry, once: the caller reads whether it arrived, and whether it counts."""
    tags = {"entry": text, "sha256": digest(text)}
    sentence = redact(sentence)[:LONGEST_DESCRIPTION]
    with once_each():
        client.create_model_version(f"{name}.ledger", SOURCE, tags=tags, description=sentence, await_creation_for=0)


def create(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(f"{name}.ledger", description=DESCRIPTION.format(name=name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise


def mark_applied(client: Any, name: str, entry: Entry) -> None:
    """The alias is where the entry says; the version itself remembers which entry made it champion."""
    if entry.after is not None:
        mark = f"{name}.ledger {entry.number} {entry.sha256}"
        client.set_model_version_tag(name, str(entry.after), PROMOTION, mark)
    client.set_model_version_tag(f"{name}.ledger", str(entry.number), "applied", shown(time.time() * 1000))


def actor() -> str:
    """Who decides: RATCHET_ACTOR, MLflow's user, or the login and host."""
    named = os.environ.get("RATCHET_ACTOR") or os.environ.get("MLFLOW_TRACKING_USERNAME")
    try:
        return named or f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # in a container, a user may have a number alone
        return f"uid {os.getuid()}@{socket.gethostname()}"
