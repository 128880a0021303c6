"""A file from a server: resumed when the connection drops, given up when there is no answer.

DataError         the server gives something else than the file
├── Absent        it will not give the file; asking again is of no use
├── Dropped       the bytes stopped; those that came are kept, and a new attempt goes on from there
└── Unreachable   the server can't be reached; asking it for the other files is of no use
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from pipeline.project.errors import DataError

PATIENCE = 5.0  # seconds without an answer, or without a byte
CHUNK = 1 << 16  # bytes
PARTIAL, UNSATISFIABLE = 206, 416

Value = TypeVar("Value")


class Absent(DataError):
    pass


class Dropped(DataError):
    pass


class Unreachable(DataError):
    pass


def extend(part: Path, url: str, most: int) -> None:
    """Downloads into `part`, going on where it ends; refuses a body that makes it larger than `most` bytes."""
    start = part.stat().st_size if part.exists() else 0
    with ask(url, start) as response:
        if response.status_code == UNSATISFIABLE and start:
            return  # nothing is missing
        if response.status_code >= 500:
            raise Dropped(f"HTTP {response.status_code} {response.reason}")
        if not response.ok:
            raise Absent(f"HTTP {response.status_code} {response.reason}")
        resumed = response.status_code == PARTIAL
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink()
            raise Dropped("the server resumed at another place than it was asked to")
        receive(response, part, start if resumed else 0, most)


def receive(response: requests.Response, part: Path, start: int, most: int) -> None:
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    if total and total > most:
        raise DataError(f"the server offers {total:,} bytes; the right file has at most {most:,}")
    size = start
    bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem[:40], disable=None, leave=False)
    with bar, part.open("r+b" if start else "wb") as file:
        file.seek(start)
        try:
            # Undecoded, so that a server's Content-Encoding can't change which bytes are summed
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                size += len(chunk)
                if size > most:
                    raise DataError(f"the server sends more than {most:,} bytes, the most that the right file has")
                file.write(chunk)
                bar.update(len(chunk))
        except HTTPError:
            raise Dropped(f"the connection dropped after {size:,} of {total or 'unknown':,} bytes") from None


def ask(url: str, start: int) -> requests.Response:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return within(PATIENCE, lambda: requests.get(url, headers=headers, stream=True, timeout=PATIENCE))
    except TimeoutError:
        raise Unreachable(f"no answer in {PATIENCE:.0f} seconds") from None
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise Unreachable(why(error)) from None


def within(seconds: float, call: Callable[[], Value]) -> Value:
    """call(), or TimeoutError: a look-up of a name, or a host with many addresses, heeds no timeout of its own."""
    future: Future[Value] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except (OSError, ValueError, HTTPError) as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result(seconds)


def why(error: Exception) -> str:
    """The cause, without the URL: that may hold what `${oc.env:NAME}` stood for."""
    if isinstance(error, requests.Timeout):
        return f"no answer in {PATIENCE:.0f} seconds"
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return str(cause).rpartition(": ")[2] if cause else f"it can't be asked ({type(error).__name__})"
