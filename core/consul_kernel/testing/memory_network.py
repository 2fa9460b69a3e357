"""A network of hosts in memory: packets that get lost, streams that break, hosts that crash.

Made for `virtual_time`: delays are timers of the running loop, every choice comes from the injected `rng`,
and what is due at one instant arrives in the order in which it was sent. Same seed, same course.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from consul_kernel.contracts.errors import PluginStartError, TransportError
from consul_kernel.contracts.transport import Address, ReceivePacket, ServeStream

from .memory_stream import MemoryConnection, MemoryStream

MAX_PACKET_BYTES = 65_507
MAX_QUEUED_PACKETS = 100_000
"""Packets under way in the whole network; more are lost, as in a router that is swamped."""

_FIRST_EPHEMERAL_PORT = 49_152
_ANY_HOST = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkQuality:
    """How one direction between two hosts treats what is sent. Rates are probabilities.

    A packet takes between `delay_ms_min` and `delay_ms_max`, so that close ones may overtake each other;
    `reorder_rate` of them take ten times as long, and `damage_rate` of them arrive with one octet changed. Streams see
    the delay alone, and stay in order.
    """

    delay_ms_min: float = 0.5
    delay_ms_max: float = 2.0
    loss_rate: float = 0.0
    duplicate_rate: float = 0.0
    reorder_rate: float = 0.0
    damage_rate: float = 0.0


PERFECT_LINK = LinkQuality()


class MemoryNetwork:
    """Hosts by IP address, the links between them, and what goes wrong."""

    def __init__(
        self, rng: random.Random, *, quality: LinkQuality = PERFECT_LINK, stream_break_ms: float = 5000.0
    ) -> None:
        """`stream_break_ms`: a partition that lasts longer breaks the streams across it, at both ends."""
        self._rng = rng
        self._default_quality = quality
        self._quality: dict[tuple[str, str], LinkQuality] = {}
        self._cut: set[tuple[str, str]] = set()
        self._stream_break_ms = stream_break_ms
        self._transports: dict[str, list[MemoryTransport]] = {}
        self._packets: dict[Address, MemoryPacketEndpoint] = {}
        self._listeners: dict[Address, MemoryListener] = {}
        self._connections: dict[MemoryConnection, None] = {}
        self._next_port = _FIRST_EPHEMERAL_PORT
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._packets_under_way = 0
        self.counters: dict[str, int] = dict.fromkeys(("sent", "delivered", "lost", "duplicated", "broken_streams"), 0)

    # --- what a test does to it ---

    def transport(self, host: str) -> MemoryTransport:
        """A transport of the host with this IP address; a restarted agent takes a new one."""
        transport = MemoryTransport(self, host)
        self._transports.setdefault(host, []).append(transport)
        return transport

    def set_quality(self, quality: LinkQuality, source: str | None = None, to: str | None = None) -> None:
        """Set one direction between two hosts, or, without hosts, of every link that has none of its own."""
        if source is None or to is None:
            self._default_quality = quality
        else:
            self._quality[source, to] = quality

    def partition(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Lose everything from `a` to `b`, and back unless `one_way`."""
        self._cut.add((a, b))
        if not one_way:
            self._cut.add((b, a))
        for connection in list(self._connections):
            if connection.joins(a, b):
                self.call_after(self._stream_break_ms, self._breaker(connection, connection.cut()))

    def isolate(self, host: str) -> None:
        """Partition a host from every other one that is known by now."""
        for other in list(self._transports):
            if other != host:
                self.partition(host, other)

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """End the partition between two hosts, or every one. Streams that still live go on."""
        if a is None or b is None:
            self._cut.clear()
        else:
            self._cut -= {(a, b), (b, a)}
        for connection in list(self._connections):
            if not self.is_cut(*connection.hosts):
                connection.heal()

    def is_cut(self, a: str, b: str) -> bool:
        """Whether at least one direction between the hosts is cut, which is enough to stall a stream."""
        return (a, b) in self._cut or (b, a) in self._cut

    def crash(self, host: str) -> None:
        """End everything that the host has open, without a word from its agent.

        Peers' streams break a moment later, as when a process is killed and its kernel resets them; to make
        a host fall silent instead, `isolate` it first.
        """
        for transport in self._transports.pop(host, []):
            transport.abandon()
        for address in [address for address in self._packets if address.host == host]:
            self._packets[address].close()
        for address in [address for address in self._listeners if address.host == host]:
            self._listeners[address].abandon()
        for connection in list(self._connections):
            if host in connection.hosts:
                connection.crash(host)

    # --- what transports do with it ---

    def call_after(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Run `action` later; what is due at one instant runs in the order of the calls."""
        self.call_at(asyncio.get_running_loop().time() + delay_ms / 1000, action)

    def call_at(self, at_s: float, action: Callable[[], None]) -> None:
        """As `call_after`, at a time of the loop's clock."""
        self._sequence += 1
        heappush(self._due, (at_s, self._sequence, action))
        self._arm(asyncio.get_running_loop())

    def delay_ms(self, source: str, to: str) -> float:
        """A delay for one message on a link."""
        quality = self._quality.get((source, to), self._default_quality)
        return self._rng.uniform(quality.delay_ms_min, quality.delay_ms_max)

    def send_packet(self, source: Address, to: Address, packet: bytes) -> None:
        """Put a packet under way: none, one or two copies of it arrive."""
        self.counters["sent"] += 1
        quality = self._quality.get((source.host, to.host), self._default_quality)
        if (source.host, to.host) in self._cut or self._rng.random() < quality.loss_rate:
            self.counters["lost"] += 1
            return
        copies = 1
        if self._rng.random() < quality.duplicate_rate:
            self.counters["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            if self._packets_under_way >= MAX_QUEUED_PACKETS:
                self.counters["lost"] += 1
                return
            delay = self.delay_ms(source.host, to.host)
            if self._rng.random() < quality.reorder_rate:
                delay *= 10
            if quality.damage_rate and self._rng.random() < quality.damage_rate:
                packet = self._damage(packet)
            self._packets_under_way += 1
            self.call_after(delay, self._deliverer(source, to, packet))

    def _damage(self, packet: bytes) -> bytes:
        """Another octet in one place."""
        damaged = bytearray(packet)
        if damaged:
            damaged[self._rng.randrange(len(damaged))] ^= self._rng.randrange(1, 256)
        return bytes(damaged)

    def bind_packets(self, endpoint: MemoryPacketEndpoint) -> None:
        """Make an endpoint reachable."""
        if endpoint.address in self._packets:
            raise PluginStartError(f"cannot bind UDP {endpoint.address}: address already in use")
        self._packets[endpoint.address] = endpoint

    def unbind_packets(self, endpoint: MemoryPacketEndpoint) -> None:
        """Make it unreachable again."""
        if self._packets.get(endpoint.address) is endpoint:
            del self._packets[endpoint.address]

    def bind_listener(self, listener: MemoryListener) -> None:
        """Make a listener reachable."""
        if listener.address in self._listeners:
            raise PluginStartError(f"cannot bind TCP {listener.address}: address already in use")
        self._listeners[listener.address] = listener

    def unbind_listener(self, listener: MemoryListener) -> None:
        """Make it unreachable again."""
        if self._listeners.get(listener.address) is listener:
            del self._listeners[listener.address]

    async def connect(self, source: str, to: Address) -> MemoryStream:
        """Dial, without a time limit: across a partition it never ends."""
        await self._pass(source, to.host)
        listener = self._listeners.get(to)
        await self._pass(to.host, source)
        if listener is None or listener.closed:
            raise TransportError(f"cannot dial {to}: connection refused")
        connection = MemoryConnection(self, Address(source, self.ephemeral_port()), to, self._forget)
        if self.is_cut(source, to.host):
            connection.cut()
        self._connections[connection] = None
        listener.accept(connection.accepted)
        return connection.dialled

    def ephemeral_port(self) -> int:
        """A port that nobody has."""
        self._next_port = self._next_port + 1 if self._next_port < 65_535 else _FIRST_EPHEMERAL_PORT
        return self._next_port

    def resolve_bind(self, host: str, bind: Address) -> Address:
        """The address that a bind on `host` gets. Raises PluginStartError."""
        if bind.host not in (host, *_ANY_HOST):
            raise PluginStartError(f"cannot bind {bind}: not an address of this host ({host})")
        return Address(host, bind.port or self.ephemeral_port())

    # --- inside ---

    async def _pass(self, source: str, to: str) -> None:
        """Wait as long as a handshake's message takes."""
        arrived = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            if arrived.done():
                return
            if (source, to) in self._cut:
                self.call_after(100.0, arrive)  # sent again and again, as TCP does
            else:
                arrived.set_result(None)

        self.call_after(self.delay_ms(source, to), arrive)
        await arrived

    def _deliverer(self, source: Address, to: Address, packet: bytes) -> Callable[[], None]:
        def deliver() -> None:
            self._packets_under_way -= 1
            endpoint = self._packets.get(to)
            if endpoint is None or (source.host, to.host) in self._cut:
                self.counters["lost"] += 1
                return
            self.counters["delivered"] += 1
            endpoint.receive(packet, source)

        return deliver

    def _breaker(self, connection: MemoryConnection, cut_number: int) -> Callable[[], None]:
        def break_it() -> None:
            if connection.is_still_cut(cut_number):
                self.counters["broken_streams"] += 1
                connection.break_both("connection timed out")

        return break_it

    def _forget(self, connection: MemoryConnection) -> None:
        self._connections.pop(connection, None)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        first = self._due[0][0]
        if self._timer is not None and self._timer_at <= first:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = first
        self._timer = loop.call_at(first, self._run_due, loop)

    def _run_due(self, loop: asyncio.AbstractEventLoop) -> None:
        # Up to the timer's own instant even where the clock is a hair before it.
        now = max(loop.time(), self._timer_at)
        self._timer = None
        try:
            while self._due and self._due[0][0] <= now:
                heappop(self._due)[2]()
        finally:
            if self._due:
                self._arm(loop)


class MemoryPacketEndpoint:
    """A bound packet endpoint (contract `PacketEndpoint`)."""

    def __init__(self, network: MemoryNetwork, address: Address, receive: ReceivePacket) -> None:
        self._network = network
        self.address = address
        self.receive = receive
        self._closed = False

    def send(self, packet: bytes, to: Address) -> None:
        """Send one packet; one that is too long is lost."""
        if not self._closed and len(packet) <= MAX_PACKET_BYTES:
            self._network.send_packet(self.address, to, bytes(packet))

    def close(self) -> None:
        """Stop receiving and sending."""
        self._closed = True
        self._network.unbind_packets(self)


class MemoryListener:
    """A listener (contract `Listener`)."""

    def __init__(self, network: MemoryNetwork, address: Address, serve: ServeStream) -> None:
        self._network = network
        self.address = address
        self._serve = serve
        self._tasks: dict[asyncio.Task[None], MemoryStream] = {}
        self.closed = False

    def accept(self, stream: MemoryStream) -> None:
        """Serve a stream in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._run(stream))
        self._tasks[task] = stream
        task.add_done_callback(self._on_done)

    async def _run(self, stream: MemoryStream) -> None:
        try:
            await self._serve(stream)
        except (TransportError, TimeoutError):
            return

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            loop = task.get_loop()
            loop.call_exception_handler({"message": f"serving a stream at {self.address} failed", "exception": error})

    def abandon(self) -> list[asyncio.Task[None]]:
        """Stop accepting and cancel what is served, without waiting; the tasks that were cancelled."""
        self.closed = True
        self._network.unbind_listener(self)
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        return tasks

    async def aclose(self) -> None:
        """Stop accepting and end what is served."""
        tasks = self.abandon()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)


class MemoryTransport:
    """One host's transport (contract `Transport`)."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self._network = network
        self._host = host
        self._endpoints: list[MemoryPacketEndpoint] = []
        self._listeners: list[MemoryListener] = []
        self._dialled: list[MemoryStream] = []
        self._closed = False

    async def open_packets(self, bind: Address, receive: ReceivePacket) -> MemoryPacketEndpoint:
        """Bind a packet endpoint on this host."""
        endpoint = MemoryPacketEndpoint(self._network, self._network.resolve_bind(self._host, bind), receive)
        self._network.bind_packets(endpoint)
        self._endpoints.append(endpoint)
        return endpoint

    async def listen(self, bind: Address, serve: ServeStream) -> MemoryListener:
        """Accept streams on this host."""
        listener = MemoryListener(self._network, self._network.resolve_bind(self._host, bind), serve)
        self._network.bind_listener(listener)
        self._listeners.append(listener)
        return listener

    async def dial(self, to: Address, *, timeout_ms: int) -> MemoryStream:
        """Connect to another host, or to this one."""
        if self._closed:
            raise TransportError(f"cannot dial {to}: transport is closed")
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                stream = await self._network.connect(self._host, to)
        except TimeoutError as error:
            raise TransportError(f"cannot dial {to}: no answer within {timeout_ms} ms") from error
        self._dialled = [known for known in self._dialled if not known.is_closed]
        self._dialled.append(stream)
        return stream

    def abandon(self) -> None:
        """What a crash leaves: a transport that does nothing any more."""
        self._closed = True

    async def aclose(self) -> None:
        """Close everything that was opened through this transport."""
        self._closed = True
        for endpoint in self._endpoints:
            endpoint.close()
        for listener in self._listeners:
            await listener.aclose()
        for stream in self._dialled:
            stream.close()
