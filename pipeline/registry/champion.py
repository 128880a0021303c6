"""Who is champion: the ledger decides, and MLflow's alias follows it.

A decision is first written to the ledger; the alias moves when the entry counts, and the entry is then marked as
applied. A process that is killed in between leaves an entry without that mark, and whoever asks next finishes the move.
An alias that stands elsewhere without such an entry was moved by hand: that is told as drift, and left as it is.
A champion that was deleted in MLflow is a loss: whoever asks next records it, and the champion before takes its place.
"""

import random
import sys
import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from pipeline.project.errors import RegistryError
from pipeline.project.secrets import redact
from pipeline.registry import ledger
from pipeline.registry.aliases import CHAMPION, by_alias, by_number, point
from pipeline.registry.ledger import Chain, Entry
from pipeline.tracking.delivery import is_refusal, patiently
from pipeline.tracking.mlflow_store import is_denial, unreachable, way_on

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 4.0)  # seconds, give or take half, before an entry is looked for and sent again
GRACE = 1.0  # seconds for the process that wrote an entry to move the alias itself


class Overtaken(RegistryError):
    """Another decision changed the champion first."""


@dataclass(frozen=True)
class Loss:
    """Of a champion that is not in MLflow any more."""

    version: int
    back_to: int | None  # the newest of the champions before that is still there


@dataclass(frozen=True)
class State:
    champion: int | None  # as the ledger says; as the alias says while the ledger is empty
    alias: int | None  # where it stands
    drift: str | None  # for people: the alias is elsewhere, or its version is gone, and what to type
    chain: Chain
    loss: Loss | None = None  # that the ledger does not know of yet
    lost: int | None = None  # the version whose loss was noticed in this very moment

    @property
    def head(self) -> Entry | None:
        return self.chain.head

    @property
    def cut_off(self) -> Entry | None:
        """The last change, if its alias has still to be moved and stands where that decision found it."""
        last = self.chain.last_change
        if last is None or last.applied or self.loss or self.alias not in (last.alias_found, last.after):
            return None
        return last


def state(client: Any, name: str, keep: bool = True) -> State:
    """Champion and alias, after finishing a move that was cut off, and after recording what was deleted in MLflow.

    RegistryError if the ledger is broken. Not `keep`: a loss is told, and recorded by the next command.
    """
    now = look(client, name)
    require_whole(name, now.chain.broken)
    if now.cut_off:
        time.sleep(GRACE)
        now = look(client, name)
    if entry := now.cut_off:
        finish(client, name, entry)
        what = {"promote": "promotion", "lost": "way back from a loss"}.get(entry.action, "rollback")
        print(f"finished a {what} that was cut off: {name} version {entry.version}, {entry.told}", file=sys.stderr)
        now = look(client, name)
    if now.loss:
        return give_up(client, name, now, now.loss, keep)
    if keep and (said := remark(client, name, now)) and note(client, name, now, said):
        return look(client, name)
    return now


def give_up(client: Any, name: str, now: State, loss: Loss, keep: bool) -> State:
    """The state after a loss: the champion before is champion again, or there is none."""
    kept = "the next command records it"
    if keep:
        reason = f"version {loss.version} is not in MLflow any more"
        then = "no champion" if loss.back_to is None else f"version {loss.back_to}"
        evidence = {"summary": f"back to {then}", "back_to": loss.back_to}
        try:
            entry = record(client, name, now, "lost", loss.version, reason, evidence)
            kept = f"entry {entry.number}"
        except Overtaken:
            return state(client, name)
        except unreachable() as error:
            if not is_denial(error):
                raise
            kept = "not recorded, since you may not write to the ledger"
    print(f"warning: {told(name, loss)} ({kept})", file=sys.stderr)
    after = look(client, name)
    if after.loss:  # it stays unrecorded
        after = replace(after, champion=loss.back_to, drift=None, loss=None)
    return replace(after, lost=loss.version)


def told(name: str, loss: Loss) -> str:
    then = "none" if loss.back_to is None else f"version {loss.back_to}, the champion before,"
    return f"version {loss.version}, the champion of {name}, is not in MLflow any more; {then} takes its place"


def remark(client: Any, name: str, now: State) -> str | None:
    """What else of the champion was deleted, and keeps nothing from going on."""
    if now.champion is None:
        return None
    if now.drift and now.alias is None:
        return f"alias {CHAMPION} was deleted"
    version = by_number(client, name, now.champion)
    return version and deleted_run(client, version)


def deleted_run(client: Any, version: Any) -> str | None:
    """What to say of a version whose run, or the run's experiment, was deleted."""
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        return None
    try:
        info = client.get_run(version.run_id).info
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return f"its run {version.run_id} is not in MLflow any more"
    if info.lifecycle_stage != "deleted":
        return None
    experiment = client.get_experiment(info.experiment_id)
    if experiment.lifecycle_stage == "deleted":
        return f"experiment {experiment.name}, of its run {version.run_id}, is deleted in MLflow"
    return f"its run {version.run_id} is deleted in MLflow"


def note(client: Any, name: str, now: State, said: str) -> bool:
    """Tells and records it, once for each champion; whether it did."""
    notes = [(each.version, each.reason) for each in now.chain.counting if each.action == "note"]
    if (now.champion, said) in notes:
        return False
    try:
        version = cast("int", now.champion)  # remark() says nothing where there is none
        entry = record(client, name, now, "note", version, said, {})
    except Overtaken:  # whoever looks next sees what there is then
        return False
    except unreachable() as error:
        if not is_denial(error):
            raise
        return False
    print(f"warning: version {now.champion}, the champion of {name}: {said} (entry {entry.number})", file=sys.stderr)
    return True


def current(client: Any, name: str) -> tuple[Any | None, State | None]:
    """The champion's version for whoever only uses it: by the alias, or, where that is gone, by the ledger."""
    if version := by_alias(client, name, CHAMPION):
        return version, None
    now = state(client, name)
    return (by_number(client, name, now.champion) if now.champion is not None else None), now


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
            if champion is not None and not is_there(client, name, chain, champion):
                loss = Loss(champion, before(client, name, chain))
                return State(champion, alias, f"{told(name, loss)}.\nType: ratchet history   (records it)", chain, loss)
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
            "Type: ratchet history"
        )
    since = f", {last.told}" if last else ""
    if last and last.action == "lost":
        since = f", since version {last.version} was {last.told}"
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


def is_there(client: Any, name: str, chain: Chain, version: int) -> bool:
    """Whether a version that was champion is in MLflow still, and is no other that got its number later.

    Numbers begin anew when a registered model is deleted and made again.
    """
    found = by_number(client, name, version)
    if found is None or found.tags.get(ledger.PROMOTION, "").startswith(f"{name}.ledger "):
        return found is not None
    made_champion = chain.made_champion(version)
    return made_champion is None or found.creation_timestamp <= made_champion


def before(client: Any, name: str, chain: Chain) -> int | None:
    """The newest champion before the present one that is there still."""
    older = (version for version in reversed(chain.stack[:-1]) if version != chain.champion)
    return next((version for version in older if is_there(client, name, chain, version)), None)


def record(
    client: Any, name: str, state: State, action: str, version: int, reason: str, evidence: dict[str, Any]
) -> Entry:
    """Writes a decision that was made on `state` to the ledger; then the alias follows, if it changes the champion.

    `action`: one of ledger.DECIDED. Overtaken if another changed the champion first; RegistryError says what is
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
            f"{name} version {entry.after} is champion by the ledger (entry {entry.number}), but the alias could not "
            f"follow: {type(error).__name__}: {redact(str(error))[:300]}\n{way_on(error, 'ratchet history')}"
        ) from error
    return entry


def appended(client: Any, name: str, state: State, fields: dict[str, Any]) -> Entry:
    """The entry that counts. It is looked for before every try to send it: a reply may be lost, or come too late.

    All tries bear one id: should two of them arrive, the first counts, and the other follows an old entry, and is void.
    """
    sent, failure = False, Exception("other decisions came between")
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
        f"{redact(str(failure))[:300]}\n{way_on(failure, 'ratchet history')}"
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
        by_hand = target.action == "lost" and target.alias_found is not None  # and so it stays: it shows as drift
        if target.after is not None and not by_hand:
            patiently(partial(point, client, name, CHAMPION, target.after))
        last = ledger.read(client, name).last_change or target
        if last.sha256 == target.sha256:
            break
        target = last
    patiently(lambda: ledger.mark_applied(client, name, target))
    if target is not entry:
        patiently(lambda: ledger.mark_applied(client, name, entry))
