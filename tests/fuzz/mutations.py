"""Ways in which bytes go wrong: by accident, and as somebody who knows the format would have it."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

_TELLING_BYTES = bytes.fromhex("00 01 7f 80 8f 90 9f a0 bf c0 c1 c4 c6 c7 c9 ca cf d9 da db dc dd de df e0 f4 ff")
_HUGE = tuple(
    bytes.fromhex(text)
    for text in ("dbffffffff", "ddffffffff", "dfffffffff", "c6ffffffff", "c9ffffffff01", "dc7fff", "cfffffffffffffffff")
)
"""Headers of msgpack that promise gigabytes."""
_COUNTING = frozenset((*range(0x80, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF))
"""Headers of msgpack that hold, or are followed by, a length or a count."""
_LONGEST_BYTES = 70_000


class Mutator:
    """Changes bytes; `corpus` is what it splices them with, `wrappers` are layers that the format knows."""

    def __init__(
        self, rng: random.Random, corpus: Sequence[bytes], wrappers: Sequence[Callable[[bytes], bytes]]
    ) -> None:
        self._rng = rng
        self._corpus = corpus
        self._wrappers = wrappers
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._flip_bits,
            self._flip_bits,
            self._set_bytes,
            self._set_bytes,
            self._cut,
            self._cut,
            self._splice,
            self._splice,
            self._repeat,
            self._remove,
            self._lie_about_a_length,
            self._lie_about_a_length,
            self._promise_gigabytes,
            self._put_random_msgpack,
            self._wrap,
            self._extend,
        )

    def mutate(self, data: bytes) -> bytes:
        """One to four changes, one after the other."""
        for _ in range(self._rng.choice((1, 1, 1, 2, 2, 3, 4))):
            data = self._rng.choice(self._ways)(data)[:_LONGEST_BYTES]
        return data

    def _at(self, data: bytes) -> int:
        return self._rng.randrange(len(data) + 1)

    def _flip_bits(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._rng.randrange(1, 5) if data else 0):
            changed[self._rng.randrange(len(changed))] ^= 1 << self._rng.randrange(8)
        return bytes(changed)

    def _set_bytes(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._rng.randrange(1, 4) if data else 0):
            changed[self._rng.randrange(len(changed))] = self._rng.choice(_TELLING_BYTES)
        return bytes(changed)

    def _cut(self, data: bytes) -> bytes:
        return data[: self._at(data)] if self._rng.random() < 0.8 else data[self._at(data) :]

    def _splice(self, data: bytes) -> bytes:
        other = self._rng.choice(self._corpus)
        return data[: self._at(data)] + other[self._at(other) :]

    def _repeat(self, data: bytes) -> bytes:
        start, end = sorted((self._at(data), self._at(data)))
        return data[:end] + data[start:end] * self._rng.choice((1, 2, 30)) + data[end:]

    def _remove(self, data: bytes) -> bytes:
        start, end = sorted((self._at(data), self._at(data)))
        return data[:start] + data[end:]

    def _lie_about_a_length(self, data: bytes) -> bytes:
        """Change one byte that may be, or belong to, a count or a length."""
        heads = [at for at, byte in enumerate(data) if byte in _COUNTING]
        if not heads:
            return data
        changed = bytearray(data)
        at = self._rng.choice(heads)
        if changed[at] <= 0xBF or self._rng.random() < 0.3:
            changed[at] = (changed[at] + self._rng.choice((-1, 1, 3, 15))) % 256
        elif at + 1 < len(changed):
            changed[at + 1] = self._rng.choice((0, 1, 127, 255))
        return bytes(changed)

    def _promise_gigabytes(self, data: bytes) -> bytes:
        at = self._at(data)
        return data[:at] + self._rng.choice(_HUGE) + data[at + self._rng.choice((0, 1, 2)) :]

    def _put_random_msgpack(self, data: bytes) -> bytes:
        at = self._at(data)
        keep = data[at:] if self._rng.random() < 0.5 else b""
        return data[:at] + packed_at_random(self._rng, self._corpus) + keep

    def _wrap(self, data: bytes) -> bytes:
        for _ in range(self._rng.choice((1, 1, 2, 6))):
            data = self._rng.choice(self._wrappers)(data)[:_LONGEST_BYTES]
        return data

    def _extend(self, data: bytes) -> bytes:
        extra = self._rng.choice((b"\0", b"\xff" * 8, self._rng.randbytes(self._rng.randrange(1, 40))))
        return data + extra if self._rng.random() < 0.7 else extra + data


def packed_at_random(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Some msgpack value, in either dialect; sometimes nested deeper than any decoder should follow."""
    if rng.random() < 0.02:
        return rng.choice((b"\x91", b"\x81\xa1x")) * rng.choice((100, 600, 5_000)) + b"\xc0"
    packed: bytes = msgpack.packb(_value(rng, corpus, 3), use_bin_type=rng.random() < 0.3)
    return packed


def _value(rng: random.Random, corpus: Sequence[bytes], depth: int) -> Any:
    kind = rng.randrange(10 if depth else 7)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return rng.choice((0, 1, -1, 127, 255, 65535, (1 << 32) - 1, 1 << 32, (1 << 64) - 1, -(1 << 63)))
    if kind == 3:
        return rng.choice((0.0, 1.5, float("inf"), float("nan"), -1e308))
    if kind == 4:
        return rng.choice(corpus)[: rng.randrange(60)]
    if kind == 5:
        return rng.randbytes(rng.randrange(20))
    if kind == 6:
        return msgpack.ExtType(rng.randrange(128), struct.pack(">I", rng.randrange(1 << 32)))
    if kind == 7:
        return [_value(rng, corpus, depth - 1) for _ in range(rng.randrange(5))]
    keys = (b"Node", b"SeqNo", b"Incarnation", b"Addr", b"Meta", b"LTime", b"Payload", b"Events", b"StatusLTimes", b"x")
    return {rng.choice(keys): _value(rng, corpus, depth - 1) for _ in range(rng.randrange(6))}
