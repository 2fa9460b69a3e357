"""What the fuzzer begins with: recordings of real gossip, and valid messages with extreme values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.digest_messages import Difference, Digest, PartialState
from consul_kernel_swim.core.digest_table import key_of
from consul_kernel_swim.core.messages import (
    Ack,
    Alive,
    Dead,
    ErrorReply,
    IndirectPing,
    Nack,
    NodeState,
    Ping,
    RemoteNode,
    Suspect,
)
from consul_kernel_swim.core.query_messages import QueryResponse
from consul_kernel_swim.core.serf_messages import Brief, JoinIntent, LeaveIntent, SerfState, UserEventMessage
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS
from consul_kernel_swim.core.streams import PushPull, UserStream
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_swim.core.versions import DIGESTS
from consul_kernel_swim.core.wire import pack

OWN_NAME = "own"
OWN = Address("10.0.0.1", 8301)
PEER = Address("10.0.0.2", 8301)

RECORDED = {
    name: bytes.fromhex(text)
    for name, text in json.loads(
        (Path(__file__).parent.parent / "plugins/membership/swim/wire_vectors.json").read_text()
    ).items()
}
PACKETS = tuple(data for name, data in sorted(RECORDED.items()) if "udp_" in name or "msg_" in name)
STREAMS = tuple(data for name, data in sorted(RECORDED.items()) if "tcp_" in name)

_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1)
_TIMES = (*_NUMBERS, 1 << 32, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_HOSTS = (b"\x0a\0\0\2", b"\0\0\0\0", b"\xff\xff\xff\xff", bytes(16), bytes(10) + b"\xff\xff\x0a\0\0\3", b"\xff" * 16)
_LONG_NAME_CHARACTERS = 5_000


class Maker:
    """Makes valid messages: mostly about a few members, so that states change, with now and then an extreme value.

    With `rising`, incarnations and Lamport times only go up, so that each message is news.
    """

    def __init__(self, rng: random.Random, *, rising: bool = False) -> None:
        self._rng = rng
        self._rising = rising
        self._risen = 0
        self._packets: tuple[Callable[[], bytes], ...] = (
            self._alive,
            self._alive,
            lambda: Suspect(self._number(), self._name(), self._name()).encode(),
            lambda: Dead(self._number(), self._name(), self._name()).encode(),
            lambda: Ping(self._number(), self._name(), self._address(), self._name()).encode(),
            lambda: IndirectPing(self._number(), self._name(), self._target(), self._coin(), self._address()).encode(),
            lambda: Ack(self._number(), self._rng.choice((None, b"", self._octets()))).encode(),
            lambda: Nack(self._number()).encode(),
            lambda: b"\x08" + self._serf(),
            lambda: b"\x08" + self._serf(),
            lambda: ErrorReply(self._name()).encode(),
        )
        self._streams: tuple[Callable[[], bytes], ...] = (
            self._push_pull,
            self._push_pull,
            self._digest,
            self._difference,
            self._partial_state,
            lambda: UserStream(self._serf()).encode(),
            lambda: Ping(self._number(), self._name(), self._address()).encode(),
            lambda: Ack(self._number()).encode(),
            lambda: ErrorReply(self._name()).encode(),
        )

    def packet(self) -> bytes:
        """One message as it stands in a packet."""
        return self._rng.choice(self._packets)()

    def stream(self) -> bytes:
        """One message as it stands in a stream."""
        return self._rng.choice(self._streams)()

    def _coin(self) -> bool:
        return self._rng.random() < 0.5

    def _number(self) -> int:
        if self._rising:
            self._risen += 1
            return self._risen
        return self._rng.choice(_NUMBERS) if self._rng.random() < 0.3 else self._rng.randrange(20)

    def _time(self) -> int:
        if self._rising:
            return self._number()
        return self._rng.choice(_TIMES) if self._rng.random() < 0.1 else self._rng.randrange(2_000)

    def _name(self) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.1:
            return OWN_NAME
        if kind < 0.7:
            return f"n{rng.randrange(12)}"
        if kind < 0.95:
            return f"n{rng.randrange(1_000_000)}"
        return rng.choice(("", "x" * 255, "x" * 256, "é" * 200, "\0", "x" * rng.randrange(_LONG_NAME_CHARACTERS)))

    def _octets(self) -> bytes:
        return self._rng.randbytes(self._rng.choice((0, 1, 5, 50, 500, 3_000)))

    def _address(self) -> Address | None:
        return self._rng.choice((None, OWN, PEER, self._target()))

    def _target(self) -> Address:
        host = self._rng.choice(("10.0.0.2", "0.0.0.0", "255.255.255.255", "::", "::ffff:10.0.0.3", "fe80::1"))
        return Address(host, self._rng.choice((0, 1, 8301, 65535)))

    def _record(self) -> Alive:
        rng = self._rng
        host = _HOSTS[0] if rng.random() < 0.8 else rng.choice(_HOSTS)
        meta = encode_tags({"role": "node", "x": "y" * rng.randrange(50)})
        if rng.random() < 0.1:
            meta = rng.choice((b"", b"\xff", b"web", b"\xff" * 512, b"\xff" * 513, self._octets()))
        versions = (
            rng.choice((PROTOCOL_VERSIONS, PROTOCOL_VERSIONS + DIGESTS))
            if rng.random() < 0.9
            else rng.choice((b"", bytes(6), b"\xff" * 6, rng.randbytes(6), PROTOCOL_VERSIONS + rng.randbytes(20)))
        )
        return Alive(
            self._number(), self._name(), host, 8301 if self._coin() else rng.choice((0, 65535)), meta, versions
        )

    def _alive(self) -> bytes:
        return self._record().encode()

    def _serf(self) -> bytes:
        rng = self._rng
        kind = rng.randrange(7)
        if kind == 0:
            return LeaveIntent(self._time(), self._name(), self._coin()).encode()
        if kind == 1:
            return JoinIntent(self._time(), self._name()).encode()
        if kind in (2, 3):
            return UserEventMessage(self._time(), self._name(), self._octets(), self._coin()).encode()
        if kind == 4:
            return QueryResponse(self._time(), self._number(), self._name(), self._number(), self._octets()).encode()
        if kind == 5:
            return self._query()
        target = {"DestAddr": {"IP": rng.choice(_HOSTS), "Port": rng.choice((0, 1, 8301)), "Zone": ""}, "DestName": "x"}
        return b"\x09" + pack(target) + (self._serf() if self._coin() else self._octets())

    def _query(self) -> bytes:
        rng = self._rng
        names = b"\0" + pack([self._name() for _ in range(rng.randrange(4))])
        tags = b"\1" + pack({"Tag": "role", "Expr": rng.choice(("node", ".*", "(a+)+$", "[", "\\"))})
        query = {
            "Addr": rng.choice(_HOSTS),
            "Filters": rng.choice((None, [], [names], [tags], [names, tags, b""])),
            "Flags": rng.choice((0, 1, 2, 3, 1 << 31)),
            "ID": self._number(),
            "LTime": self._time(),
            "Name": rng.choice((self._name(), "_serf_ping", "_serf_conflict", "_serf_list-keys", "_serf_install-key")),
            "Payload": rng.choice((None, self._octets())),
            "Port": rng.choice((0, 8301, 65535)),
            "RelayFactor": rng.choice((0, 1, 255)),
            "SourceNode": self._name(),
            "Timeout": rng.choice((0, 10**9, (1 << 63) - 1, -1)),
        }
        return b"\x04" + pack(query)

    def _push_pull(self) -> bytes:
        return PushPull(self._nodes(), self._state(), self._coin()).encode()

    def _nodes(self) -> tuple[RemoteNode, ...]:
        rng = self._rng
        return tuple(RemoteNode(rng.choice(tuple(NodeState)), self._record()) for _ in range(rng.choice((0, 1, 3, 30))))

    def _state(self) -> bytes:
        rng = self._rng
        state = SerfState(
            self._time(),
            self._time(),
            self._time(),
            {self._name(): self._time() for _ in range(rng.choice((0, 1, 5, 50)))},
            [self._name() for _ in range(rng.choice((0, 1, 5)))],
            {self._time(): [(self._name(), self._octets())] for _ in range(rng.choice((0, 1, 20)))},
        ).encode()
        return state if rng.random() < 0.8 else self._octets()

    def _digest(self) -> bytes:
        buckets = tuple(self._word() for _ in range(1 << self._rng.randrange(10)))
        return Digest(buckets, self._pairs(), self._brief()).encode()

    def _difference(self) -> bytes:
        indices, asked = self._rng.randbytes(self._rng.choice((0, 1, 256))), (self._key(), self._word())
        return Difference(indices, self._pairs(), asked, self._pairs(), self._brief()).encode()

    def _partial_state(self) -> bytes:
        asked = tuple(self._key() for _ in range(self._rng.choice((0, 1, 40))))
        return PartialState(self._nodes(), self._state(), asked, self._coin()).encode()

    def _pairs(self) -> tuple[tuple[int, int], ...]:
        return tuple((self._key(), self._word()) for _ in range(self._rng.choice((0, 1, 5, 200))))

    def _key(self) -> int:
        return key_of(self._name()) if self._coin() else self._word()

    def _word(self) -> int:
        return self._rng.choice((0, 1, (1 << 64) - 1, self._rng.getrandbits(64)))

    def _brief(self) -> bytes:
        brief = Brief(self._time(), self._time(), self._time(), self._time(), self._word()).encode()
        return brief if self._rng.random() < 0.8 else self._octets()
