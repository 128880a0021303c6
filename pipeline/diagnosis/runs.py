"""Runs: those that train now, those whose process is gone, and what of their journals is not at the server."""

from collections.abc import Iterator

from pipeline.diagnosis.finding import Finding, Look, held, note, ok, problem, refused
from pipeline.project.errors import DataError
from pipeline.project.files import quoted
from pipeline.tracking import journal, mlflow_store, sync
from pipeline.tracking.lines import beginning, folder, journal_file, lines, refusal, status


def runs(look: Look) -> Iterator[Finding]:
    ids = sync.run_ids()
    resting = [run_id for run_id in ids if not writing(run_id)]
    yield ok("journals", f"{counted(len(ids), 'run')}, {len(ids) - len(resting)} in training now")
    waiting = 0, 0
    for run_id in resting:
        if (newer := refusal(run_id)) is not None:
            yield refused("journals", newer, "git pull && make install")
            continue
        if beginning(run_id) is None:
            yield without_a_run(run_id)
            continue
        if status(run_id) == "RUNNING":
            text = f"run {run_id[:12]} says RUNNING, but its process is gone (SIGKILL, or out of memory)"
            yield problem(
                "stale run", text, "ratchet sync   (says KILLED; trained again, it goes on from its checkpoint)"
            )
        try:
            yield from set_aside(run_id)
            count = sync.waiting(run_id) - len(sync.refused(run_id))
            waiting = waiting[0] + count, waiting[1] + (count > 0)
        except DataError as error:
            yield refused("journals", error, "ratchet sync")
    yield unshipped(*waiting)


def writing(run_id: str) -> bool:
    return any(held(folder(run_id) / lock) for lock in (journal.WRITER, journal.BORROWER))


def without_a_run(run_id: str) -> Finding:
    """Only what holds nothing is advised to go."""
    if any(True for _ in lines(run_id)):
        text = f"run {run_id[:12]}: the line of its journal that names the run is damaged, so it can't be shipped"
        return problem("journals", text, f"less {quoted(journal_file(run_id))}   (mend it as that of other runs)")
    text = f"run {run_id[:12]}: its process was killed before the journal's first line"
    return problem("journals", text, f"rm -r {quoted(folder(run_id))}")


def set_aside(run_id: str) -> Iterator[Finding]:
    """Lines that are damaged on disk, and those that the server refuses."""
    file, lost = sync.beside(run_id, "refused.jsonl"), "of its journal can't be read any more"
    if damaged := sum(line["kind"] == "damaged" for line, _ in lines(run_id, sync.shipped(run_id)["offset"])):
        text = f"run {run_id[:12]}: {counted(damaged, 'line')} {lost}"
        yield problem("journals", text, f"ratchet sync   (ships all others, and keeps these in {file})")
    if known := len(sync.unreadable(run_id)):
        yield note("journals", f"run {run_id[:12]}: {counted(known, 'line')} {lost}; kept in {file}")
    if refused := sync.refused(run_id):
        text = f"run {run_id[:12]}: the server refuses {counted(len(refused), 'value')}: {refused[0].get('refused')}"
        yield problem("refused", text, f"less {quoted(file)}   (once more: ratchet sync)")


def unshipped(count: int, runs_of: int) -> Finding:
    if not count:
        return ok("unshipped", f"nothing waits: all is at {mlflow_store.shown_uri()}")
    text = f"{count:,} points and files of {counted(runs_of, 'run')} wait for {mlflow_store.shown_uri()}"
    return note("unshipped", text, "ratchet sync")


def counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
