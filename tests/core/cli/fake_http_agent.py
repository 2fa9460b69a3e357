"""An HTTP server that answers what a test says, and remembers what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Asked:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeHttpAgent:
    """Answers by method and target (path with query); anything else is 500 with a text."""

    address: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer."""

    def answer(self, request: str, body: Any, status: int = 200) -> None:
        """`request` is like `GET /v1/kv/a?raw=`; a body that is not bytes becomes JSON."""
        self.answers[request] = (status, body if isinstance(body, bytes) else json.dumps(body).encode())

    def targets(self) -> list[str]:
        """What was asked, as `METHOD target`."""
        return [f"{asked.method} {asked.target}" for asked in self.asked]


def _handler(agent: FakeHttpAgent) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            agent.asked.append(Asked(self.command, self.path, dict(self.headers), self.rfile.read(length)))
            status, body = agent.answers.get(f"{self.command} {self.path}", (500, b"nobody said what to answer"))
            self.send_response(status)
            for name, value in agent.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the names that http.server calls

        def address_string(self) -> str:
            return "client"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    return Handler


class _UnixHttpServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(socket_path: Path | None = None) -> Iterator[FakeHttpAgent]:
    """A running fake agent, on a free port of the loopback or on a UNIX socket."""
    agent = FakeHttpAgent()
    server: socketserver.BaseServer
    if socket_path is None:
        http_server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(agent))
        agent.address = f"127.0.0.1:{http_server.server_address[1]}"
        server = http_server
    else:
        server = _UnixHttpServer(str(socket_path), _handler(agent))
        agent.address = f"unix://{socket_path}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield agent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
