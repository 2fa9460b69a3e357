"""Membership: who is in the pool, who has failed, and events that reach everybody.

Clauses: docs/contracts/membership.md. Kit: `consul_kernel.testing.membership_kit`. What a membership may offer
besides: `membership_capabilities`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from .cipher import Cipher
from .membership_capabilities import AnswerQuery
from .metrics import NO_METRICS, Metrics
from .plugin import Plugin
from .transport import Address, Transport


class MemberStatus(IntEnum):
    """Serf's member states, with the numbers that Consul's HTTP API shows."""

    NONE = 0
    ALIVE = 1
    LEAVING = 2
    LEFT = 3
    FAILED = 4


PRIVATE_TAG_PREFIX = "ck_"
"""How the tags begin that tell agents of ours about each other, and users nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member as this agent sees it. `tags` is never changed in place."""

    name: str
    address: Address
    tags: Mapping[str, str]
    status: MemberStatus
    protocol_min: int = 1
    protocol_max: int = 5
    protocol_cur: int = 2
    delegate_min: int = 2
    delegate_max: int = 5
    delegate_cur: int = 4

    @property
    def shown_tags(self) -> dict[str, str]:
        """The tags for users; those that agents of ours have for each other alone are none of Consul's."""
        return {name: value for name, value in self.tags.items() if not name.startswith(PRIVATE_TAG_PREFIX)}


class MemberEventKind(StrEnum):
    """What happened to a member. REAP means that it was forgotten."""

    JOIN = "member-join"
    UPDATE = "member-update"
    FAILED = "member-failed"
    LEAVE = "member-leave"
    REAP = "member-reap"


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """One change of one member; `member` is its state after the change."""

    kind: MemberEventKind
    member: Member


@dataclass(frozen=True, slots=True)
class UserEvent:
    """A named message that reached everybody, this agent included. Delivered once, in no fixed order."""

    name: str
    payload: bytes
    lamport_time: int


GossipEvent = MemberEvent | UserEvent


@runtime_checkable
class Membership(Protocol):
    """One agent's part in one gossip pool."""

    async def start(self) -> None:
        """Bind and become a pool of one. Raises PluginStartError when the address cannot be bound."""
        ...

    @property
    def local_member(self) -> Member:
        """This agent, with the address and tags that others are told."""
        ...

    def members(self) -> Sequence[Member]:
        """Everyone known, this agent included, failed and left ones until they are reaped."""
        ...

    async def join(self, addresses: Sequence[Address]) -> int:
        """Exchange state with each address; how many answered. Raises MembershipError when none did."""
        ...

    async def leave(self) -> None:
        """Tell the pool that this agent leaves on purpose, and wait (bounded) until that has been sent."""
        ...

    async def force_leave(self, name: str, *, prune: bool = False) -> None:
        """Turn a failed member into a left one, everywhere; with `prune`, forget it at once.

        Raises MembershipError when no such member is known.
        """
        ...

    async def set_tags(self, tags: Mapping[str, str]) -> None:
        """Replace this agent's tags. Raises MembershipError when they do not fit the wire's limit."""
        ...

    async def send_user_event(self, name: str, payload: bytes, *, coalesce: bool = False) -> None:
        """Spread a named message to all. Raises MembershipError when it is too large."""
        ...

    def stats(self) -> Mapping[str, str]:
        """Figures for `info`, Serf's names: members, failed, left, health_score, event_time, …"""
        ...

    async def aclose(self) -> None:
        """Stop at once, without a word to the pool. Idempotent."""
        ...


AcceptMember = Callable[[Member], str | None]
AcceptMembers = Callable[[Sequence[Member]], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipContext:
    """What a membership is made with.

    `on_event` is called in the agent's event loop, soon after the fact, and must neither raise nor block.
    `accept` may refuse a member (by its text) before it is merged: wrong datacenter, taken node id. A member
    that is refused is treated as unknown. `accept_list` may refuse a join for what the members that the peer sent are
    to each other; it is asked when `accept` has nothing against any of them. `snapshot_path` is where known members
    may be kept for a rejoin.
    `now_ms` is a monotonic clock, `now_us` the same or another one that ticks in microseconds; `rng` the only source of
    randomness.
    """

    node_name: str
    bind: Address
    advertise: Address
    tags: Mapping[str, str]
    transport: Transport
    cipher: Cipher | None
    on_event: Callable[[GossipEvent], None]
    now_ms: Callable[[], int]
    rng: random.Random
    pool: str = "lan"
    accept: AcceptMember | None = None
    accept_list: AcceptMembers | None = None
    snapshot_path: Path | None = None
    reconnect_timeout_ms: int = 72 * 3600 * 1000
    tuning: Mapping[str, int] = field(default_factory=dict)
    """Consul's `gossip_lan` or `gossip_wan` keys that the agent file sets; durations in ms."""
    reconnect_timeout_of: Callable[[Member], int | None] | None = None
    """Another reconnect timeout, in ms, for a member that asks for one; None for the pool's."""
    rejoin_after_leave: bool = False
    """Whether the snapshot keeps the members when this agent leaves on purpose, so that a later start rejoins."""
    verify_incoming: bool = True
    """With a cipher: refuse what is not sealed. False while encryption is being introduced."""
    verify_outgoing: bool = True
    """With a cipher: seal what is sent. False while encryption is being introduced."""
    coordinates: bool = True
    """Whether network coordinates are kept and sent."""
    answer_query: AnswerQuery | None = None
    """The application's answers to queries (capability `queries`)."""
    now_us: Callable[[], int] | None = None
    """For round-trip times, of which a local network has many in a millisecond; without it `now_ms` measures them."""
    metrics: Metrics = NO_METRICS
    """What the membership counts with. Pools of one agent are counted together."""


MembershipPlugin = Plugin[MembershipContext, Membership]
