"""What was predicted and what was right, in SQLite and PostgreSQL: processes that die, and many that write at once."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pipeline.feedback_loop import database as tables
from pipeline.feedback_loop.store import Labelled, Prediction, Store
from pipeline.project.errors import StoreError
from tests.conftest import REPOSITORY, lean
from tests.support import limits
from tests.support.trackers import PostgreSQL, postgresql, postgresql_missing

EVER = 1 << 60  # ms
BEGINNING = """
import os, signal, sys
from pipeline.feedback_loop.store import Prediction, Store
def prediction(name, record=b'{"text":"good"}'):
    return Prediction(name, 5, "reviews", 1, "d" * 64, "text", record, '{"label":"yes"}')
def told(line):
    print(line, flush=True)
url = sys.argv[1]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    if (reason := postgresql_missing()) is not None:
        pytest.skip(reason)
    with postgresql() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/feedback.db"
    return database(request.getfixturevalue("server"))


def database(server: PostgreSQL) -> str:
    """A schema, which takes less time to make."""
    name = f"feedback_{random.randrange(EVER)}"
    engine = create_engine(server.uri)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    return f"{server.uri}?options=-csearch_path%3D{name}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


def made(
    name: str, time: int = 5, version: int = 1, record: bytes = b'{"text":"good"}', kind: str = "text"
) -> Prediction:
    return Prediction(name, time, "reviews", version, "d" * 64, kind, record, '{"label":"yes"}')


def started(code: str, *arguments: str) -> subprocess.Popen:
    """A process that has imported the store."""
    command = [sys.executable, "-c", BEGINNING + code, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=REPOSITORY, env=lean(), **pipes)


def ended(process: subprocess.Popen) -> tuple[int, str]:
    output = process.communicate(timeout=30)[0]
    return process.returncode, output


def rows(store: Store) -> dict[str, Labelled]:
    found = list(store.labelled())
    assert len({one.prediction.id for one in found}) == len(found), "a row for each prediction"
    assert [one.sequence for one in found] == sorted({one.sequence for one in found})
    return {one.prediction.id: one for one in found}


def test_a_label_is_kept_once_and_can_be_corrected(store: Store):
    store.add([made("a"), made("b", version=2)])
    given = [store.label("a", label, now) for label, now in (("no", 10), ("no", 11), ("yes", 12), ("no", 13))]
    assert [one.status for one in given] == ["stored", "known", "corrected", "corrected"]
    assert [one.sequence for one in given] == [1, 1, 2, 3]
    assert store.label("b", "yes", 14).prediction == made("b", version=2)
    assert rows(store)["a"] == Labelled(made("a"), "no", "corrected", 13, 2, 3)
    assert [one.prediction.id for one in store.labelled(after=3)] == ["b"]
    assert store.made("reviews") == {(1, 0): 1, (2, 0): 1}


@pytest.mark.parametrize("name", ["c", "", "\0", "\ud800", "ø", "'; --", "x" * 100_000])
def test_an_unknown_prediction_takes_no_label(store: Store, name: str):
    store.add([made("a")])
    assert store.label(name, "no", 10) is None
    assert store.prediction(name) is None
    assert store.prediction("a") == made("a")
    assert rows(store) == {}


def test_predictions_are_counted_by_version_and_day_and_the_newest_are_of_one_version(store: Store):
    day = 86_400_000
    given = [("a", 5, 1), ("b", day - 1, 1), ("c", day, 1), ("d", day + 1, 2), ("e", day + 2, 2)]
    store.add([made(name, time, version) for name, time, version in given])
    assert store.made("reviews") == {(1, 0): 2, (1, 1): 1, (2, 1): 2}
    assert [one.id for one in store.newest("reviews", 10)] == ["e", "d"]
    assert [one.id for one in store.newest("reviews", 1)] == ["e"]
    assert (store.made("another"), store.newest("another", 1)) == ({}, [])


def test_predictions_are_added_all_or_none(store: Store):
    store.add([])
    store.add([made("a")])
    with pytest.raises(StoreError, match="can't be used"):
        store.add([made("b"), made("a")])
    assert store.prediction("b") is None


def test_labels_come_in_pages_and_in_order(store: Store):
    names = [f"{number:04}" for number in range(450)]
    store.add([made(name) for name in names])
    random.Random(0).shuffle(names)
    for name in names:
        store.label(name, "no", 10)
    store.label(names[0], "yes", 11)
    assert list(rows(store)) == [*names[1:], names[0]]


def test_what_is_old_and_has_no_label_is_deleted(store: Store):
    store.add([made(f"{number:04}", time=number // 300) for number in range(1000)])
    kept = [f"{number:04}" for number in range(0, 1000, 7)]
    for name in kept:
        store.label(name, "no", 10)
    late = [f"{number:04}" for number in range(900, 1000)]
    wanted = {*kept, *late}
    assert store.prune(3) == 1000 - len(wanted)
    assert {name for name in (f"{number:04}" for number in range(1000)) if store.prediction(name)} == wanted
    assert set(rows(store)) == set(kept)


def test_a_label_that_was_taken_is_kept_while_others_are_deleted(store: Store):
    names = [f"{number:04}" for number in range(600)]
    store.add([made(name) for name in names])
    given: dict[str, Labelled | None] = {}
    thread = threading.Thread(target=lambda: given.update({name: store.label(name, "no", 10) for name in names[::-3]}))
    thread.start()
    while thread.is_alive():
        store.prune(EVER)
    thread.join()
    assert len(given) == 200
    assert set(rows(store)) == {name for name, one in given.items() if one is not None}


def test_a_kill_right_after_the_answer_loses_nothing(url: str):
    code = """
store = Store(url)
store.add([prediction("a"), prediction("b")])
store.label("a", "no", 10)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert ended(started(code, url))[0] == -signal.SIGKILL
    store = Store(url)
    assert rows(store)["a"].label == "no"
    assert store.label("b", "yes", 11).status == "stored"
    store.close()


def test_a_kill_at_any_moment_leaves_whole_batches_and_a_store_that_opens(url: str):
    code = """
told("ready")
sys.stdin.readline()
store = Store(url)
for batch in range(10_000):
    store.add([prediction(f"{os.getpid()}-{batch}-{row}") for row in range(64)])
"""
    processes = [started(code, url) for _ in range(8)]
    for number, process in enumerate(processes):  # the first ones while they make the tables
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(0.006 * number)
        process.kill()
        ended(process)
        store = Store(url)
        assert all(count % 64 == 0 for count in store.made("reviews").values())
        store.close()
    assert number == 7


def test_twenty_processes_make_the_store_and_label_at_once(url: str):
    code = """
import multiprocessing
context = multiprocessing.get_context("fork")  # they import nothing anew
barrier = context.Barrier(20, timeout=30)

def work(name):
    barrier.wait()
    store = Store(url)
    store.add([prediction(name)])
    if barrier.wait() == 0:
        store.add([prediction("shared")])
        told("made")
    barrier.wait()
    for turn in range(5):
        one = store.label("shared", f"{name}-{turn}", turn)
        os.write(1, f"{one.sequence} {one.status} {one.label}\\n".encode())
    assert store.label(name, "no", 10).status == "stored"

processes = [context.Process(target=work, args=(str(number),)) for number in range(20)]
[process.start() for process in processes]
[process.join() for process in processes]
sys.exit(sum(process.exitcode != 0 for process in processes))
"""
    process, seen = started(code, url), {}
    assert process.stdout.readline() == "made\n"
    store = Store(url)
    while process.poll() is None:
        follow(store, seen)
    follow(store, seen)
    exit_code, output = ended(process)
    assert exit_code == 0
    told = sorted((line.split() for line in output.splitlines()), key=lambda one: int(one[0]))
    assert [status for _, status, _ in told] == ["stored"] + ["corrected"] * 99
    found = rows(store)
    assert (found["shared"].label, found["shared"].corrections) == (told[-1][2], 99)
    assert set(found) == {"shared", *map(str, range(20))}
    assert seen == found, "who reads on from the last number misses none"
    assert max(one.sequence for one in found.values()) == 120
    store.close()


def follow(store: Store, seen: dict[str, Labelled]) -> None:
    last = max((one.sequence for one in seen.values()), default=0)
    seen.update({one.prediction.id: one for one in store.labelled(last)})


def test_two_labels_at_once_leave_one_row(store: Store):
    store.add([made(f"{number}") for number in range(50)])
    barrier, statuses = threading.Barrier(2), []

    def label(mine: str) -> None:
        for number in range(50):
            barrier.wait()
            statuses.append((number, store.label(f"{number}", mine, 10).status))

    threads = [threading.Thread(target=label, args=(mine,)) for mine in ("no", "yes")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == sorted((number, status) for number in range(50) for status in ("stored", "corrected"))
    assert {one.corrections for one in rows(store).values()} == {1}


def test_a_full_disk_is_named_and_what_was_there_is_whole(tmp_path: Path):
    with limits.disk(tmp_path / "small", "2m") as disk:
        store = Store(f"sqlite:///{disk}/feedback.db")
        store.add([made("a"), made("b")])
        store.label("a", "no", 10)
        filler = limits.fill(disk)
        with pytest.raises(StoreError, match=r"database or disk is full.\nFree some room .*df -h .*small"):
            fill(store)
        half = store.made("reviews")[1, 0]
        assert half % 64 == 2
        assert list(rows(store)) == ["a"]
        filler.unlink()
        store.add([made("c")])
        assert store.label("b", "yes", 11).status == "stored"
        assert store.made("reviews") == {(1, 0): half + 1}
        assert len(rows(store)) == 2
        store.close()


def fill(store: Store) -> None:
    for number in range(100):
        store.add([made(f"{number}-{row}", record=bytes(2000)) for row in range(64)])


def test_a_server_that_was_away_is_used_again(server: PostgreSQL):
    store = Store(database(server))
    store.add([made("a")])
    server.crash()
    with pytest.raises(StoreError, match="Is its server running"):
        store.label("a", "no", 10)
    with pytest.raises(StoreError, match="Is its server running"):
        store.add([made("b")])
    server.start()
    assert store.label("a", "no", 10).status == "stored"
    assert store.prediction("b") is None
    server.crash()
    server.start()
    assert store.label("a", "no", 11).status == "known", "a connection that died unseen is no error"
    store.close()


def test_a_store_of_a_later_ratchet_is_refused_by_name(url: str):
    Store(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE ratchet_store SET format = 2"))
    engine.dispose()
    with pytest.raises(StoreError, match=r"feedback.* has format 2; this Ratchet reads 1.\nA later Ratchet made it"):
        Store(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("feedback.db", "serving.store=feedback.db"),
        ("sqlite://", "keeps nothing"),
        ("sqlite:///:memory:", "keeps nothing"),
        ("mysql://anna:canary-5150@127.0.0.1/x", "Allowed: sqlite:///FILE, or postgresql"),
        ("sqlite:///{folder}/none/feedback.db", "mkdir -p {folder}/none"),
        ("sqlite:///{folder}/picture.db", "is no database"),
        ("postgresql+psycopg2://anna:canary-5150@127.0.0.1:9/x", "Is its server running"),
    ],
)
def test_a_store_that_can_not_be_is_refused(tmp_path: Path, url: str, said: str):
    (tmp_path / "picture.db").write_bytes(random.Random(0).randbytes(9000))
    with pytest.raises(StoreError) as refused:
        Store(url.format(folder=tmp_path))
    assert said.format(folder=tmp_path) in str(refused.value)
    assert "canary" not in str(refused.value)


@contextmanager
def held(file: Path, how: str) -> Iterator[threading.Timer]:
    """By another writer, for half a second."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute(how)
    timer = threading.Timer(0.5, other.execute, ["ROLLBACK"])
    timer.start()
    yield timer
    timer.join()
    other.close()


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_file_that_another_process_holds_is_waited_for(tmp_path: Path, how: str):
    with held(tmp_path / "feedback.db", how):  # before write-ahead logging is on
        store = Store(f"sqlite:///{tmp_path}/feedback.db")
    store.add([made("a")])
    with held(tmp_path / "feedback.db", how) as timer:
        assert store.prediction("a") is not None, "who reads waits for nobody"
        assert timer.is_alive()
        assert store.label("a", "no", 10).status == "stored"
    store.close()


@pytest.fixture
def used(tmp_path: Path) -> Iterator[Store]:
    """With a prediction `a`, by more than one connection."""
    store = Store(f"sqlite:///{tmp_path}/feedback.db")
    store.check()
    store.add([made("a")])
    assert store.label("a", "no", 10).status == "stored"
    yield store
    store.close()


def test_a_file_that_was_deleted_takes_nothing_and_is_not_made_anew(used: Store, tmp_path: Path):
    file = tmp_path / "feedback.db"
    file.rename(tmp_path / "away.db")
    for write in (lambda: used.add([made("b")]), lambda: used.label("a", "yes", 11), used.check):
        with pytest.raises(StoreError, match="was deleted") as error:
            write()
        assert str(tmp_path) not in error.value.reason
    assert not file.exists()
    (tmp_path / "away.db").rename(file)
    used.check()
    assert used.label("a", "no", 12).status == "known", "it is the file as it was"


def test_a_file_that_goes_during_a_transaction_is_seen(used: Store, tmp_path: Path):
    def write() -> None:
        with used.transaction(tables.LASTING):
            (tmp_path / "feedback.db").unlink()

    with pytest.raises(StoreError, match="was deleted"):
        write()


def test_an_empty_file_in_its_place_becomes_a_store_and_a_backup_is_read(used: Store, tmp_path: Path):
    file = tmp_path / "feedback.db"
    with sqlite3.connect(tmp_path / "backup.db") as backup, sqlite3.connect(file) as now:
        now.backup(backup)
    file.unlink()
    file.touch()
    used.check()
    used.add([made("c")])
    assert (used.prediction("a"), used.prediction("c") is None) == (None, False)
    for part in tmp_path.glob("feedback.db*"):
        part.unlink()
    (tmp_path / "backup.db").rename(file)
    used.check()
    assert used.label("a", "no", 12).status == "known"


def test_a_log_that_was_deleted_is_saved_into_the_database(used: Store, tmp_path: Path):
    def write() -> None:
        with used.transaction(tables.LASTING) as connection:
            connection.execute(text("UPDATE ratchet_labels SET label = 'kept'"))
            (tmp_path / "feedback.db-wal").unlink()

    for act in (write, used.check):
        with pytest.raises(StoreError, match="-wal was deleted"):
            act()
    (tmp_path / "copy.db").write_bytes((tmp_path / "feedback.db").read_bytes())
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("SELECT label FROM ratchet_labels").fetchall() == [("kept",)]


def test_a_check_tells_of_a_holder_soon(used: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.feedback_loop.store.PATIENCE", 0)
    with held(tmp_path / "feedback.db", "BEGIN IMMEDIATE"), pytest.raises(StoreError) as error:
        used.check()
    assert error.value.reason == "another process holds it"
    used.check()


def test_a_check_tells_of_a_file_that_is_read_only(used: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write whatever the mode says
    with pytest.raises(StoreError, match="chmod u") as error:
        used.check()
    assert error.value.reason == "it is read-only"


def test_a_check_tells_of_a_full_disk(tmp_path: Path):
    with limits.disk(tmp_path / "small", "1m") as disk:
        store = Store(f"sqlite:///{disk}/feedback.db")
        filler = limits.fill(disk)
        with pytest.raises(StoreError) as error:
            store.check()
        assert error.value.reason == "its disk is full"
        filler.unlink()
        store.check()
        store.close()


def test_a_table_that_another_session_holds_is_not_waited_for_for_ever(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tables, "WAIT", 1)
    store = Store(database(server))
    engine = create_engine(store.engine.url)
    with engine.begin() as other:
        other.execute(text("LOCK TABLE ratchet_predictions IN ACCESS EXCLUSIVE MODE"))
        began = time.monotonic()
        with pytest.raises(StoreError, match="pg_stat_activity"):
            store.add([made("a")])
        assert time.monotonic() - began < 5
    engine.dispose()
    store.add([made("a")])
    assert store.prediction("a") is not None
    store.close()


def test_addresses_and_numbers_reach_no_file(tmp_path: Path):
    secrets = [b"anna.berg", b"912 34 567", b"555-0199", b"91234567"]
    record = {"text": "Write to anna.berg@example.org, or ring 91234567", "tags": ["+47 912 34 567"], "n": 91230000}
    store = Store(f"sqlite:///{tmp_path}/feedback.db", scrub=True)
    store.add([made("a", record=json.dumps(record).encode()), made("b", record=b'"800-555-0199, 2024-01-31"')])
    store.add([made("c", record=b"\x89PNG anna@example.org", kind="image")])
    store.label("a", "no", 10)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "feedback.db-wal" in files
    assert [(name, secret) for name, content in files.items() for secret in secrets if secret in content] == []
    kept = json.loads(store.prediction("a").record)
    assert kept == {"text": "Write to [e-mail], or ring [phone]", "tags": ["[phone]"], "n": 91230000}
    assert store.prediction("b").record == b'"[phone], 2024-01-31"'
    assert store.prediction("c").record == b"\x89PNG anna@example.org"
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["feedback.db"]
    assert not any(secret in (tmp_path / "feedback.db").read_bytes() for secret in secrets)
