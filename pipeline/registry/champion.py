"""Who is champion: the ledger decides, and MLflow's alias follows it.

A decision is first written to the ledger; the alias moves when the entry counts, and the entry is then marked as
applied. A process that is killed in between leaves an entry without that mark, and whoever asks next finishes the move.
An alias that stands elsewhere without such an entry was moved by hand: that is told as drift, and left as it is.
"""

import random
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any

from pipeline.project.errors import RegistryError
from pipeline.project.secrets import redact
from pipeline.registry import ledger
from pipeline.registry.aliases import CHAMPION, by_alias, point
from pipeline.registry.ledger import Chain, Entry
from pipeline.tracking.delivery import is_refusal, patiently
from pipeline.tracking.mlflow_store import unreachable

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 4.0)  # seconds, give or take half, before an entry is looked for and sent again
GRACE = 1.0  # seconds for the process that wrote an entry to move the alias itself


class Overtaken(RegistryError):
    """Another decision changed the champion first."""


@dataclass(frozen=True)
class State:
    champion: int | None  # as the ledger says; as the alias says while the ledger is empty
    alias: int | None  # where it stands
    drift: str | None  # for people: the alias was moved by hand, and what to type
    chain: Chain

    @property
    def head(self) -> Entry | None:
        return self.chain.head

    @property
    def cut_off(self) -> Entry | None:
        """The last change, if its alias has still to be moved and stands where that decision found it."""
        last = self.chain.last_change
        if last is None or last.applied or self.alias not in (last.alias_found, last.version):
            return None
        return last


def state(client: Any, name: str) -> State:
    """Champion and alias, after finishing a move that was cut off; RegistryError if the ledger is broken."""
    now = look(client, name)
    require_whole(name, now.chain.broken)
    if now.cut_off:
        time.sleep(GRACE)
        now = look(client, name)
    if (entry := now.cut_off) and exists(client, name, entry.version):
        finish(client, name, entry)
        what = "promotion" if entry.action == "promote" else "rollback"
        print(f"finished a {what} that was cut off: {name} version {entry.version}, {entry.told}", file=sys.stderr)
        now = look(client, name)
    return now


def look(client: Any, name: str) -> State:
    """As it is, with nothing moved; a broken ledger is in `chain.broken`."""
    seen = None
    while True:
        chain, version = ledger.checked(client, name), by_alias(client, name, CHAMPION)
        alias = int(version.version) if version else None
        champion = chain.champion if chain.counting else alias
        if chain.broken or alias == champion:
            return State(champion, alias, None, chain)
        if seen == (alias, chain.head):
            return State(champion, alias, drift(name, chain, alias), chain)
        seen = alias, chain.head  # it may be moving at this moment
        time.sleep(GRACE / 4)


def drift(name: str, chain: Chain, alias: int | None) -> str:
    """What stands where, and what to type; champion and alias differ."""
    champion, last = chain.champion, chain.last_change
    stands = "is gone" if alias is None else f"names version {alias}"
    says = "that there is no champion" if champion is None else f"version {champion}"
    if last and not last.applied and alias == last.alias_found:
        return (
            f"alias {CHAMPION} of {name} {stands}, and has yet to follow: version {champion} was {last.told}.\n"
            f"Type: ratchet history   (or, if version {champion} is deleted: ratchet rollback --to N)"
        )
    since = f", {last.told}" if last else ""
    ways = [f"To put it back, type: ratchet rollback --to {champion}"] if champion is not None else []
    ways += [f"To let the gate judge it, type: ratchet promote --version {alias}"] if alias is not None else []
    return "\n".join(
        [f"alias {CHAMPION} of {name} {stands}, but the ledger says {says}{since}: it was moved by hand.", *ways]
    )


def require_whole(name: str, broken: str | None) -> None:
    if broken is not None:
        raise RegistryError(
            f"the ledger of {name} is broken: {broken}. Nothing was moved.\n"
            "What there is of it shows: ratchet history\n"
            "Restore it from a backup of MLflow's database. Or, to begin another: in MLflow, rename the registered "
            f"model {name}.ledger, and delete the tag {ledger.PROMOTION} of the versions of {name}."
        )


def exists(client: Any, name: str, version: int) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def record(
    client: Any, name: str, state: State, action: str, version: int, reason: str, evidence: dict[str, Any]
) -> Entry:
    """Writes a decision that was made on `state` to the ledger; then the alias follows, but for "refuse".

    `action`: promote, refuse or rollback. Overtaken if another changed the champion first; RegistryError says what is
    recorded if the server goes away midway.
    """
    fields = {"id": uuid.uuid4().hex, "action": action, "version": int(version), "reason": reason, "evidence": evidence}
    fields |= {"champion": state.champion, "alias_found": state.alias, "actor": ledger.actor()}
    entry = appended(client, name, state, fields)
    try:
        if entry.changes:
            finish(client, name, entry)
    except unreachable() as error:
        raise RegistryError(
            f"{name} version {version} is champion by the ledger (entry {entry.number}), but the alias could not "
            f"follow: {type(error).__name__}: {redact(str(error))[:300]}\n"
            "When the server is back, type: ratchet history"
        ) from error
    return entry


def appended(client: Any, name: str, state: State, fields: dict[str, Any]) -> Entry:
    """The entry that counts. It is looked for before every try to send it: a reply may be lost, or come too late.

    All tries bear one id: should two of them arrive, the first counts, and the other follows an old entry, and is void.
    """
    sent, failure = False, "other decisions came between"
    for pause in PAUSES:
        try:
            chain = ledger.read(client, name)
            if entry := chain.by_id(fields["id"]):
                return entry
            require_same(name, state, chain)
            if not chain.entries:
                ledger.create(client, name)
            sent = True
            text = ledger.written(fields | {"previous": chain.head and chain.head.sha256})
            ledger.append(client, name, text, sentence(state, fields))
        except unreachable() as error:
            if is_final(error):
                raise
            failure = error
            time.sleep(pause * random.uniform(0.5, 1.5))
    if not sent:
        raise failure
    raise RegistryError(
        f"whether the {fields['action']} of {name} version {fields['version']} is recorded is not known: "
        f"{redact(str(failure))[:300]}\nWhen the server is back, type: ratchet history"
    )


def is_final(error: Exception) -> bool:
    """Whether nothing was written, and the next try would end the same way."""
    status = getattr(error, "get_http_status_code", lambda: None)()
    return is_refusal(error) or status in (401, 403)


def require_same(name: str, state: State, chain: Chain) -> None:
    """That the champion is still the one that the decision was made about."""
    require_whole(name, chain.broken)
    if state.head and state.head.sha256 not in {entry.sha256 for entry in chain.counting}:
        require_whole(name, f"entry {state.head.number} is not there any more")
    before, now = state.chain.last_change, chain.last_change
    if now and (before is None or before.sha256 != now.sha256):
        raise Overtaken(
            f"another decision was faster: {name} version {now.version} was {now.told}{now.because}\n"
            "Nothing was moved. To see what there is now, type: ratchet history"
        )


def sentence(state: State, fields: dict[str, Any]) -> str:
    """What MLflow shows as the entry's description."""
    before = "none" if state.champion is None else f"version {state.champion}"
    decided = f"{fields['actor']} {ledger.DECIDED[fields['action']]} version {fields['version']}"
    return f"{decided} (champion before: {before}): {fields['reason']}"


def finish(client: Any, name: str, entry: Entry) -> None:
    """Moves the alias to where the ledger says, and marks `entry`; may be done twice.

    Of two that move it at once, each looks again after its own move, and the last entry has the last word. A move that
    a server makes after its client gave up on it shows as drift.
    """
    target = entry
    while True:
        patiently(lambda to=target: point(client, name, CHAMPION, to.version))
        last = ledger.read(client, name).last_change or target
        if last.sha256 == target.sha256:
            break
        target = last
    patiently(lambda: ledger.mark_applied(client, name, target))
    if target is not entry:
        patiently(lambda: ledger.mark_applied(client, name, entry))
