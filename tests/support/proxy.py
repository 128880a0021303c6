"""A proxy on loopback in front of a server, which answers, hangs, forwards late or loses the reply as a rule says."""

import http.client
import http.server
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Literal

Fault = Literal["none", "500", "503", "429", "400", "garbage", "truncated", "hang", "reset", "lost", "late"]
Rule = Callable[[str, str, int], Fault]  # (method, path, how many requests came before) → what happens to this one
GARBAGE = b"<html>Welcome to the hotel's network. Please log in.</html>"


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: int, rule: Rule, late: float):
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.rule, self.late = target, rule, late
        self.asked: list[tuple[str, str, Fault]] = []
        self.done: list[str] = []  # paths of what the server has answered, whether or not the client heard of it
        self.counting = threading.Lock()
        self.closing = threading.Event()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def faults(self) -> int:
        return sum(fault != "none" for _, _, fault in self.asked)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up, or a server that is away: the connection ends, as it does in life."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def any(self) -> None:
        body = self.body()  # first: a rule may kill the client, which may not have sent it yet
        with self.server.counting:
            fault = self.server.rule(self.command, self.path, len(self.server.asked))
            self.server.asked.append((self.command, self.path, fault))
        self.close_connection = True
        if fault == "hang":
            self.server.closing.wait(60)
        elif fault == "garbage":
            self.answer(200, {"Content-Type": "text/html"}, GARBAGE)
        elif fault.isdigit():
            self.answer(int(fault), {"Retry-After": "1"}, b"the proxy says no")
        elif fault != "reset":
            if fault == "late":
                self.server.closing.wait(self.server.late)
            status, headers, reply = self.forwarded(body)
            if fault != "lost":
                self.answer(status, headers, reply[: len(reply) // 2] if fault == "truncated" else reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = any

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":  # as empty files are sent
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        del self.headers["Transfer-Encoding"]
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with suppress(KeyError):
            del self.headers["Connection"]
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)) as connection:
            connection.request(self.command, self.path, body, {**self.headers, "Connection": "close"})
            reply = connection.getresponse()
            content = reply.read()
        self.server.done.append(self.path)
        return reply.status, {"Content-Type": reply.getheader("Content-Type") or "text/plain"}, content

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def proxy(target: int, rule: Rule, late: float = 3.0) -> Iterator[Proxy]:
    """In front of the server at port `target`; `late`: seconds before a late request is forwarded."""
    with Proxy(target, rule, late) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.closing.set()
            made.shutdown()
            thread.join()


def well(method: str, path: str, before: int) -> Fault:
    return "none"


def some(faults: list[Fault], seed: int, share: float, most: int) -> Rule:
    """Any of `faults`, chosen by `seed`, on a share of the first `most` requests."""
    chance = random.Random(seed)

    def rule(method: str, path: str, before: int) -> Fault:
        return chance.choice(faults) if before < most and chance.random() < share else "none"

    return rule
