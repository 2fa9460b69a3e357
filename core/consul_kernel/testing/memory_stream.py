"""A stream between two hosts of a `MemoryNetwork`: ordered, delayed, of bounded memory, breakable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from consul_kernel.contracts.errors import StreamClosedError, TransportError
from consul_kernel.contracts.transport import Address

WINDOW_BYTES = 256 * 1024
"""Bytes of one direction that may be written and not yet read before `drain` waits."""


class Link(Protocol):
    """What a connection asks of its network."""

    def call_after(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Run an action later, in the order of the calls where due together."""
        ...

    def call_at(self, at_s: float, action: Callable[[], None]) -> None:
        """Run an action at a time of the loop's clock; equal times in the order of the calls."""
        ...

    def delay_ms(self, source: str, to: str) -> float:
        """A delay for one message."""
        ...


class _Pipe:
    """One direction. Pieces are handed over in order; while the connection is cut they wait."""

    def __init__(self, link: Link, source: Address, to: Address) -> None:
        self._link = link
        self.source = source
        self.to = to
        self._arrives_at = 0.0
        self._held: list[bytes | None] = []
        self.cut = False
        self.chunks: deque[bytes] = deque()
        self.unread = 0
        self.write_ended = False
        self.ended = False
        self.broken: str | None = None
        self.reader: asyncio.Future[None] | None = None
        self.writers: list[asyncio.Future[None]] = []

    def send(self, piece: bytes | None) -> None:
        """Put bytes, or the end (None), under way."""
        self.unread += len(piece or b"")
        now = asyncio.get_running_loop().time()
        arrives_at = max(self._arrives_at, now + self._link.delay_ms(self.source.host, self.to.host) / 1000)
        self._arrives_at = arrives_at
        self._link.call_at(arrives_at, lambda: self._arrive(piece))

    def _arrive(self, piece: bytes | None) -> None:
        if self.cut:
            self._held.append(piece)
        elif self.broken is None:
            self._hand_over(piece)

    def _hand_over(self, piece: bytes | None) -> None:
        if piece is None:
            self.ended = True
        else:
            self.chunks.append(piece)
        self.wake()

    def heal(self) -> None:
        """Hand over what was held back."""
        self.cut = False
        held, self._held = self._held, []
        for piece in held:
            self._hand_over(piece)

    def break_now(self, reason: str) -> None:
        """Lose what is under way; what has arrived can still be read."""
        if not self.ended and self.broken is None:
            self.broken = reason
        self._held.clear()
        self.wake()
        self.wake_writers()

    def refuse(self, reason: str) -> None:
        """Take nothing more: nobody reads at the other end."""
        self.broken = self.broken or reason
        self._held.clear()
        self.wake_writers()

    def wake(self) -> None:
        if self.reader is not None and not self.reader.done():
            self.reader.set_result(None)

    def wake_writers(self) -> None:
        for writer in self.writers:
            if not writer.done():
                writer.set_result(None)


class MemoryStream:
    """One end of a connection (contract `Stream`)."""

    def __init__(self, peer: Address, incoming: _Pipe, outgoing: _Pipe, on_close: Callable[[_Pipe], None]) -> None:
        self.peer = peer
        self._incoming = incoming
        self._outgoing = outgoing
        self._on_close = on_close
        self.is_closed = False

    async def read(self, max_bytes: int) -> bytes:
        """Some bytes, empty at the end. TransportError when the connection broke."""
        await self._wait_for_bytes()
        return self._take(max_bytes) if self._incoming.chunks else b""

    async def read_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes, or StreamClosedError."""
        pieces: list[bytes] = []
        missing = count
        while missing > 0:
            await self._wait_for_bytes()
            if not self._incoming.chunks:
                raise StreamClosedError(f"{self.peer} closed the stream {missing} bytes short of {count}")
            pieces.append(self._take(missing))
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Queue bytes; lost once the stream is closed or broken."""
        if data and not (self.is_closed or self._outgoing.write_ended or self._outgoing.broken):
            self._outgoing.send(bytes(data))

    async def drain(self) -> None:
        """Wait until less than WINDOW_BYTES are unread at the other end."""
        pipe = self._outgoing
        while True:
            if self.is_closed or pipe.broken:
                raise TransportError(f"connection to {self.peer} is closed: {pipe.broken or 'closed here'}")
            if pipe.unread <= WINDOW_BYTES:
                return
            waiter = asyncio.get_running_loop().create_future()
            pipe.writers.append(waiter)
            try:
                await waiter
            finally:
                pipe.writers.remove(waiter)

    def close_write(self) -> None:
        """End our direction after what is queued."""
        if not (self.is_closed or self._outgoing.write_ended or self._outgoing.broken):
            self._outgoing.write_ended = True
            self._outgoing.send(None)

    def close(self) -> None:
        """Close both directions after what is queued."""
        if self.is_closed:
            return
        self.close_write()
        self.is_closed = True
        self._incoming.chunks.clear()
        self._incoming.wake()
        self._outgoing.wake_writers()
        self._on_close(self._incoming)

    def vanish(self) -> None:
        """Close without a word to the other end, as a crash does."""
        self.is_closed = True
        self._incoming.wake()
        self._outgoing.wake_writers()

    def _take(self, max_bytes: int) -> bytes:
        pipe = self._incoming
        chunk = pipe.chunks[0]
        if len(chunk) <= max_bytes:
            pipe.chunks.popleft()
        else:
            pipe.chunks[0] = chunk[max_bytes:]
            chunk = chunk[:max_bytes]
        pipe.unread -= len(chunk)
        if pipe.unread <= WINDOW_BYTES:
            pipe.wake_writers()
        return chunk

    async def _wait_for_bytes(self) -> None:
        pipe = self._incoming
        while not pipe.chunks and not pipe.ended and not self.is_closed:
            if pipe.broken:
                raise TransportError(f"connection to {self.peer} broke: {pipe.broken}")
            if pipe.reader is not None:
                raise RuntimeError("a stream is read by one task at a time")
            pipe.reader = asyncio.get_running_loop().create_future()
            try:
                await pipe.reader
            finally:
                pipe.reader = None


class MemoryConnection:
    """Two streams that are each other's other end."""

    def __init__(self, link: Link, source: Address, to: Address, on_closed: Callable[[MemoryConnection], None]) -> None:
        self._link = link
        self._on_closed = on_closed
        self._forth = _Pipe(link, source, to)
        self._back = _Pipe(link, to, source)
        self.hosts = (source.host, to.host)
        self.dialled = MemoryStream(to, self._back, self._forth, self._on_end_closed)
        self.accepted = MemoryStream(source, self._forth, self._back, self._on_end_closed)
        self._cuts = 0

    def joins(self, a: str, b: str) -> bool:
        """Whether it is between these hosts."""
        return set(self.hosts) == {a, b}

    def cut(self) -> int:
        """Hold back what arrives; a number that tells this cut from later ones."""
        self._cuts += 1
        self._forth.cut = self._back.cut = True
        return self._cuts

    def is_still_cut(self, number: int) -> bool:
        """Whether nothing has healed or renewed the cut since `cut` returned this number."""
        return self._forth.cut and self._cuts == number

    def heal(self) -> None:
        """Go on, with nothing lost."""
        self._forth.heal()
        self._back.heal()

    def break_both(self, reason: str) -> None:
        """Break it at both ends at once."""
        self._forth.break_now(reason)
        self._back.break_now(reason)
        self._on_closed(self)

    def crash(self, host: str) -> None:
        """One end is gone at once; the other learns of it after a delay, unless the connection is cut."""
        here, there = self.hosts if self.hosts[0] == host else self.hosts[::-1]
        if self.hosts[0] == host:
            self.dialled.vanish()
        if self.hosts[1] == host:
            self.accepted.vanish()
        if not self._forth.cut:
            self._link.call_after(self._link.delay_ms(here, there), lambda: self.break_both("connection reset by peer"))

    def _on_end_closed(self, incoming: _Pipe) -> None:
        """One end reads no more: what the other writes is refused once it has heard of that."""
        here, there = incoming.to.host, incoming.source.host
        self._link.call_after(self._link.delay_ms(here, there), lambda: incoming.refuse("connection reset by peer"))
        if self.dialled.is_closed and self.accepted.is_closed:
            self._on_closed(self)
