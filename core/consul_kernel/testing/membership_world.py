"""A pool of agents on an in-memory network in virtual time: what the membership kit's checks run in."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from consul_kernel.contracts.cipher import KEY_IS_PRIMARY, KEY_NOT_INSTALLED, Cipher
from consul_kernel.contracts.errors import CipherError, MembershipError
from consul_kernel.contracts.membership import (
    AcceptMember,
    AcceptMembers,
    GossipEvent,
    Member,
    MemberEvent,
    MemberEventKind,
    Membership,
    MembershipContext,
    MemberStatus,
    UserEvent,
)
from consul_kernel.contracts.membership_capabilities import AnswerQuery
from consul_kernel.contracts.transport import Address

from .clauses import ClauseError
from .memory_network import MemoryNetwork
from .virtual_time import virtual_now_ms, virtual_now_us

GOSSIP_PORT = 8301
FAST_TUNING: Mapping[str, int] = {
    "gossip_interval": 50,
    "gossip_nodes": 3,
    "probe_interval": 200,
    "probe_timeout": 100,
    "suspicion_mult": 3,
    "retransmit_mult": 4,
}
WAIT_S = 300.0
"""Virtual seconds that a check waits at most for anything that must happen."""
_POLL_S = 0.05

MakeMembership = Callable[[MembershipContext], Membership]


class KeyedCipher:
    """A toy cipher for tests: a keyed digest in front of the plain bytes. Not secret, but authenticated.

    Keys that are installed have 16, 24 or 32 bytes, the first ones any. `refused` counts what did not open.
    """

    def __init__(self, *ring: bytes) -> None:
        self._ring = list(ring)
        self.overhead = 32
        self.refused = 0

    @staticmethod
    def _digest(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
        parts = (key, len(associated).to_bytes(4, "big"), associated, plaintext)
        return hashlib.sha256(b"".join(parts)).digest()

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        return self._digest(self._ring[0], plaintext, associated) + plaintext

    def open(self, sealed: bytes, associated: bytes = b"") -> bytes:
        plaintext = sealed[32:]
        if not any(sealed[:32] == self._digest(key, plaintext, associated) for key in self._ring):
            self.refused += 1
            raise CipherError("not sealed with this key")
        return plaintext

    def keys(self) -> Sequence[bytes]:
        return tuple(self._ring)

    def install(self, key: bytes) -> None:
        if len(key) not in (16, 24, 32):
            raise CipherError("key size must be 16, 24 or 32 bytes")
        if key not in self._ring:
            self._ring.append(key)

    def use(self, key: bytes) -> None:
        if key not in self._ring:
            raise CipherError(KEY_NOT_INSTALLED)
        self._ring.remove(key)
        self._ring.insert(0, key)

    def remove(self, key: bytes) -> None:
        if key == self._ring[0]:
            raise CipherError(KEY_IS_PRIMARY)
        if key in self._ring:
            self._ring.remove(key)


class Agent:
    """One membership on a host of its own, and the events that it reported."""

    def __init__(self, name: str, host: str, membership: Membership, events: list[GossipEvent]) -> None:
        self.name = name
        self.host = host
        self.membership = membership
        self.events = events

    @property
    def address(self) -> Address:
        """Where others join it."""
        return Address(self.host, GOSSIP_PORT)

    def statuses(self) -> dict[str, MemberStatus]:
        """What it thinks of everyone."""
        return {member.name: member.status for member in self.membership.members()}

    def find(self, name: str) -> Member:
        """One member, which must be known. Raises KeyError."""
        return {member.name: member for member in self.membership.members()}[name]

    def kinds(self, name: str) -> list[MemberEventKind]:
        """The kinds of the events about one member, in order."""
        return [event.kind for event in self.events if isinstance(event, MemberEvent) and event.member.name == name]

    def user_events(self) -> list[tuple[str, bytes]]:
        """Names and payloads of the user events, in order."""
        return [(event.name, event.payload) for event in self.events if isinstance(event, UserEvent)]


class PoolWorld:
    """Hosts 10.0.0.1, 10.0.0.2, … on one network."""

    def __init__(self, make_membership: MakeMembership, seed: int = 1) -> None:
        self._make = make_membership
        self._rng = random.Random(seed)
        self.network = MemoryNetwork(random.Random(seed + 1))
        self.agents: list[Agent] = []
        self._hosts = 0

    async def add(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        accept: AcceptMember | None = None,
        accept_list: AcceptMembers | None = None,
        cipher: Cipher | None = None,
        verify_incoming: bool = True,
        verify_outgoing: bool = True,
        host: str | None = None,
        on_event: Callable[[GossipEvent], None] | None = None,
        answer_query: AnswerQuery | None = None,
        coordinates: bool = True,
    ) -> Agent:
        """Start one more agent, alone in its pool. With `host`, on that host again."""
        if host is None:
            self._hosts += 1
            host = f"10.0.0.{self._hosts}"
        events: list[GossipEvent] = []

        def hear(event: GossipEvent) -> None:
            events.append(event)
            if on_event is not None:
                on_event(event)

        membership = self._make(
            MembershipContext(
                node_name=name,
                bind=Address("0.0.0.0", GOSSIP_PORT),
                advertise=Address(host, GOSSIP_PORT),
                tags=tags or {},
                transport=self.network.transport(host),
                cipher=cipher,
                verify_incoming=verify_incoming,
                verify_outgoing=verify_outgoing,
                on_event=hear,
                now_ms=virtual_now_ms,
                now_us=virtual_now_us,
                rng=random.Random(self._rng.randrange(1 << 60)),
                accept=accept,
                accept_list=accept_list,
                tuning=FAST_TUNING,
                answer_query=answer_query,
                coordinates=coordinates,
            )
        )
        await membership.start()
        agent = Agent(name, host, membership, events)
        self.agents.append(agent)
        return agent

    async def pool(self, count: int) -> list[Agent]:
        """Agents a1 … that all know each other."""
        agents = [await self.add(f"a{number}") for number in range(1, count + 1)]
        for agent in agents[1:]:
            await agent.membership.join([agents[0].address])
        names = {agent.name for agent in agents}
        await self.until(
            lambda: all(set(agent.statuses()) == names for agent in agents), "2.2: everyone knows everyone"
        )
        return agents

    async def crash(self, agent: Agent) -> None:
        """The host loses its agent without a word."""
        self.network.crash(agent.host)
        await agent.membership.aclose()
        self.agents.remove(agent)

    async def until(self, condition: Callable[[], bool], clause: str) -> None:
        """Wait for a condition in virtual time."""
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                seen = {agent.name: dict(agent.statuses()) for agent in self.agents}
                raise ClauseError(f"{clause}: not within {WAIT_S:g} s; members as seen: {seen}")
            await asyncio.sleep(_POLL_S)

    async def until_status(self, agents: Sequence[Agent], name: str, status: MemberStatus, clause: str) -> None:
        """Wait until all these agents see a member in this state."""
        await self.until(lambda: all(agent.statuses().get(name) is status for agent in agents), clause)

    async def aclose(self) -> None:
        """Stop every agent."""
        for agent in self.agents:
            await agent.membership.aclose()


Check = Callable[[PoolWorld], Coroutine[Any, Any, None]]
"""One clause, or part of one: returns when it holds, else raises ClauseError."""


async def expect_membership_error(operation: Awaitable[object], clause: str) -> None:
    """The operation must fail with MembershipError."""
    try:
        await operation
    except MembershipError:
        return
    raise ClauseError(clause)
