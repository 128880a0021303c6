"""One request and its answer over ASGI; every refusal has the API's form, every answer the same security headers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

LINGER = 2.0  # seconds in which the rest of a refused body is dropped: many clients read only after they have sent
POLICY = b"default-src 'self'; img-src 'self' data:; style-src 'self'; frame-ancestors 'none'"
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
CLOSE = (b"connection", b"close")
GONE = "the client has gone"  # why a request's task is cancelled
LATER = (b"retry-after", b"1")  # second
BODY_HEADERS = {b"content-type", b"content-length", b"content-encoding"}


class Refusal(Exception):
    def __init__(self, status: int, message: str, *headers: Header):
        super().__init__(message)
        self.status, self.headers = status, list(headers)
        detail = {"detail": [{"field": "", "message": message}]}
        self.body = json.dumps(detail).encode()


class Gone(Exception):
    """The client has closed its connection."""


def who(scope: Message) -> str:
    """Of a request, in a line of the log: the client, the id that the answer bears as well, and what was asked."""
    host, port = scope.get("client") or ("-", 0)
    return f"{host}:{port} {scope.get('request_id', '-')} {scope['method']} {scope['path'][:200]!r}"


class Exchange:
    """A request and its answer: how far they have come, and what every answer bears."""

    def __init__(self, scope: Message, receive: Receive, send: Send):
        self.scope, self.receive, self.give = scope, receive, send
        self.pending = bool(self.values(b"transfer-encoding")) or self.values(b"content-length") not in ([], [b"0"])
        self.begun = True  # a message of the request is still to come, if an empty one
        self.started = self.replaced = False
        self.body, self.held = bytearray(), 0  # bytes that count as this request's until its end

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.scope["headers"] if key == name]

    async def part(self) -> bytes:
        """The next bytes of the body; b"" at its end."""
        while self.begun:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            self.begun = self.pending = message.get("more_body", False)
            if message.get("body"):
                return message["body"]
        return b""

    def replay(self) -> Receive:
        """What the app receives: the body at once, then whatever the server still says."""
        messages = [{"type": "http.request", "body": bytes(self.body), "more_body": False}]
        self.body.clear()

        async def receive() -> Message:
            return messages.pop() if messages else await self.receive()

        return receive

    async def send(self, message: Message) -> None:
        """Passes the app's answer on; an error that is no JSON, as frameworks have them, is told in the API's form."""
        if message["type"] != "http.response.start":
            return None if self.replaced else await self.give(message)
        headers = list(message.get("headers", []))
        kind = next((value for key, value in headers if key.lower() == b"content-type"), b"")
        if message["status"] >= 400 and not kind.startswith(b"application/json"):
            self.replaced = True
            kept = [(key, value) for key, value in headers if key.lower() not in BODY_HEADERS]
            return await self.refuse(Refusal(message["status"], phrase(message["status"]), *kept))
        self.started = True
        names = {key.lower() for key, _ in headers}
        headers += [(key, value) for key, value in SECURITY if key not in names]
        if kind.startswith(b"text/html"):
            headers.append((b"content-security-policy", POLICY))
        return await self.give({**message, "headers": headers})

    async def refuse(self, refusal: Refusal) -> None:
        """Answers, unless an answer has begun; the connection closes if there is more of the request to come."""
        if self.started:
            return
        self.started = True
        headers = [*whole(refusal), *([CLOSE] if self.pending and CLOSE not in refusal.headers else [])]
        await self.give({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.give({"type": "http.response.body", "body": refusal.body, "more_body": True})
        if self.pending:
            with suppress(TimeoutError, Gone):
                async with asyncio.timeout(LINGER):
                    while await self.part():
                        pass
        await self.give({"type": "http.response.body", "body": b""})


def whole(refusal: Refusal) -> list[Header]:
    kind, length = (b"content-type", b"application/json"), (b"content-length", b"%d" % len(refusal.body))
    return [kind, length, *SECURITY, *refusal.headers]


def phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in {one.value for one in HTTPStatus} else f"error {status}"
