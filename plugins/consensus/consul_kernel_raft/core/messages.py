"""What servers say to each other.

`token` is the receiver's own: it is set on a request by whoever received it and comes back on the response, which
is how a driver finds the connection to answer on. Each request is answered exactly once, TimeoutNow excepted.
`round`, `sent_ms` and an append's `commit_index` are the sender's own too, and come back unchanged: what was
confirmed, and since when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from consul_kernel.contracts.consensus import Configuration
from consul_kernel.contracts.store import LogEntry


class AppendEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that follow (`prev_index`, `prev_term`), and how far the leader has committed (§5.3)."""

    sender: str
    to: str
    term: int
    prev_index: int
    prev_term: int
    entries: Sequence[LogEntry]
    commit_index: int
    round: int = 0
    sent_ms: int = 0
    token: int = 0


class AppendEntriesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """On success the log matches the leader's up to `match_index`, durably.

    Otherwise it can match at most up to `hint_index`, where this server has `hint_term` (0: not told).
    """

    sender: str
    to: str
    term: int
    success: bool
    prev_index: int
    match_index: int = 0
    hint_index: int = 0
    hint_term: int = 0
    commit_index: int = 0
    round: int = 0
    sent_ms: int = 0
    token: int = 0


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Says who leads and asks whether that still stands; it says nothing about the log."""

    sender: str
    to: str
    term: int
    round: int
    sent_ms: int
    token: int = 0


class HeartbeatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`success` while the sender follows the leader that asked."""

    sender: str
    to: str
    term: int
    success: bool
    round: int
    sent_ms: int
    token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVote:
    """A candidate asks (§5.2); with `pre` it asks what would happen, in the term after its own (thesis §9.6)."""

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int
    pre: bool = False
    transfer: bool = False
    token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVoteResponse:
    """`term` is the voter's own, `request_term` the one it was asked about."""

    sender: str
    to: str
    term: int
    request_term: int
    granted: bool
    pre: bool = False
    token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPoint:
    """Where a snapshot ends, and the configuration in force there. `id` names it in the local snapshot store."""

    id: str
    index: int
    term: int
    configuration: Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSnapshot:
    """A whole state for a follower that needs entries which are not kept any more (§7).

    On the sending side `snapshot` only says which is meant; the receiving side steps it once every byte has
    arrived and is durable, with `snapshot.id` as its own store named it.
    """

    sender: str
    to: str
    term: int
    snapshot: SnapshotPoint
    token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSnapshotResponse:
    """On success the log of the sender goes on after `index`."""

    sender: str
    to: str
    term: int
    success: bool
    index: int
    token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutNow:
    """The leader of `term` asks the receiver to start an election at once (thesis §3.10)."""

    sender: str
    to: str
    term: int


Request: TypeAlias = AppendEntries | Heartbeat | RequestVote | InstallSnapshot | TimeoutNow
Response: TypeAlias = AppendEntriesResponse | HeartbeatResponse | RequestVoteResponse | InstallSnapshotResponse
Message: TypeAlias = Request | Response
