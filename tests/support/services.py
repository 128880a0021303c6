"""A real `ratchet serve` on loopback, and requests as its clients send them."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import lean
from tests.support import runs
from tests.support.trackers import free_port


@dataclass
class Service:
    uri: str
    process: subprocess.Popen
    log: Path

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.asked(path, None, headers)

    def post(self, path: str, value: Any, **headers: str) -> tuple[int, Any]:
        return self.asked(path, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def asked(self, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        request = urllib.request.Request(self.uri + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, parsed(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, parsed(error.read())

    def health(self) -> dict[str, Any]:
        return self.get("/health")[1]

    def predicted(self, record: Any) -> dict[str, Any]:
        status, answer = self.post("/predict", record)
        assert status == 200, answer
        return answer


def parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode()


@contextmanager
def serving(project: Path, *arguments: str, port: int | None = None, **env: str) -> Iterator[Service]:
    """Ready to predict; killed at the end, unless it has ended. `port` 0: the one that it says."""
    port = free_port() if port is None else port
    command = [sys.executable, "-m", "pipeline", "serve", "--port", str(port), *arguments]
    log = project / "serve.log"
    begin = log.stat().st_size if log.is_file() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=project, env=lean(**env), stdout=output, stderr=output)
    service = Service(f"http://127.0.0.1:{port}", process, log)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        said = re.search(r"^http://\S+:[1-9]\d*$", log.read_text()[begin:], re.MULTILINE)
        if port == 0 and said:
            service.uri = said[0]
        try:
            return service.get("/health/ready")[0] in (200, 401)  # 401: it has a token
        except OSError:
            return False

    try:
        runs.eventually(ready, 180, 0.1)
        yield service
    finally:
        stop(service)


def stop(service: Service) -> int:
    """As systemd does: SIGTERM, and the exit code."""
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGTERM)
    return service.process.wait(30)
