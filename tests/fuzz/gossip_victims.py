"""What the fuzzer attacks, and what must hold: nothing raises, nothing grows, a counter rises for what is unusable."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from consul_kernel.contracts.cipher import Cipher, CipherContext
from consul_kernel.contracts.errors import CipherError, PeerProtocolError, StreamClosedError, TransportError
from consul_kernel.contracts.membership_capabilities import QueryRequest
from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.contracts.transport import Address
from consul_kernel.plugins import PluginManager, installed_plugins
from consul_kernel.testing.membership_world import KeyedCipher
from consul_kernel_swim.complaints import Complaints
from consul_kernel_swim.core.events import (
    Answer,
    AskQuery,
    Dial,
    DialFailed,
    Effect,
    Input,
    PacketReceived,
    ReplyReceived,
    SendPacket,
    Started,
    StreamReceived,
    TimerFired,
)
from consul_kernel_swim.core.keyring import Keyring
from consul_kernel_swim.core.messages import User, decode_message
from consul_kernel_swim.core.packets import split_packet
from consul_kernel_swim.core.serf_messages import decode_serf
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.streams import StreamDecoder, StreamMessage
from consul_kernel_swim.core.swim import Swim
from consul_kernel_swim.framing import Framing
from consul_kernel_swim.sealing import Sealing

from .gossip_corpus import OWN, OWN_NAME, PEER
from .weight import weigh

MEMBERS_MAX = 64
QUEUE_MAX = 2 * MEMBERS_MAX
SETTINGS = Settings(members_max=MEMBERS_MAX, queue_depth_min=QUEUE_MAX)
ITEMS_MAX = 4_200
"""The longest container that a core may have: its longest bounds are 4,096, and timers."""
WEIGHT_MAX_BYTES = 24 << 20
STEP_MAX_S = 1.0
"""CPU of one input; the most that an expanding packet may cost is some tenths of it."""
STEPS_TO_ANSWER_MAX = 10_000
"""A state is merged and written in turns: in so many steps, all that wait must have been answered."""
LONGEST_PACKET_BYTES = 65_507
_QUEUES = ("event_queue", "intent_queue", "node_queue", "query_queue")
_REFUSED = (PeerProtocolError, CipherError, TransportError)
_DIALS_LEFT_OPEN = 40


class FaultError(AssertionError):
    """Something happened that must not, whatever a peer sends."""


class CoreVictim:
    """One protocol core with little room, so that every bound is reached."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.swim = Swim(
            OWN_NAME,
            OWN,
            {"role": "node"},
            SETTINGS,
            random.Random(rng.random()),
            answer_query=lambda query: query.payload[:100],
            keyring=Keyring(KeyedCipher(b"key")),
        )
        self.now_ms = 0
        self.refused_streams = 0
        self._streams = 0
        self._unanswered: set[int] = set()
        self._dials: list[int] = []
        self.slowest_s = 0.0
        self._step(Started())

    def wait(self, ms: int) -> None:
        """Let time pass, ask something now and then, and end some of the dials."""
        self.now_ms += ms
        if self._rng.random() < 0.02:
            self._step(AskQuery(self.now_ms, QueryRequest(name="q", request_ack=True, timeout_ms=5_000)))
        self._step(TimerFired())
        while len(self._dials) > _DIALS_LEFT_OPEN:
            self._step(DialFailed(self._dials.pop(self._rng.randrange(len(self._dials))), "refused"))

    def packet(self, packet: bytes) -> None:
        """One packet from somewhere."""
        source = PEER if self._rng.random() < 0.9 else Address("10.9.8.7", self._rng.randrange(1, 65536))
        before = sum(self.swim.counters.values())
        self._step(PacketReceived(packet, source))
        if sum(self.swim.counters.values()) == before and not is_usable(packet):
            raise FaultError("no counter has risen for a packet that cannot be used")

    def stream(self, chunks: Sequence[bytes]) -> None:
        """One stream, as an incoming one or as the answer to a dial."""
        decoder = StreamDecoder()
        message = None
        try:
            for chunk in chunks:
                message = decoder.feed(chunk)
                if message is not None:
                    break
        except PeerProtocolError:
            self.refused_streams += 1
        if message is not None:
            self._take(message)

    def _take(self, message: StreamMessage) -> None:
        if self._dials and self._rng.random() < 0.4:
            self._step(ReplyReceived(self._dials.pop(), message))
            return
        self._streams += 1
        self._unanswered.add(self._streams)
        self._step(StreamReceived(self._streams, message, PEER))

    def _step(self, event: Input) -> list[Effect]:
        start_s = time.thread_time()
        effects = self.swim.step(event, self.now_ms)
        self.slowest_s = max(self.slowest_s, time.thread_time() - start_s)
        for effect in effects:
            if isinstance(effect, SendPacket) and len(effect.packet) > LONGEST_PACKET_BYTES:
                raise FaultError(f"a packet of {len(effect.packet)} bytes")
            if isinstance(effect, Dial):
                self._dials.append(effect.dial_id)
            if isinstance(effect, Answer):
                self._unanswered.remove(effect.stream_id)  # answered once, or this raises
        return effects

    def check(self) -> None:
        """Whether every stream is answered in the end, and everything is within its bound."""
        for _ in range(STEPS_TO_ANSWER_MAX):
            if not self._unanswered:
                break
            self._step(TimerFired())
        if self._unanswered:
            raise FaultError(f"{len(self._unanswered)} streams have no answer")
        swim = self.swim
        if len(swim.members()) > MEMBERS_MAX or len(swim.nodes) > MEMBERS_MAX:
            raise FaultError(f"{len(swim.members())} members, {len(swim.nodes)} nodes")
        figures = swim.stats()
        if any(int(figures[name]) > QUEUE_MAX for name in _QUEUES):
            raise FaultError(f"a queue that is too long: {figures}")
        if self.slowest_s > STEP_MAX_S:
            raise FaultError(f"one input took {self.slowest_s:.1f} s of CPU")
        found = weigh(swim)
        if found.longest > ITEMS_MAX:
            raise FaultError(f"a container of {found.longest:,} items: {found.longest_is}")
        if found.total_bytes > WEIGHT_MAX_BYTES:
            raise FaultError(f"the core weighs {found.total_bytes:,} bytes; its heaviest part: {found.heaviest}")


def is_usable(packet: bytes) -> bool:
    """Whether all of a packet can be read."""
    try:
        messages, damaged = split_packet(packet)
        if damaged:
            return False
        for data in messages:
            message = decode_message(data)
            if isinstance(message, User) and decode_serf(message.body) is None:
                return False
    except PeerProtocolError:
        return False
    return True


class ChunkedStream:
    """A `Stream` of bytes that have all arrived, in the given pieces."""

    peer = PEER

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = [chunk for chunk in chunks if chunk]

    async def read(self, max_bytes: int) -> bytes:
        if not self._chunks:
            return b""
        chunk = self._chunks.pop(0)
        if len(chunk) > max_bytes:
            self._chunks.insert(0, chunk[max_bytes:])
        return chunk[:max_bytes]

    async def read_exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = await self.read(count - len(data))
            if not chunk:
                raise StreamClosedError("closed short")
            data += chunk
        return data

    def write(self, data: bytes) -> None:
        raise FaultError("whoever receives does not write")

    async def drain(self) -> None: ...

    def close_write(self) -> None: ...

    def close(self) -> None: ...


class SealedVictim:
    """The outermost layers with one cipher, or without: what was tampered with is refused, and complained about."""

    def __init__(self, rng: random.Random, cipher: Cipher | None, label: bytes) -> None:
        self._rng = rng
        self._sealed = cipher is not None
        self._sealing = Sealing(cipher, label)
        self._framing = Framing(self._sealing)
        self._complaints = Complaints("lan")
        self.refusals = 0

    def seal_packet(self, plain: bytes) -> bytes:
        """A packet as it goes over the network."""
        return self._sealing.seal_packet(plain)

    def honest(self, plain: bytes, sealed: bytes) -> None:
        """What was sealed here opens here."""
        if self._sealing.open_packet(sealed) != plain:
            raise FaultError("a packet came out as another")

    def forged(self, sealed: bytes, original: bytes) -> None:
        """Something that is not `original`, the sealed form, any more: with a cipher, it must be refused."""
        try:
            opened = self._sealing.open_packet(sealed)
        except _REFUSED as error:
            self._refused(error)
            return
        # AES-GCM's version byte is not authenticated: another one asks for padding, which the plain bytes may end in.
        only_version = sealed[1:] == original[1:] and self._sealing.open_packet(original).startswith(opened)
        if self._sealed and sealed != original and not only_version:
            raise FaultError("a forged packet was opened")

    def stream(self, data: bytes, chunks: Sequence[bytes], loop: asyncio.AbstractEventLoop, *, served: bool) -> None:
        """Receive one stream; `data` is the honest form of what the chunks may be a forgery of."""
        try:
            loop.run_until_complete(self._framing.receive(ChunkedStream(chunks), served=served))
        except _REFUSED as error:
            self._refused(error)
            return
        if self._sealed and not b"".join(chunks).startswith(data):
            raise FaultError("a forged stream was opened")

    def seal_stream(self, plain: bytes, *, dialling: bool) -> bytes:
        """A stream's bytes."""
        return self._sealing.seal_stream(plain, dialling=dialling)

    def _refused(self, error: Exception) -> None:
        self.refusals += 1
        host = f"10.1.{self._rng.randrange(256)}.{self._rng.randrange(256)}"
        self._complaints.refused("packet", host, str(error), self.refusals)

    def check(self) -> None:
        """Whether what is remembered of complaints is bounded."""
        found = weigh(self._complaints)
        if found.longest > ITEMS_MAX or found.total_bytes > 1 << 20:
            raise FaultError(f"complaints grow: {found}")


def installed_ciphers(keys: Sequence[bytes]) -> dict[str, Cipher]:
    """Every installed cipher by name, with a key of its own."""
    names = [found.name for found in installed_plugins() if found.kind is PluginKind.CIPHER]
    plugins = {name: PluginManager().load(PluginKind.CIPHER, name) for name in names}
    return {
        name: plugin.create(CipherContext(encrypt=key), plugin.config_type())
        for (name, plugin), key in zip(plugins.items(), keys, strict=False)
    }
