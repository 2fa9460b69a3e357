"""The asyncio side: one task steps the core, fed by one bounded inbox and one timer."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

from consul_kernel.contracts.errors import (
    CipherError,
    MembershipError,
    PeerProtocolError,
    PluginStartError,
)
from consul_kernel.contracts.membership import Member, MembershipContext, MemberStatus
from consul_kernel.contracts.membership_capabilities import KeyOperation, KeyringOutcome, QueryOutcome, QueryRequest
from consul_kernel.contracts.transport import Address, CountingEndpoint, Listener, PacketEndpoint, Stream
from consul_kernel.structs.coordinate import Coordinate

from .callbacks import Callbacks
from .commands import Commands
from .complaints import Complaints
from .config import SwimConfig, settle
from .core.events import (
    AnnounceJoin,
    Answer,
    AskQuery,
    CommandDone,
    Dial,
    Effect,
    ForceLeave,
    GiveUp,
    Join,
    Keep,
    Leave,
    Notify,
    OperateKeyring,
    SendPacket,
    SendUserEvent,
    SetTags,
    Started,
    Warn,
)
from .core.keyring import Keyring
from .core.swim import Swim
from .framing import Framing
from .meters import Meters
from .pump import Pump
from .sealing import make_sealing
from .snapshot import Recalled
from .snapshot_keeper import SnapshotKeeper
from .stream_exchanges import StreamExchanges

logger = logging.getLogger("consul_kernel.swim")

_NODES_PER_MEMBER: Final = 2
_JOINS_AT_ONCE: Final = 16
_BIND_ATTEMPTS: Final = 16


class SwimMembership:
    """Fulfils `contracts.membership.Membership` and each of its capabilities: queries, keyring, coordinates."""

    def __init__(self, context: MembershipContext, config: SwimConfig) -> None:
        self._context = context
        self._meters = Meters(context.metrics)
        self._sealing = make_sealing(context, config.label)
        self._settings = settle(
            config,
            context.pool,
            context.tuning,
            context.reconnect_timeout_ms,
            self._sealing.overhead_bytes,
            coordinates=context.coordinates,
        )
        self._framing = Framing(
            self._sealing,
            compress=config.compress_streams,
            nodes_max=_NODES_PER_MEMBER * self._settings.members_max,
        )
        self._callbacks = Callbacks(context)
        self._swim: Swim | None = None
        self._packets: PacketEndpoint | None = None
        self._listener: Listener | None = None
        self._counters: Counter[str] = Counter()
        self._pump = Pump(context, self._counters, self._perform, self._after_turn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands = Commands(self._pump.post)
        self._giving_up: asyncio.Task[None] | None = None
        self._closed = False
        self._complaints = Complaints(context.pool)
        self._snapshot: SnapshotKeeper | None = None
        self._exchanges = StreamExchanges(
            context,
            self._framing,
            self._settings.tcp_timeout_ms,
            self._pump.post,
            self._complaints,
            self._counters,
            self._meters,
        )

    # --- life ---

    async def start(self) -> None:
        """Bind packets and streams to one port, and become a pool of one."""
        if self._closed or self._pump.is_started:
            raise PluginStartError("this membership was started before")
        await self._bind()
        assert self._listener is not None
        context, bound = self._context, self._listener.address
        advertise = Address(context.advertise.host, context.advertise.port or bound.port)
        try:
            self._swim = Swim(
                context.node_name,
                advertise,
                context.tags,
                self._settings,
                context.rng,
                self._callbacks.accept,
                accept_list=self._callbacks.accept_list,
                answer_query=self._callbacks.answer_query,
                reconnect_timeout_of=self._callbacks.reconnect_timeout_of,
                keyring=Keyring(context.cipher, is_guarded=context.verify_incoming, is_hidden=context.verify_outgoing),
            )
        except (MembershipError, ValueError) as error:
            await self.aclose()
            raise PluginStartError(f"gossip cannot start as {context.node_name!r} at {advertise}: {error}") from error
        if context.snapshot_path is not None:
            self._snapshot = await SnapshotKeeper.open(context.snapshot_path, keeps_left=context.rejoin_after_leave)
        recalled = Recalled() if self._snapshot is None else self._snapshot.recalled
        self._pump.start(self._swim, Started(*recalled.clocks))
        self._spawn(self._rejoin(recalled), "swim-rejoin")

    async def _rejoin(self, recalled: Recalled) -> None:
        """Call on those who were alive in an earlier life, one after the other in random order, until one answers.

        As long as nobody does and nobody is met otherwise, again and again: the network may come up later than we.
        """
        known = [address for name, address in recalled.alive.items() if name != self._context.node_name]
        patience_ms = self._settings.reconnect_timeout_ms
        while known and patience_ms > 0 and len(self.members()) == 1:
            self._context.rng.shuffle(known)
            for address in known:
                try:
                    await self.join([address])
                except MembershipError:
                    continue
                logger.info("pool %s: rejoined through %s", self._context.pool, address)
                return
            await asyncio.sleep(self._settings.reconnect_interval_ms / 1000)
            patience_ms -= self._settings.reconnect_interval_ms

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bind(self) -> None:
        """Streams first; where the port was left open, packets get the same, or both try another."""
        transport, bind = self._context.transport, self._context.bind
        for attempt in range(_BIND_ATTEMPTS):
            listener = await transport.listen(bind, self._serve)
            try:
                self._packets = await transport.open_packets(Address(bind.host, listener.address.port), self._receive)
            except PluginStartError:
                await listener.aclose()
                if bind.port or attempt == _BIND_ATTEMPTS - 1:
                    raise
            else:
                self._listener = listener
                return

    async def aclose(self) -> None:
        """Stop at once. Idempotent."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await self._pump.aclose()
        if self._packets is not None:
            self._packets.close()
        if self._listener is not None:
            await self._listener.aclose()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._framing.close()
        self._commands.close()
        if self._snapshot is not None:
            await self._snapshot.aclose()

    # --- the contract's inputs ---

    @property
    def local_member(self) -> Member:
        """Before the start: what will be told, with status NONE."""
        if self._swim is not None:
            return self._swim.local_member()
        context = self._context
        return Member(name=context.node_name, address=context.advertise, tags=context.tags, status=MemberStatus.NONE)

    def members(self) -> Sequence[Member]:
        return () if self._swim is None else self._swim.members()

    async def join(self, addresses: Sequence[Address]) -> int:
        """Dials at most 16 at once; one round of joins is announced once."""
        self._core()
        gate = asyncio.Semaphore(_JOINS_AT_ONCE)

        async def join_one(address: Address) -> str | None:
            async with gate:
                return (await self._commands.run(lambda command_id: Join(command_id, address))).error

        errors = await asyncio.gather(*(join_one(address) for address in addresses))
        joined = sum(error is None for error in errors)
        if joined:
            self._pump.post(AnnounceJoin())
        elif addresses:
            causes = zip(addresses, errors, strict=True)
            raise MembershipError(", ".join(f"Failed to join {address}: {error}" for address, error in causes))
        return joined

    async def leave(self) -> None:
        if self._snapshot is not None:
            self._snapshot.note_leave()
        self._core()
        await self._commands.check(Leave)

    async def force_leave(self, name: str, *, prune: bool = False) -> None:
        self._core()
        await self._commands.check(lambda command_id: ForceLeave(command_id, name, prune))

    async def set_tags(self, tags: Mapping[str, str]) -> None:
        self._core()
        wanted = dict(tags)
        await self._commands.check(lambda command_id: SetTags(command_id, wanted))

    async def send_user_event(self, name: str, payload: bytes, *, coalesce: bool = False) -> None:
        self._core()
        await self._commands.check(lambda command_id: SendUserEvent(command_id, name, payload, coalesce))

    async def query(self, request: QueryRequest) -> QueryOutcome:
        self._core()
        return await self._commands.ask(lambda command_id: AskQuery(command_id, request), QueryOutcome)

    async def operate_keyring(
        self, operation: KeyOperation, key: bytes = b"", *, relay_factor: int = 0
    ) -> KeyringOutcome:
        self._core()
        return await self._commands.ask(
            lambda command_id: OperateKeyring(command_id, operation, key, relay_factor), KeyringOutcome
        )

    def stats(self) -> Mapping[str, str]:
        figures = {"encrypted": str(self._context.cipher is not None).lower()}
        if self._swim is not None:
            figures.update(self._swim.stats())
        counters = {
            **self._counters,
            "streams_over_budget": self._framing.held.refused,
            "unsealed_taken": self._sealing.unsealed_taken,
            "warnings_suppressed": self._complaints.suppressed,
        }
        endpoint: object = self._packets
        if isinstance(endpoint, CountingEndpoint):
            counters |= {f"send_failures_{cause}": count for cause, count in endpoint.send_failures.items()}
        figures.update({name: str(count) for name, count in sorted(counters.items()) if count})
        return figures

    def coordinate(self, name: str = "") -> Coordinate | None:
        return None if self._swim is None else self._swim.coordinates.of(name)

    def _core(self) -> Swim:
        if self._swim is None:
            raise MembershipError("the membership has not been started")
        return self._swim

    # --- what comes and what is to be done ---

    def _receive(self, packet: bytes, source: Address) -> None:
        """Take a packet off the network."""
        self._meters.packets_received.add(len(packet))
        try:
            plain = self._sealing.open_packet(packet)
        except (PeerProtocolError, CipherError) as error:
            self._counters["packets_refused"] += 1
            self._complaints.refused("packet", source.host, str(error), self._context.now_ms())
        else:
            self._pump.post_packet(plain, source)

    def _after_turn(self) -> None:
        if self._snapshot is not None:
            self._snapshot.note_clocks(self._core().lamport_times())

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendPacket():
                assert self._packets is not None
                packet = self._sealing.seal_packet(effect.packet)
                self._meters.packets_sent.add(len(packet))
                self._packets.send(packet, effect.to)
            case Notify():
                if self._snapshot is not None and not effect.is_kept:
                    self._snapshot.note(effect.event)
                self._callbacks.tell(effect.event)
            case Dial():
                self._spawn(self._exchanges.dial(effect), "swim-dial")
            case Answer():
                self._exchanges.answer(effect)
            case CommandDone():
                self._commands.settle(effect)
            case Keep():
                if self._snapshot is not None:
                    self._snapshot.note(effect.event)
            case Warn():
                self._complaints.warn(effect.text, self._context.now_ms())
            case GiveUp():
                logger.error("pool %s: this agent leaves the pool: %s", self._context.pool, effect.reason)
                self._giving_up = asyncio.create_task(self.aclose(), name="swim-give-up")

    async def _serve(self, stream: Stream) -> None:
        """A stream that a peer opened; none is served before the start and after the end."""
        if self._swim is None or self._closed:
            self._counters["streams_over_limit"] += 1
            return
        await self._exchanges.serve(stream)
