"""What comes in a request's body: strict JSON, checked by a pydantic model, with every problem named by its field."""

import json
import re
import reprlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
SHOWN = 20  # problems of one answer
LONGEST = 1000  # characters of a message or of a field's name
WRONG, LARGE = 422, 413  # statuses of what can't be used, and of what could be if it were smaller


@dataclass(frozen=True)
class Limits:
    """What one request may hold; each is said in conf/config.yaml."""

    records: int
    characters: int
    pixels: int
    side: int


def encodable(text: str) -> str:
    """Refuses half a character: JSON's "\\ud800" without the other half, a UnicodeEncodeError."""
    text.encode()
    return text


Text = Annotated[str, AfterValidator(encodable)]


class Invalid(Exception):
    """`problems`: [{"field": "records.3.age", "message": …}], the first SHOWN, in text that any encoding takes."""

    def __init__(self, problems: list[dict[str, str]], status: int = WRONG):
        self.status = status
        self.problems = [{key: printable(text) for key, text in one.items()} for one in problems[:SHOWN]]
        super().__init__("; ".join(f"{one['field']}: {one['message']}" for one in self.problems))


def invalid(field: str, message: str, status: int = WRONG) -> Invalid:
    return Invalid([{"field": field, "message": message}], status)


def printable(text: str) -> str:
    cut = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return cut.encode("utf-8", "backslashreplace").decode()


def given(value: Any) -> str:
    """How a message begins."""
    return f"{reprlib.repr(value)} was given"


def joined(*parts: Any) -> str:
    """A field's name: records, 3, age → records.3.age; the first may be empty."""
    return ".".join(str(part) for place, part in enumerate(parts) if place or part != "")


def parsed(body: bytes) -> Any:
    """JSON by RFC 8259 in UTF-8; Invalid also where a key stands twice, for NaN and for infinity."""
    if body.count(b'"') == 2:  # one string alone, so that no key can stand twice: a picture's pixels
        with suppress(ValueError):  # read in a third of the time; what is wrong is said below
            return from_json(body, allow_inf_nan=False)
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise invalid("", f"byte {error.start} of the body is not UTF-8; give JSON in UTF-8") from None
    except RecursionError:
        raise invalid("", "the body is nested too deeply; a record has no more than four levels") from None
    except ValueError as error:  # a JSONDecodeError, or a whole number of thousands of digits
        raise invalid("", f"the body is not JSON: {re.sub(r';.*', '', str(error))}") from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise invalid(name, f"the key {name!r} stands twice in one object; give it once")
            seen.add(name)
    return made


def refuse(constant: str) -> None:
    raise invalid("", f"{constant} was given; JSON has no such number: give a finite one, or null")


def each(read: Callable[[Any, str], T], values: Iterable[Any], places: Iterable[str]) -> list[T]:
    """read(value, place) of all of them, so that what is wrong with any is said at once."""
    made: list[T] = []
    problems: list[dict[str, str]] = []
    statuses: set[int] = set()
    for value, place in zip(values, places, strict=True):
        try:
            made.append(read(value, place))
        except Invalid as error:
            problems += error.problems
            statuses.add(error.status)
            if len(problems) >= SHOWN:
                break
    if problems:
        raise Invalid(problems, WRONG if WRONG in statuses else LARGE)
    return made


def checked(
    model: type[BaseModel], value: Any, place: str, unknown: Callable[[str], str], depth: int = 1
) -> dict[str, Any]:
    """The fields that were given, by their aliases; `unknown` tells what is wrong with a key that it lacks.

    A problem is named by `depth` parts at most: 2 where an element of a list may be wrong.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if not isinstance(value, dict):
        raise invalid(place, f"{given(value)}; it needs an object with {' or '.join(map(repr, list(fields)[:SHOWN]))}")
    foreign = [key for key in value if key not in fields][:SHOWN]
    if foreign:
        raise Invalid([{"field": joined(place, key), "message": unknown(key[:LONGEST])} for key in foreign])
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        problems: dict[str, str] = {}
        for one in error.errors(include_url=False):
            where = [part for part in one["loc"][:depth] if part == one["loc"][0] or isinstance(part, int)]
            start = "it is missing" if one["type"] == "missing" else given(one["input"])
            message = f"{start}; it needs {fields[str(where[0])].description}"
            problems.setdefault(joined(place, *where), message)
        raise Invalid([{"field": field, "message": message} for field, message in problems.items()]) from None
    return {
        field.alias or name: getattr(made, name)
        for name, field in model.model_fields.items()
        if name in made.model_fields_set
    }


def canonical(value: Any) -> bytes:
    """The same bytes of JSON for the same value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
