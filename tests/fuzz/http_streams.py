"""What is no HTTP, or not all of it: broken request lines and headers, lies about lengths, clients that hardly send.

Connections of one batch are open at the same time, since several of them can only end by the agent's own patience.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fuzz.choices import Choices, octets, once_in, one_of
from fuzz.http_requests import make_request

TRICKLE_S = 0.1
"""Between two octets of a client that sends slowly."""
_MOST_SENT_OCTETS = 4 << 20

_LINES = (
    *(
        b"GET / HTTP/1.1",
        b"GET /",
        b"GET  /  HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET / HTTP/1.1 x",
        b"GET\t/\tHTTP/1.1",
        b"",
        b" ",
    ),
    *(
        b"get / http/1.1",
        b"\0",
        b"G\xffT / HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET \xe2\x80\xa8 HTTP/1.1",
    ),
    *(
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-x",
        b"GET http:// HTTP/1.1",
        b"GET * HTTP/1.1",
    ),
    *(
        b"CONNECT a:1 HTTP/1.1",
        b"X" * 40_000 + b" / HTTP/1.1",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
        b"PUT /v1/kv/a HTTP/1.0",
    ),
    *(
        b"PUT /v1/kv/a HTTP/1.1",
        b"PUT /v1/kv/a HTTP/1.1",
        b"PUT /v1/txn HTTP/1.1",
        b"PUT /v1/snapshot HTTP/1.1",
        b"GET /v1/agent/self HTTP/1.1",
    ),
)
_HEADER_LINES = (
    *(b"Host: a", b"Host: a\r\nHost: b", b"Host:", b": x", b"x", b" folded", b"A:b\r\n c", b"A : b", b"A\0: b"),
    *(b"A: \0", b"A: b\rc", b"A: b\nC: d"),
    *(b"\xff: x", b"X: \xff", b"X: " + b"y" * 70_000, b"X" * 70_000 + b": y", b"\r"),
    *(b"Content-Length: 5\r\nContent-Length: 6",),
    *(b"Content-Length: -1", b"Content-Length: +5", b"Content-Length: 5, 5", b"Content-Length: 1_0"),
    *(b"Content-Length: 0x5",),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: 5", b"Content-Length: 600000"),
    *(b"Content-Length: 8388609",),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked"),
    *(b"Transfer-Encoding: x",),
    *(b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: chunked, chunked"),
    *(b"Transfer-Encoding:\x0bchunked",),
    *(b"Expect: 100-continue", b"Connection: close", b"Connection: Upgrade\r\nUpgrade: h2c", b"Trailer: X"),
    *(b"A: b\r\n" * 300,),
)  # fmt: skip
_BODIES = (
    *(b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n", b"5\r\nhel", b"-5\r\nhello\r\n"),
    *(b"5;x=y\r\nhello\r\n0\r\n\r\n",),
    *(b"ffffffffffffffffff\r\nx", b"0\r\nX: y\r\n\r\n", b"0\r\n" + b"X: y\r\n" * 400 + b"\r\n", b"5\nhello\n0\n\n"),
    *(b"g\r\n", b"5\r\nhelloXX0\r\n\r\n"),
    *(b"1;" + b"x" * 70_000, b"{" * 3_000, b"GET / HTTP/1.1\r\n\r\n" * 40, b"\r\n" * 2_000, b"x" * 600_000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stream:
    """What one client sends: at once, or octet by octet (`trickles` from there on); then perhaps its end."""

    data: bytes
    trickles_from: int | None = None
    half_closes: bool = False

    def __repr__(self) -> str:
        how = f", octet by octet from {self.trickles_from}" if self.trickles_from is not None else ""
        return f"{self.data[:1000]!r} of {len(self.data)} octets{how}{', half-closed' if self.half_closes else ''}"


def make_stream(choices: Choices) -> Stream:
    """Something for a connection."""
    kind = choices.below(6)
    if kind == 0:
        data = octets(choices, 300)
    elif kind == 1:
        wire = make_request(choices).wire()
        data = wire[: choices.below(len(wire) + 1)]
    elif kind == 2:
        wires = b"".join(make_request(choices).wire() for _ in range(1 + choices.below(4)))
        at = choices.below(len(wires))
        data = wires[:at] + octets(choices, 5) + wires[at + choices.below(3) :]
    else:
        end = one_of(choices, (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
        lines = [one_of(choices, _LINES), *(one_of(choices, _HEADER_LINES) for _ in range(choices.below(4)))]
        data = end.join(lines) + (end + end if choices.below(5) else end) + one_of(choices, _BODIES)
    data = data or b"G"  # a connection that nobody has said anything on may rest
    trickles_from = choices.below(len(data) + 1) if once_in(choices, 5) else None
    return Stream(data, trickles_from, half_closes=choices.below(2) == 1)


@dataclass(slots=True)
class _Client:
    stream: Stream
    socket: socket.socket
    to_send: bytearray
    slowly: bytearray
    received: int = 0
    is_over: bool = False
    head: bytes = b""
    asked: bool = field(default=False)


def pour(address: str, streams: Sequence[Stream], within_s: float) -> list[tuple[Stream, bytes]]:
    """Send all at the same time; those that the agent had not closed in time, or answered with something else than
    HTTP, with what they have received. A complete request keeps its connection: that is then closed from here, once
    there is an answer."""
    host, _, port = address.rpartition(":")
    with selectors.DefaultSelector() as selector:
        clients = [_open(stream, (host, int(port))) for stream in streams]
        try:
            for client in clients:
                selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
            _serve(selector, clients, within_s)
        finally:
            for client in clients:
                client.socket.close()
    return [(client.stream, client.head) for client in clients if _is_wrong(client)]


def _open(stream: Stream, address: tuple[str, int]) -> _Client:
    made = socket.create_connection(address)
    made.setblocking(False)
    at = len(stream.data) if stream.trickles_from is None else stream.trickles_from
    return _Client(stream, made, bytearray(stream.data[:at]), bytearray(stream.data[at:]))


def _serve(selector: selectors.BaseSelector, clients: Sequence[_Client], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    next_octet_s = time.monotonic()
    while not all(client.is_over for client in clients) and time.monotonic() < deadline_s:
        if time.monotonic() >= next_octet_s:
            next_octet_s += TRICKLE_S
            for client in clients:
                if client.slowly and not client.to_send:
                    client.to_send += client.slowly[:1]
                    del client.slowly[:1]
        for key, events in selector.select(0.02):
            client = key.data
            if events & selectors.EVENT_READ:
                _read(client)
            if events & selectors.EVENT_WRITE and not client.is_over:
                _write(client)
            if client.is_over:
                selector.unregister(client.socket)
            elif not client.to_send:
                selector.modify(client.socket, selectors.EVENT_READ, client)
        for client in clients:
            if client.to_send and not client.is_over:
                selector.modify(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)


def _read(client: _Client) -> None:
    try:
        piece = client.socket.recv(65_536)
    except BlockingIOError:
        return
    except OSError:
        client.is_over = True
        return
    client.head = (client.head + piece)[:2_000]
    client.received += len(piece)
    # An answer is the end of what is asked here, but for one who says that it sends no more: then the agent closes.
    client.is_over = not piece or (client.head.startswith(b"HTTP/1.") and not client.head.startswith(b"HTTP/1.1 100"))


def _write(client: _Client) -> None:
    try:
        sent = client.socket.send(client.to_send[:65_536])
    except BlockingIOError:
        return
    except OSError:
        client.to_send.clear()  # refused; what it says to that may still be read
        client.slowly.clear()
        return
    del client.to_send[:sent]
    if not client.to_send and not client.slowly and client.stream.half_closes and not client.asked:
        client.asked = True
        try:
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            client.is_over = True


def _is_wrong(client: _Client) -> bool:
    if not client.is_over:
        return True
    return bool(client.head) and not client.head.startswith(b"HTTP/1.")
