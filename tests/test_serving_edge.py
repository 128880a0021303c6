"""What the network may do to the service: clients that lie, wait, flood, go or come by a foreign name."""

import hashlib
import json
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from pipeline.project.errors import RatchetError
from pipeline.serving.edge import Edge
from tests.support.runs import eventually
from tests.support.sockets import (
    BODY,
    GET,
    PLACES,
    POST,
    SECONDS,
    SECRET,
    Service,
    answer,
    app,
    memory_bounded,
    running,
)

TOKEN = "0123456789abcdef"
HUGE = 100 << 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 20000 else 20000, hard))  # the server inherits it
    with running(tmp_path_factory.mktemp("edge")) as started:
        yield started
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


REFUSED = {
    "foreign host": (b"POST /echo HTTP/1.1\r\nHost: evil.example:8000\r\n\r\n", 403, "'evil.example:8000'"),
    "no host": (b"GET /echo HTTP/1.0\r\n\r\n", 403, "serving.hosts"),
    "a host that only begins well": (b"GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403, "localhost.evil"),
    "a host with a user": (b"GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", 403, "Host"),
    "foreign origin": (GET + b"Origin: http://evil.example\r\n\r\n", 403, "'http://evil.example'"),
    "opaque origin": (b"OPTIONS" + GET[3:] + b"Origin: null\r\n\r\n", 403, "'null'"),
    "an origin of another kind": (GET + b"Origin: moz-extension://localhost\r\n\r\n", 403, "moz-extension"),
    "compressed": (POST + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 415, "'gzip'"),
    "too long by its own word": (POST + b"Content-Length: 104857600\r\n\r\n", 413, "104,857,600"),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400, "HTTP"),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "HTTP"),
    "a length of many digits": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, "HTTP"),
    "length and chunks": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""),
    "no chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "HTTP"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400, "HTTP"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(service: Service, name: str) -> None:
    request, wanted, said = REFUSED[name]
    began = time.monotonic()
    status, headers, body = service.ask(request)
    assert status == wanted, body
    assert time.monotonic() - began < SECONDS  # before any body has come
    (problem,) = json.loads(body)["detail"]
    assert problem["field"] == ""
    assert said in problem["message"]
    assert "Traceback" not in problem["message"]
    assert (headers["content-type"], headers["x-content-type-options"]) == ("application/json", "nosniff")
    assert (headers["referrer-policy"], headers["x-frame-options"]) == ("no-referrer", "deny")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_own_names_in_host_and_origin_are_let_in(service: Service, host: str) -> None:
    for more in ("", f"Origin: http://{host}\r\n", f"Origin: https://{host}\r\nContent-Encoding: identity\r\n"):
        assert service.ask(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())[0] == 200


def test_pages_get_a_content_security_policy(service: Service) -> None:
    headers = {}
    for path in ("/page", "/docs", "/echo"):
        headers[path] = service.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())[1]
    assert all("default-src 'self'" in headers[path]["content-security-policy"] for path in ("/page", "/docs"))
    assert "content-security-policy" not in headers["/echo"]
    assert all(one["x-content-type-options"] == "nosniff" for one in headers.values())


def test_the_app_gets_the_whole_body_at_once_and_the_connection_stays(service: Service) -> None:
    body = os.urandom(BODY)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:700_000], body[700_000:]))
    told = {"bytes": BODY, "sha256": hashlib.sha256(body).hexdigest(), "more": False}
    with service.connect() as client, client.makefile("rb") as reader:
        for sent in (
            b"Content-Length: %d\r\n\r\n" % BODY + body,
            b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        ) * 10:
            client.sendall(POST + sent)
            assert json.loads(answer(reader)[2]) == told


@pytest.mark.parametrize("head", [b"Content-Length: %d\r\n\r\n" % HUGE, b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_huge_body_is_refused_where_the_client_hears_it(service: Service, head: bytes) -> None:
    part = bytes(1 << 20)
    sent = b"%x\r\n%b\r\n" % (len(part), part) if b"chunked" in head else part
    with memory_bounded(service), service.connect() as client:
        for piece in (POST + head, *[sent] * 100):  # as most clients do, which read when they have sent
            client.sendall(piece)
        status, headers, body = answer(client.makefile("rb"))
    assert (status, headers["connection"]) == (413, "close")
    assert f"{BODY:,}" in json.loads(body)["detail"][0]["message"]
    service.well()


def test_many_large_bodies_at_once_are_bounded_together(service: Service) -> None:
    request = POST + b"Content-Length: %d\r\n\r\n" % BODY + bytes(BODY - 1)
    with ExitStack() as stack, memory_bounded(service):
        clients = [stack.enter_context(service.connect()) for _ in range(100)]
        for client in clients:
            with suppress(ConnectionError):
                client.sendall(request)
        statuses = [answer(client.makefile("rb"))[0] for client in clients]
    assert set(statuses) == {503, 408}
    service.well()


def test_a_body_has_its_time_in_all(service: Service) -> None:
    with service.connect() as client:
        client.sendall(POST + b"Content-Length: 100\r\n\r\n")
        began, given = time.monotonic(), b""
        client.settimeout(0.1)
        while not given:
            client.sendall(b"a")
            with suppress(TimeoutError):
                given = client.recv(4096)
        assert SECONDS * 0.9 < time.monotonic() - began < SECONDS + 1
        assert given.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in given.lower()
    service.well()


def test_lengths_that_lie_and_clients_that_go(service: Service) -> None:
    with service.connect() as client:  # more than it says: the rest is no request
        client.sendall(POST + b"Content-Length: 1\r\n\r\nabcdef\r\n\r\n")
        reader = client.makefile("rb")
        assert 400 in (answer(reader)[0], answer(reader)[0])  # a parser that looks ahead refuses both
        assert reader.read() == b""
    for begun in (
        b"POST /ec",
        POST,
        POST + b"Content-Length: 100\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\na",
    ):
        with service.connect() as client:  # less than it says, then the end
            client.sendall(begun)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        with service.connect() as client:
            client.sendall(begun)
    service.well()


@pytest.mark.parametrize("first", [b"", GET + b"\r\n"], ids=["first", "second"])
def test_a_head_has_its_time_in_all(service: Service, first: bytes) -> None:
    with service.connect() as client:
        if first:
            client.sendall(first)
            assert answer(client.makefile("rb"))[0] == 200
        began = time.monotonic()
        with suppress(ConnectionError):  # a byte now and then keeps no place
            for byte in GET * 10:
                client.sendall(bytes([byte]))
                time.sleep(0.1)
        assert SECONDS * 0.9 < time.monotonic() - began < SECONDS + 1
    service.well()


def test_a_rest_between_requests_is_not_taken_from_the_next_one(service: Service) -> None:
    with service.connect() as client, client.makefile("rb") as reader:
        for _ in range(2):
            time.sleep(SECONDS * 0.6)
            client.sendall(GET)
            time.sleep(SECONDS * 0.6)
            client.sendall(b"\r\n")
            assert answer(reader)[0] == 200


def test_a_head_without_end(service: Service) -> None:
    with memory_bounded(service):
        assert service.ask(GET, *[b"X-More: " + b"a" * (1 << 20)] * 50)[0] in (0, 400)
        assert service.ask(GET, *[b"X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 30_000] * 20)[0] in (0, 400)
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        assert service.ask(chunked, b"1;", *[b"a" * (1 << 20)] * 50)[0] in (0, 400)  # nor an extension of a chunk
        assert service.ask(chunked, b"0\r\n", *[b"X-More: aaaa\r\n" * 80_000] * 50)[0] in (0, 400)  # nor trailers
    service.well()


def test_an_answer_that_nobody_reads_keeps_no_place(service: Service) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(service.connect()).sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: service.places() == 2, 10)
        eventually(lambda: service.places() == 0, 10)
    service.well()


def test_thousands_that_say_nothing_keep_nobody_out(service: Service) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 3000:
        pytest.skip("this user may not open 2,000 connections (ulimit -n)")
    with ExitStack() as stack, memory_bounded(service):
        for client in [stack.enter_context(service.connect()) for _ in range(PLACES)]:  # these have said something
            client.sendall(GET + b"\r\n")
            assert answer(client.makefile("rb"))[0] == 200
        service.well()
        for _ in range(2000):
            stack.enter_context(service.connect())
        service.well()
        assert service.places() <= PLACES
        eventually(lambda: service.places() == 0, 10)
    service.well()


def test_more_requests_than_places_are_told_to_come_again(tmp_path: Path) -> None:
    with running(tmp_path) as service, ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(service.connect()).sendall(b"GET /sleeps HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: service.places() == PLACES, 10)
        status, headers, body = service.ask(POST + b"Content-Length: 3\r\n\r\nabc")
    assert (status, headers["retry-after"]) == (503, "1")
    assert "serving.connections" in json.loads(body)["detail"][0]["message"]


def test_a_fault_is_told_and_logged_once_without_its_secret(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        status, _, body = service.ask(b"GET /fails HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status == 500
        assert re.search("it fails|Traceback|ValueError", body.decode()) is None
        log = service.log.read_text()
        assert (log.count("Traceback"), log.count("ValueError: it fails"), SECRET in log) == (1, 1, False)
        status, headers, body = service.ask(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (status, json.loads(body)["detail"][0]["message"]) == (500, "Internal Server Error")
        assert headers["x-content-type-options"] == "nosniff"
        with service.connect() as client:  # and whoever still waits at the end is told
            client.sendall(b"GET /sleeps HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.2)
            service.process.send_signal(signal.SIGTERM)
            status, _, body = answer(client.makefile("rb"))
        assert (status, json.loads(body)["detail"][0]["field"]) == (503, "")
        service.process.wait(20)
        assert service.log.read_text().count("Traceback") == 2


def test_a_token_opens_what_holds_something(tmp_path: Path) -> None:
    def status(path: str, given: str) -> tuple[int, str | None]:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{given}\r\n"
        code, headers, _ = service.ask(head.encode())
        return code, headers.get("www-authenticate")

    with running(tmp_path, TOKEN) as service:
        for wrong in (
            "",
            "Authorization: Bearer\r\n",
            f"Authorization: Bearer {TOKEN}x\r\n",
            f"Authorization: {TOKEN}\r\n",
        ):
            for path in ("/echo", "/metrics", "/health", "/health/ready", "/openapi.json", "/health/live/", "//docs"):
                assert status(path, wrong) == (401, 'bearer realm="ratchet"'), (path, wrong)
            for path in ("/", "/page.js", "/page.css", "/docs", "/health/live", "/health/live?x"):
                assert status(path, wrong)[0] == 200, path
        assert status("/echo", f"Authorization: Bearer {TOKEN}\r\n") == (200, None)
        assert status("/echo", f"authorization: bearer  {TOKEN}\r\n") == (200, None)


def test_an_empty_token_is_none() -> None:
    with pytest.raises(RatchetError, match="openssl rand"):
        Edge(app, hosts=set(), body=BODY, seconds=SECONDS, token=" \n")
