"""A journal as it lies on disk: one JSON object a line, each kind with its fields; read back, and appended whole.

.ratchet/journal/<run id>/journal.jsonl is UTF-8. Its first line is a Header with the format's number; a journal without
one is of format 0, which is the same but for that line, and stays so. A line is what JSON makes of it: spaces and the
order of keys are the writer's. A new kind, or a field that a reader has to heed, needs a new number, and a journal of a
number that is unknown here is refused: nothing of it is read, nothing is written to it. Times are milliseconds since
1970, and never run backwards. A line without its newline was never acknowledged, and is dropped; one that is none of
these is read as `damaged` with its text, and stops none of the others.
"""

import json
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Literal, NotRequired, TypedDict, cast

from pydantic_core import from_json

from pipeline.project import paths
from pipeline.project.errors import DataError

FORMAT = 1
BLOCK = 1 << 16  # bytes read at once from a journal's end
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
NONE: dict[str, Any] = {}
encode = json.JSONEncoder(ensure_ascii=False).encode


class Header(TypedDict):
    kind: Literal["journal"]
    format: int
    run_id: str  # a journal that was taken out of its folder names its run all the same
    time: int  # when it was begun
    ratchet: str  # the version that began it; others may have gone on


class Told(TypedDict):
    """What any line may have besides: in refused-….jsonl, why a server does not take it."""

    refused: NotRequired[str]


class RunLine(Told):
    kind: Literal["run"]
    experiment: str
    name: str
    time: int
    parent: NotRequired[str | None]  # id of the run that this one is a part of


class TagsLine(Told):
    kind: Literal["tags"]
    values: dict[str, str]


class ParamsLine(Told):
    kind: Literal["params"]
    values: dict[str, str]


class InputLine(Told):
    kind: Literal["input"]
    context: str  # training, validation or testing
    name: str
    digest: str
    source: str
    profile: dict[str, Any]  # what the kind of data tells of a split; handed on as it is


class MetricsLine(Told):
    kind: Literal["metrics"]
    step: int
    time: int
    values: dict[str, float]


class ArtifactLine(Told):
    kind: Literal["artifact"]
    name: str  # the file lies in artifacts/ beside the journal
    sha256: NotRequired[str]


class StatusLine(Told):
    kind: Literal["status"]
    value: Status
    time: int
    reason: str


class DamagedLine(Told):
    kind: Literal["damaged"]
    text: str


Batched = TagsLine | ParamsLine | MetricsLine
Line = RunLine | Batched | InputLine | ArtifactLine | StatusLine | DamagedLine
KINDS = (RunLine, TagsLine, ParamsLine, InputLine, MetricsLine, ArtifactLine, StatusLine, DamagedLine)
# kind → what takes its fields out of a line, and fails if one is missing: a third of the time of comparing sets of keys
FIELDS = {kind.__annotations__["kind"].__args__[0]: itemgetter(*sorted(kind.__required_keys__)) for kind in KINDS}


def folder(run_id: str) -> Path:
    return paths.state("journal", run_id)


def journal_file(run_id: str) -> Path:
    return folder(run_id) / "journal.jsonl"


def begin(run_id: str, time: int) -> str:
    """The first line of a new journal."""
    header: Header = {"kind": "journal", "format": FORMAT, "run_id": run_id, "time": time, "ratchet": own_version()}
    return encode(header)


def own_version() -> str:
    try:
        return version("ratchet-ml")
    except PackageNotFoundError:  # run from a folder where it is not installed
        return "unknown"


def lines(run_id: str, offset: int = 0) -> Iterator[tuple[Line, int]]:
    """Each acknowledged line after the header and a byte offset, with the offset after it; DataError as `refusal`."""
    with journal_file(run_id).open("rb") as file:
        offset = max(offset, after_header(file))
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield parsed(line), offset


def after_header(file: BinaryIO) -> int:
    """The offset of the first line that is no header; DataError if the format is none of ours."""
    first = file.readline()
    header = json_value(first) if first.endswith(b"\n") else None
    if not isinstance(header, dict) or header.get("kind") != "journal":
        return 0
    given = header.get("format")
    if type(given) is int and 0 <= given <= FORMAT:
        return len(first)
    raise DataError(
        f"{file.name} is a journal of format {given!r}, which ratchet {header.get('ratchet', 'unknown')} began; "
        f"this ratchet ({own_version()}) knows the formats 0 to {FORMAT}. It was neither read nor altered.\n"
        "Type: git pull && make install   (for a newer Ratchet, which reads it; "
        "if an older commit is checked out here: git switch - && make install)"
    )


def run_ids() -> list[str]:
    """Of all that have a journal, in no order."""
    return [file.parent.name for file in paths.state("journal").glob("*/journal.jsonl")]


def refusal(run_id: str) -> DataError | None:
    """What is to be said of a journal that only another version of Ratchet can read."""
    try:
        with journal_file(run_id).open("rb") as file:
            after_header(file)
    except DataError as error:
        return error
    return None


def beginning(run_id: str) -> RunLine | None:
    """The line that names the run: the first one, or the next if the header before it is damaged."""
    return next((line for line, _ in islice(lines(run_id), 2) if line["kind"] == "run"), None)


def json_value(line: bytes) -> Any:  # whatever JSON may hold
    """None where it is no JSON: what the fast parser turns down, such as half of a surrogate pair, json may take."""
    try:
        return from_json(line, cache_strings="keys")
    except ValueError:
        pass
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def parsed(line: bytes) -> Line:
    try:
        value = from_json(line, cache_strings="keys")
    except ValueError:
        value = json_value(line)
    try:
        FIELDS[value["kind"]](value)
        if type(value.get("values", NONE)) is dict:
            return cast(Line, value)
    except (KeyError, TypeError):
        pass
    return {"kind": "damaged", "text": line.decode(errors="replace").strip()}


def count(line: Line) -> int:
    """How much a line brings to a server: its values, or itself."""
    if line["kind"] == "metrics" or line["kind"] == "params" or line["kind"] == "tags":
        return len(line["values"])
    return 1


def status(run_id: str) -> Status:
    """The last status that the journal holds; a run that has said none yet has just begun."""
    with journal_file(run_id).open("rb") as file:
        for text in backwards(file, after_header(file)):
            if b"status" in text or b"\\u" in text:  # no other line can be one, however it is written
                line = parsed(text)
                if line["kind"] == "status":
                    return line["value"]
    return "RUNNING"


def backwards(file: BinaryIO, start: int) -> Iterator[bytes]:
    """Acknowledged lines after an offset without their newlines, the last one first."""
    end, rest, whole = file.seek(0, os.SEEK_END), b"", False  # whole: a newline follows `rest`
    while end > start:
        size = min(BLOCK, end - start)
        end -= size
        file.seek(end)
        rest, *later = (file.read(size) + rest).split(b"\n")
        if later:
            yield from reversed(later if whole else later[:-1])
            whole = True
    if whole:
        yield rest


def durable(run_id: str) -> int:
    """Bytes of the journal that no power cut can take back: only those are shipped."""
    with journal_file(run_id).open("rb+") as file:
        size = os.fstat(file.fileno()).st_size
        os.fsync(file.fileno())
    return size


def append(file: BinaryIO, line: str) -> None:
    """Writes a whole line or nothing: a full disk leaves no half of it for the next line to follow."""
    content = memoryview(line.encode(errors="replace") + b"\n")
    written = 0
    try:
        while written < len(content):
            written += os.write(file.fileno(), content[written:])
    except OSError as error:
        os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size - written)
        raise OSError(error.errno, error.strerror, str(file.name)) from error
