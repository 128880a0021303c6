"""What stands between the network and the app: foreign pages, strangers and bodies without measure do not get past it.

Plain ASGI, around all paths; what ends a connection that asks for nothing is in connection.py. Not by Starlette: its
TrustedHostMiddleware looks at no Origin, its RequestBodyLimitMiddleware bounds neither the time of a body nor all of
them together, FastAPI's HTTPBearer guards a route alone, and each refuses in a form of its own.
"""

import asyncio
import hmac
import logging
import re
import traceback
from pathlib import Path
from typing import Any

from pipeline.project.secrets import redact
from pipeline.serving.asgi import CLOSE, GONE, LATER, Exchange, Gone, Message, Receive, Refusal, Send, who
from pipeline.serving.pages import FILES
from pipeline.serving.token import Token

BODIES = 8  # of full size, held at the same time by all requests together
SMALL = 1 << 16  # bytes of a body that are taken though others hold all of that
OPEN = {*FILES, "/favicon.ico", "/health/live"}  # without a token: they hold nothing
AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\[\]]+))(?::\d*)?")  # host or [IPv6 address], and a port
NAMES = "If people reach it by that name, type: ratchet serve 'serving.hosts=[NAME]'"

log = logging.getLogger("uvicorn.error")


class Edge:
    """`body`: bytes of one request at most; `seconds`: for its arrival; no `token` or file of it: all may ask."""

    def __init__(self, app: Any, *, hosts: set[str], body: int, seconds: float, token: str | Path | None):
        self.app, self.body, self.seconds = app, body, seconds
        self.hosts = {host.lower().strip("[]") for host in hosts}
        self.token = None if token is None else Token(token)
        self.held = 0  # bytes of bodies

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        exchange = Exchange(scope, receive, send)
        try:
            self.admit(exchange)
            await self.read(exchange)
            await self.app(scope, exchange.replay(), exchange.send)
        except Refusal as refusal:
            self.release(exchange)  # before it lingers
            await exchange.refuse(refusal)
        except Gone:
            pass
        except asyncio.CancelledError as error:
            if error.args == (GONE,):
                raise
            # by uvicorn, which has waited long enough for its end
            exchange.pending = False  # nor does it wait for the rest of the request
            await exchange.refuse(Refusal(503, "the service stops; try again", CLOSE))
        except Exception:  # noqa: BLE001 - the client hears of it, and the log
            log.error("%s failed\n%s", who(scope), redact(traceback.format_exc()))
            await exchange.refuse(Refusal(500, "a fault of the service; its log tells more"))
        finally:
            self.release(exchange)
        return None

    def admit(self, exchange: Exchange) -> None:
        """Refusal of what the head alone forbids."""
        self.require_known_names(exchange.values(b"host"), exchange.values(b"origin"))
        if self.token is not None and exchange.scope["path"] not in OPEN:
            self.require_token(self.token.now(), exchange.values(b"authorization"))
        for encoding in exchange.values(b"content-encoding"):
            if encoding.strip().lower() not in (b"", b"identity"):
                raise Refusal(415, f"Content-Encoding is {shown(encoding)}; send the body as it is, without encoding")
        lengths = exchange.values(b"content-length")
        if len({*lengths, *exchange.values(b"transfer-encoding")}) > 1 or not all(map(bytes.isdigit, lengths)):
            raise Refusal(400, "Content-Length and Transfer-Encoding contradict each other; send one of them", CLOSE)
        if lengths and int(lengths[0]) > self.body:
            raise self.too_large(f"{int(lengths[0]):,}")

    def require_known_names(self, hosts: list[bytes], origins: list[bytes]) -> None:
        """Else any web page could ask through its visitor's browser, by a name that leads here (DNS rebinding)."""
        if len(hosts) != 1 or hostname(hosts[0]) not in self.hosts:
            given = shown(hosts[0]) if hosts else "nothing"
            raise Refusal(403, f"the Host header says {given}; that is no name of this service.\n{NAMES}")
        for origin in origins:
            scheme, _, authority = origin.lower().partition(b"://")
            if scheme not in (b"http", b"https") or hostname(authority) not in self.hosts:
                raise Refusal(403, f"a page of {shown(origin)} asks; only this service's own pages may.\n{NAMES}")

    def require_token(self, wanted: bytes, given: list[bytes]) -> None:
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), wanted):
            fault = "is wrong" if given else "is missing"
            where = "TOKEN is the line in the file that --token-file names"
            authenticate = (b"www-authenticate", b'Bearer realm="ratchet"')
            raise Refusal(401, f"the header `Authorization: Bearer TOKEN` {fault}; {where}", authenticate)

    async def read(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                while part := await exchange.part():
                    if exchange.held + len(part) > self.body:
                        raise self.too_large(f"more than {self.body:,}")
                    full = self.held + len(part) > BODIES * self.body
                    if full and exchange.held + len(part) > SMALL:
                        raise Refusal(503, "too many large requests at the same time; try again", LATER)
                    exchange.body += part
                    exchange.held += len(part)
                    self.held += len(part)
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {self.seconds:g} seconds (serving.seconds)") from None

    def release(self, exchange: Exchange) -> None:
        self.held -= exchange.held
        exchange.held = 0
        exchange.body.clear()

    def too_large(self, given: str) -> Refusal:
        cure = "Send fewer records at once, or raise serving.body_mb"
        return Refusal(413, f"the body has {given} bytes; {self.body:,} are allowed.\n{cure}")


def hostname(authority: bytes) -> str | None:
    found = AUTHORITY.fullmatch(authority.decode("latin-1").strip().lower())
    return found and (found[1] or found[2])


def shown(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))
