"""Sending octets to an agent, reading what comes back, and what is wrong with it."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from dataclasses import dataclass

from fuzz.consul_failures import is_consuls

PATIENCE_S = 8.0
_MOST_READ_BYTES = 4 << 20
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [ -~\x80-\xff]*)?")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\r\n]*")
"""As Go writes them: of a value only line ends are replaced."""
_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer. `is_whole` is False for a stream that was left."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    is_whole: bool


def exchange(address: str, wire: bytes, *, method: str = "GET", patience_s: float = PATIENCE_S) -> Heard | None:
    """Send it on a connection of its own; None when that was closed without an answer. AssertionError when the
    answer is not HTTP, or does not come."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=patience_s) as stream:
        try:
            stream.sendall(wire)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent; there may be an answer all the same
        return read_answer(stream, method, patience_s=patience_s)


def read_answer(stream: socket.socket, method: str, *, patience_s: float = PATIENCE_S) -> Heard | None:
    """The next answer on a connection."""
    deadline_s = time.monotonic() + patience_s
    received = b""
    while True:
        head, end, rest = received.partition(b"\r\n\r\n")
        if end and head.startswith(b"HTTP/1.1 100"):
            received = rest
            continue
        if end:
            return _read_body(stream, head, rest, method, deadline_s)
        try:
            piece = _receive(stream, deadline_s)
        except ConnectionResetError:
            return None
        if not piece:
            assert not received, f"closed within the headers: {received[:500]!r}"
            return None
        received += piece


def _receive(stream: socket.socket, deadline_s: float) -> bytes:
    stream.settimeout(max(0.01, deadline_s - time.monotonic()))
    try:
        return stream.recv(262_144)
    except TimeoutError:
        raise AssertionError("neither an answer nor an end within the time") from None


def _read_body(stream: socket.socket, head: bytes, rest: bytes, method: str, deadline_s: float) -> Heard:
    status_line, *lines = head.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    assert match, f"no status line: {status_line!r}"
    for line in lines:
        assert _HEADER.fullmatch(line), f"no header line: {line!r}"
    status = int(match[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if method == "HEAD" or status in _NO_BODY:
        return Heard(status, headers, b"", is_whole=True)
    length = headers.get(b"content-length")
    if length is None:
        return Heard(status, headers, rest, is_whole=False)
    wanted = int(length)
    assert wanted <= _MOST_READ_BYTES, f"an answer of {wanted} bytes"
    while len(rest) < wanted:
        piece = _receive(stream, deadline_s)
        assert piece, f"closed after {len(rest)} of {wanted} bytes"
        rest += piece
    return Heard(status, headers, rest[:wanted], is_whole=True)


def judge(heard: Heard) -> None:
    """AssertionError for an answer that Consul would not give, or that tells of a fault."""
    body = heard.body
    if heard.is_whole and heard.headers.get(b"content-encoding") == b"gzip":
        body = gzip.decompress(body)
    for trace in (b"Traceback", b"object at 0x"):
        assert trace not in body, f"a traceback: {body[:2000]!r}"
    assert b"Internal server error" not in body, "a fault"
    text = body.decode("utf-8", "replace")
    if heard.status >= 500:
        assert is_consuls(heard.status, text), f"{heard.status} {text[:1000]!r}, which is none of Consul's"
    if heard.is_whole and body and heard.headers.get(b"content-type") == b"application/json":
        json.loads(body.decode())
