"""The journal's format: what was written before it had a number, by other hands, by a later Ratchet, or cut off."""

import json
from pathlib import Path

import pytest

from pipeline.project.errors import DataError
from pipeline.sweeping.process import Membership
from pipeline.sweeping.recording import record
from pipeline.sync import ship_all
from pipeline.tracking import lines, recorded, sync
from pipeline.tracking.journal import Journal, close_if_dead
from tests.support import runs
from tests.support.trackers import arrived_once

# As it was written before a journal had a header: kept, for such journals are in use
FORMAT_0 = """\
{"kind": "run", "experiment": "mnist", "name": "kept", "time": 1764550000000, "parent": null}
{"kind": "status", "value": "RUNNING", "time": 1764550000001, "reason": ""}
{"kind": "params", "values": {"training.monitor": "val/accuracy", "optimizer.lr": "0.001"}}
{"kind": "tags", "values": {"device": "cpu", "note": "schön"}}
{"kind": "input", "context": "training", "name": "mnist-train", "digest": "00", "source": "data", "profile": {"n": 1}}
{"kind": "metrics", "step": 1, "time": 1764550001000, "values": {"train/loss": 0.5, "train/lr": 0.001}}
{"kind": "metrics", "step": 2, "time": 1764550002000, "values": {"val/accuracy": 0.75, "val/loss": 1.25}}
{"kind": "status", "value": "FINISHED", "time": 1764550003000, "reason": "trained to its end"}
"""
NEWER = '{"kind": "journal", "format": 2, "ratchet": "9.1", "packed": "zstd"}\n\x00\x01 whatever comes then\nhalf a li'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri(tmp_path))
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


def uri(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


def lay(run_id: str, content: str | bytes) -> Path:
    file = lines.journal_file(run_id)
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def foreign(content: str) -> str:
    """The same lines with other spaces, keys the other way round, and every letter of theirs escaped."""
    parsed = (json.loads(line) for line in content.splitlines())
    turned = (json.dumps(dict(reversed(line.items())), separators=(" ,", ":  ")) for line in parsed)
    return "".join(f" {line}\t\r\n" for line in turned).replace('"status"', '"\\u0073tatus"')


def kinds(run_id: str) -> list[str]:
    return [line["kind"] for line, _ in lines.lines(run_id)]


def test_a_new_journal_says_its_format_and_its_run(here: Path) -> None:
    with Journal.begin("a1", "mnist", "name", 1.0) as journal:
        journal.status("RUNNING")
    with Journal.begin("a1", "mnist", "name", 1.0) as journal:
        journal.status("FINISHED")
    header, *rest = map(json.loads, lines.journal_file("a1").read_text().splitlines())
    assert (header["kind"], header["format"], header["run_id"]) == ("journal", 1, "a1")
    assert header["ratchet"] != "unknown"
    assert [line["kind"] for line in rest] == ["run", "status", "status"] == kinds("a1")


@pytest.mark.parametrize("content", [FORMAT_0, foreign(FORMAT_0)], ids=["ours", "by other hands"])
def test_a_journal_without_a_header_is_read_gone_on_with_and_shipped(here: Path, content: str) -> None:
    file = lay("a1", content)
    (told,) = map(recorded.read, recorded.begun())
    assert (told.name, told.status, told.seconds, told.best, told.best_step) == ("kept", "FINISHED", 2.999, 0.75, 2)
    assert told.tags == {"device": "cpu", "note": "schön"}
    assert set(told.metrics) == {"val/accuracy", "val/loss"}
    with Journal.begin("a1", "mnist", "kept", 1.0) as journal:
        journal.tags({"note": "schön", "device": "cpu"})  # they are there, in another order
        journal.params({"optimizer.lr": 7})
        journal.metrics(2, {"val/accuracy": 0.75})
        journal.metrics(3, {"val/accuracy": 0.5})
    before, after = content.encode(), file.read_bytes()
    assert after.startswith(before)
    assert [json.loads(line)["values"] for line in after[len(before) :].splitlines()] == [{"val/accuracy": 0.5}]
    assert ship_all() == 0
    arrived_once(uri(here), here, "a1")
    (run,) = runs.shipped_runs(uri(here))
    assert run.data.params == {"training.monitor": "val/accuracy", "optimizer.lr": "0.001"}


def test_a_trial_that_has_said_its_status_in_other_spacing_is_not_told_again(here: Path) -> None:
    lay("a1", foreign(FORMAT_0))
    member = Membership(parent="b2", experiment="mnist", tags={})
    record({"run_id": "a1", "state": "COMPLETE", "found": {}}, "kept", member, {})
    assert kinds("a1") == [*(json.loads(line)["kind"] for line in FORMAT_0.splitlines()), "tags"]


def test_a_newer_journal_is_refused_by_name_keeps_its_bytes_and_stops_no_other(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = lay("newer", NEWER)
    for name in ("a1", "b2"):
        lay(name, FORMAT_0.replace('"parent": null', '"parent": "newer"') if name == "b2" else FORMAT_0)
    assert ship_all() == 1
    said = capsys.readouterr().err
    for words in ("newer/journal.jsonl", "format 2", "ratchet 9.1", "formats 0 to 1", "Type: git pull && make install"):
        assert words in said
    assert "b2: run newer, of which this one is a part, is not on the server yet" in said.replace("run b2", "b2")
    arrived_once(uri(here), here, "a1")
    assert ship_all() == 1
    assert "newer/journal.jsonl is a journal of format 2" in capsys.readouterr().err
    for read in (
        lambda: Journal.begin("newer", "mnist", "name", 1.0),
        lambda: Journal.later("newer", "mnist", "name"),
        lambda: close_if_dead("newer"),
        lambda: lines.status("newer"),
        lambda: list(lines.lines("newer", 3)),
        lambda: sync.waiting("newer"),
        lambda: sync.ship(None, "newer"),
        lambda: sync.follow("newer", 0),
        lambda: recorded.found("newe", recorded.begun()),
    ):
        with pytest.raises(DataError, match=r"(?s)format 2.*git pull && make install"):
            read()
    assert newer.read_text() == NEWER
    assert not list(newer.parent.glob("*.json"))
    assert {run.run_id for run in recorded.begun()} == {"a1", "b2"}


@pytest.mark.parametrize("given", ['"2"', "1.5", "-1", "true", "null", "[]"])
def test_a_header_whose_format_is_no_number_of_ours_is_refused(here: Path, given: str) -> None:
    lay("a1", f'{{"kind": "journal", "format": {given}}}\n{FORMAT_0}')
    with pytest.raises(DataError, match="is a journal of format"):
        lines.status("a1")


def test_every_command_refuses_a_newer_journal_and_shows_the_others(prepared: Path) -> None:
    small = ["model.widths=[16]", "training.max_epochs=1", "trainer.threads=1"]
    assert runs.called(prepared, "train", *small).returncode == 0
    (run_id,) = runs.run_ids(prepared)
    file = prepared / ".ratchet/journal" / run_id / "journal.jsonl"
    file.write_text(file.read_text().replace('"format": 1,', '"format": 99,', 1))
    before = file.read_bytes()
    other = file.parents[1] / ("c" * 32) / "journal.jsonl"
    other.parent.mkdir()
    other.write_text(FORMAT_0)
    for verb in (["train", *small], ["evaluate"], ["runs", "--json"], ["compare", run_id[:8], "kept"], ["sync"]):
        done = runs.called(prepared, *verb)
        assert done.returncode == 1, verb
        assert f"{run_id}/journal.jsonl is a journal of format 99" in done.stderr, verb
        assert "Type: git pull && make install" in done.stderr, verb
        if verb[0] == "runs":
            assert [run["name"] for run in json.loads(done.stdout)] == ["kept"]
    assert file.read_bytes() == before
    arrived_once(runs.store(prepared), prepared, "c" * 32)


def test_a_journal_that_was_cut_anywhere_in_its_first_lines_is_gone_on_with(here: Path) -> None:
    with Journal.begin("whole", "mnist", "name", 1.0) as journal:
        journal.tags({"device": "cpu"})
    whole = lines.journal_file("whole").read_bytes()
    for size in range(len(whole)):
        run_id = f"cut-{size}"
        file = lay(run_id, whole[:size])
        acknowledged = whole[: whole[:size].rfind(b"\n") + 1]
        close_if_dead(run_id)
        assert lines.status(run_id) == ("KILLED" if b'"run"' in acknowledged else "RUNNING")
        with Journal.begin(run_id, "mnist", "name", 1.0) as journal:
            journal.tags({"device": "cpu"})
        assert file.read_bytes().startswith(acknowledged)
        assert kinds(run_id)[0] == "run"
        assert sorted({*kinds(run_id)} - {"status"}) == ["run", "tags"]
        assert file.read_bytes().count(b'"kind": "journal"') == 1


@pytest.mark.parametrize("size", [0, 20])
def test_a_journal_that_never_began_holds_no_other_up(here: Path, size: int) -> None:
    file = lay("a1", lines.begin("a1", 0)[:size])
    lay("b2", FORMAT_0)
    assert ship_all() == 0
    arrived_once(uri(here), here, "b2")
    assert len(file.read_bytes()) == size


def test_a_damaged_header_hides_nothing_behind_it(here: Path) -> None:
    with Journal.begin("a1", "mnist", "name", 1.0) as journal:
        journal.metrics(1, {"loss": 0.5})
        journal.status("FINISHED")
    file = lines.journal_file("a1")
    file.write_bytes(file.read_bytes().replace(b'{"kind": "jou', b'{"kin\xff: "jou', 1))
    assert [run.name for run in recorded.begun()] == ["name"]
    assert ship_all() == 0
    (run,) = runs.shipped_runs(uri(here))
    assert runs.shipped_points(uri(here), run.info.run_id) == [("loss", 1, 0.5)]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"kind": "tags", "values": {"half": "\\ud800"}}', "tags"),
        (b'\xef\xbb\xbf{"kind": "tags", "values": {}}', "tags"),
        (b'{"kind": "metrics", "step": 1, "time": 1, "values": {"a": NaN, "b": -Infinity, "c": 1e999}}', "metrics"),
        (b'{"kind": "tags", "values": {"deep": ' + b"[" * 300 + b"]" * 300 + b"}}", "tags"),
        (b'{"kind": "tags", "values": {"a": "\xff"}}', "damaged"),
        (b'{"kind": "tags", "values": ["a"]}', "damaged"),
        (b'{"kind": "metrics", "step": 1, "values": {"a": 1}}', "damaged"),
        (b'{"kind": ["tags"]}', "damaged"),
        (b'{"kind": "tags", "values": ' + b"[" * 200_000, "damaged"),
        (b"[1, 2]", "damaged"),
        (b"7", "damaged"),
        (b"", "damaged"),
    ],
)
def test_what_is_json_and_whole_is_a_line_and_all_else_is_damaged(here: Path, line: bytes, kind: str) -> None:
    lay("a1", FORMAT_0.encode() + line + b"\n" + b'{"kind": "status", "value": "KILLED", "time": 2, "reason": ""}\n')
    assert kinds("a1")[-2:] == [kind, "status"]
    assert lines.status("a1") == "KILLED"


@pytest.mark.parametrize("tail", ["", '{"kind": "status", "value": "KILLED", "time": 9, "reas'])
@pytest.mark.parametrize("points", [0, 1, 3000])
def test_the_last_status_is_found_however_much_follows_it(here: Path, points: int, tail: str) -> None:
    point = '{"kind": "metrics", "step": 1, "time": 1, "values": {"status": 1, "train/loss": 0.5}}\n'
    begun, running, *_ = FORMAT_0.splitlines(keepends=True)
    lay("a1", begun + running.replace("RUNNING", "FAILED") + point * points + tail)
    assert lines.status("a1") == "FAILED"
    lay("b2", begun + point * points + tail)
    assert lines.status("b2") == "RUNNING"
