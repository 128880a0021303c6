"""A mirror on loopback that serves, cuts and alters."""

import contextlib
import http.server
import re
from collections.abc import Callable

IMAGES = "train-images-idx3-ubyte"


class Server(http.server.ThreadingHTTPServer):
    """A mirror on loopback: files by path, and a fault that changes what is sent of train-images."""

    def __init__(self, files: dict[str, bytes], fault: Callable[[bytes, int], bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.fault, self.asked = files, fault, []

    def url(self, tail: str = "{file}.gz") -> str:
        return f"http://127.0.0.1:{self.server_port}/{tail}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        self.server.asked.append((self.path, start))
        content = self.server.files.get(self.path)
        if content is None:
            return self.send_error(404)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        times = sum(path == self.path for path, _ in self.server.asked)
        sent = self.server.fault(content[start:], times) if IMAGES in self.path else content[start:]
        with contextlib.suppress(ConnectionError):  # a client that has seen enough
            self.wfile.write(sent)
        self.close_connection = True
        return None

    def log_message(self, *_: object) -> None:
        """Silent."""


def well(content: bytes, times: int) -> bytes:
    return content


def cut_once(content: bytes, times: int) -> bytes:
    return content[: len(content) * 6 // 10] if times == 1 else content


def cut_always(content: bytes, times: int) -> bytes:
    return content[: len(content) * 6 // 10]


def flip(content: bytes, times: int) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
