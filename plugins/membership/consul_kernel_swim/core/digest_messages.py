"""The messages of an exchange by digests, which memberlist does not know; nobody is sent one that has not said so.

1. `Digest`: a hash for each bucket of what the sender knows, and the small rest of its state.
2. `Difference`, the answer: which buckets differ, and the hash of each member in them.
3. `PartialState`: the states of the members that differ, and keys of those that are asked for.
4. `PartialState`, the answer to it. Both are merged as a push/pull is.

Where nothing differs, the first two are all. Keys and hashes have 64 bits, big-endian, one after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from consul_kernel.contracts.errors import PeerProtocolError

from .messages import MessageType, RemoteNode
from .reader import NIL, Octets, StructReader, octets
from .wire import pack

BUCKETS_MAX: Final = 256
FAILED_MAX: Final = 128
"""Failed members that are named in one digest; of more, some are drawn."""
BRIEF_BYTES_MAX: Final = 1024
DIFFERING_MAX: Final = 1 << 17
"""Members in the buckets that differ: as many as a whole state may have."""
_WORD: Final = 8

Pair = tuple[int, int]


def pack_words(words: Iterable[int]) -> bytes:
    """Numbers of 64 bits."""
    listed = words if isinstance(words, list) else list(words)
    return struct.pack(f">{len(listed)}Q", *listed)


def unpack_words(data: bytes) -> tuple[int, ...]:
    """The other way. `data` is a multiple of 8 bytes long."""
    return struct.unpack(f">{len(data) // _WORD}Q", data)


def _pack_pairs(pairs: Iterable[Pair]) -> bytes:
    return pack_words([word for pair in pairs for word in pair])


def _unpack_pairs(data: bytes) -> tuple[Pair, ...]:
    words = unpack_words(data)
    return tuple(zip(words[::2], words[1::2], strict=True))


def _read_words(raw: Octets, what: str, most: int, words: int = 1) -> bytes:
    data = octets(raw)
    if len(data) % (_WORD * words) or len(data) > _WORD * words * most:
        raise PeerProtocolError(f"{what} of a digest are {len(data)} bytes")
    return data


def _read_brief(raw: Octets) -> bytes:
    data = octets(raw)
    if len(data) > BRIEF_BYTES_MAX:
        raise PeerProtocolError(f"a digest's part of the upper layer of {len(data)} bytes")
    return data


@dataclass(frozen=True, slots=True)
class Digest:
    """What the sender knows, in short: 2^k sums of hashes, by the first k bits of the members' keys.

    `failed` has the key and the Lamport time of each member that it holds for failed; `user_state` is the upper
    layer's.
    """

    buckets: tuple[int, ...]
    failed: tuple[Pair, ...]
    user_state: bytes

    def encode(self) -> bytes:
        fields = {
            "Buckets": pack_words(self.buckets),
            "Failed": _pack_pairs(self.failed),
            "UserState": self.user_state,
        }
        return bytes((MessageType.DIGEST,)) + pack(fields)


@dataclass(frozen=True, slots=True)
class Difference:
    """The answer: the numbers of the buckets that differ, and the key and hash of each living member in them.

    `asked` has the keys of those failed members about whom the answerer knows something else; `failed` and
    `user_state` are as in the digest.
    """

    indices: bytes
    members: tuple[Pair, ...]
    asked: tuple[int, ...]
    failed: tuple[Pair, ...]
    user_state: bytes

    def encode(self) -> bytes:
        fields = {
            "Asked": pack_words(self.asked),
            "Failed": _pack_pairs(self.failed),
            "Indices": self.indices,
            "Members": _pack_pairs(self.members),
            "UserState": self.user_state,
        }
        return bytes((MessageType.DIFFERENCE,)) + pack(fields)


@dataclass(frozen=True, slots=True)
class PartialState:
    """A push/pull of some members. `asked` has the keys of all of whom the sender wants to hear.

    With `with_events`, the user events that are remembered are in it, and asked for.
    """

    nodes: tuple[RemoteNode, ...]
    user_state: bytes
    asked: tuple[int, ...] = ()
    with_events: bool = False

    def encode(self) -> bytes:
        lines = [node.encode() for node in self.nodes]
        return encode_partial_state(lines, self.user_state, self.asked, with_events=self.with_events)


def encode_partial_state(
    lines: Sequence[bytes], user_state: bytes, asked: Iterable[int] = (), *, with_events: bool
) -> bytes:
    """A partial state of nodes that are written already."""
    header = {
        "Asked": pack_words(asked),
        "Events": with_events,
        "Nodes": len(lines),
        "UserStateLen": len(user_state),
    }
    return b"".join((bytes((MessageType.PARTIAL_STATE,)), pack(header), *lines, user_state))


# --- reading ---


class _Digest(Struct, gc=False, rename="pascal"):
    buckets: Octets = NIL
    failed: Octets = NIL
    user_state: Octets = NIL


class _Difference(Struct, gc=False, rename="pascal"):
    indices: Octets = NIL
    members: Octets = NIL
    asked: Octets = NIL
    failed: Octets = NIL
    user_state: Octets = NIL


_read_digest: Final = StructReader(_Digest).read
_read_difference: Final = StructReader(_Difference).read


def decode_digest(body: bytes) -> Digest:
    """What follows the type byte. Raises PeerProtocolError."""
    wire = _read_digest(body)
    buckets = unpack_words(_read_words(wire.buckets, "buckets", BUCKETS_MAX))
    if not buckets or len(buckets) & (len(buckets) - 1):
        raise PeerProtocolError(f"a digest of {len(buckets)} buckets")
    failed = _unpack_pairs(_read_words(wire.failed, "failed members", FAILED_MAX, 2))
    return Digest(buckets, failed, _read_brief(wire.user_state))


def decode_difference(body: bytes) -> Difference:
    """What follows the type byte. Raises PeerProtocolError."""
    wire = _read_difference(body)
    indices = octets(wire.indices)
    if len(indices) > BUCKETS_MAX:
        raise PeerProtocolError(f"a difference of {len(indices)} buckets")
    return Difference(
        indices,
        _unpack_pairs(_read_words(wire.members, "members", DIFFERING_MAX, 2)),
        unpack_words(_read_words(wire.asked, "asked members", FAILED_MAX)),
        _unpack_pairs(_read_words(wire.failed, "failed members", FAILED_MAX, 2)),
        _read_brief(wire.user_state),
    )


def decode_asked(data: bytes) -> tuple[int, ...]:
    """The keys in the header of a partial state. Raises PeerProtocolError."""
    if len(data) % _WORD or len(data) > _WORD * DIFFERING_MAX:
        raise PeerProtocolError(f"asked members of a partial state are {len(data)} bytes")
    return unpack_words(data)
