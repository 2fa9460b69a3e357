"""Consensus: one order of commands that a quorum of servers agrees on, durably.

Clauses: docs/contracts/consensus.md. Kit: `consul_kernel.testing.consensus_kit`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from .metrics import NO_METRICS, Metrics
from .plugin import Plugin
from .store import LogStore, SnapshotSource, SnapshotStore
from .transport import Stream


class ConsensusCapability(StrEnum):
    """The names for `Plugin.capabilities`."""

    MULTI_SERVER = "multi-server"
    """The quorum may have any number of servers. Without it there is one, which founds by itself."""
    RECOVERY = "recovery"
    """`RecoverableConsensus`: servers that outlived the majority can be told to go on without it."""
    SNAPSHOT_TUNING = "snapshot-tuning"
    """`TunableConsensus`: when snapshots are taken can be changed while it runs."""
    CATCH_UP = "catch-up"
    """`CatchingUpConsensus`: a follower can be told how far another server is, and awaited until it is as far."""


class Suffrage(StrEnum):
    """Whether a server's vote counts."""

    VOTER = "voter"
    NONVOTER = "nonvoter"


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the quorum: `id` is its node id (a UUID), `address` is `ip:port` of its server port."""

    id: str
    address: str
    suffrage: Suffrage = Suffrage.VOTER


@dataclass(frozen=True, slots=True)
class Configuration:
    """The servers of the quorum, and the log index that made them so."""

    servers: tuple[Server, ...] = ()
    index: int = 0

    def get(self, server_id: str) -> Server | None:
        """The server with this id, if it is one of the quorum."""
        return next((server for server in self.servers if server.id == server_id), None)


class Role(StrEnum):
    """A server's part in the current term, in the words of Consul's `info`."""

    FOLLOWER = "Follower"
    CANDIDATE = "Candidate"
    LEADER = "Leader"
    SHUTDOWN = "Shutdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusStatus:
    """A server's view at one moment. `last_contact_ms` is None where there never was a leader, 0 on the leader."""

    role: Role
    term: int
    leader: Server | None
    last_log_index: int
    last_log_term: int
    commit_index: int
    applied_index: int
    last_contact_ms: int | None


@dataclass(frozen=True, slots=True)
class LeaderChange:
    """Leadership as this server now sees it; `is_self` once it may propose."""

    term: int
    leader: Server | None
    is_self: bool


class StateMachineSnapshot(Protocol):
    """The state at one index, to be read while later commands are applied."""

    @property
    def index(self) -> int:
        """Index of the last command that it includes."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The state as bytes that `StateMachine.restore` reads, in pieces of at most 256 KiB or so."""
        ...

    def close(self) -> None:
        """Let go of the view. Idempotent."""
        ...


class StateMachine(Protocol):
    """What the agreed commands are applied to. Deterministic: same commands, same state, on every server."""

    @property
    def applied_index(self) -> int:
        """Index of the last entry whose effect is stored; applying resumes after it."""
        ...

    def apply(self, entries: Sequence[tuple[int, bytes]]) -> Sequence[object]:
        """Apply `(index, command)` pairs in order, as one batch; the results, one for each.

        A command that is refused (a failed check-and-set, a bad argument) gives a result that says so; an
        exception means that the state machine is broken, and stops the server.
        """
        ...

    def advance(self, index: int) -> None:
        """Note that entries up to `index` which are not commands have been passed."""
        ...

    def snapshot(self) -> StateMachineSnapshot:
        """A frozen view at `applied_index`, in time that does not depend on the size of the state."""
        ...

    async def restore(self, source: SnapshotSource) -> None:
        """Replace the whole state; `applied_index` becomes the source's."""
        ...

    async def verify(self, source: SnapshotSource) -> None:
        """Read a snapshot to its end and change nothing. CorruptStoreError when `restore` would not take it.

        For a snapshot from a peer: once the log was dropped for it, it is too late to find that it is none.
        """
        ...


@runtime_checkable
class Consensus(Protocol):
    """One server's part in the quorum."""

    async def start(self) -> None:
        """Recover from log and snapshots, and take part. Without a configuration, wait to be given one."""
        ...

    @property
    def is_leader(self) -> bool:
        """Whether this server leads and, by its lease, no other server can. Cheap: asked on every read."""
        ...

    @property
    def configuration(self) -> Configuration:
        """The latest configuration in the log, committed or not."""
        ...

    def status(self) -> ConsensusStatus:
        """The view at this moment."""
        ...

    def stats(self) -> Mapping[str, str]:
        """Figures for `info`, under the names of Consul's `raft` section."""
        ...

    async def bootstrap(self, servers: Sequence[Server]) -> None:
        """Found the quorum. Every founder may call it with the same list; ConsensusError where a log exists."""
        ...

    async def propose(self, command: bytes, *, timeout_ms: int) -> object:
        """Order a command, wait until it is applied here, and return what `apply` returned.

        Raises NotLeaderError, ProposalOverloadError (nothing was proposed), LeadershipLostError or
        ProposalTimeoutError (the outcome is unknown).
        """
        ...

    async def barrier(self, *, timeout_ms: int) -> None:
        """Wait until everything ordered before the call is applied here. Raises as `propose`."""
        ...

    async def verify_leader(self, *, timeout_ms: int) -> None:
        """Make sure, by asking a quorum now, that this server led when the call was made (ReadIndex).

        On return every command acknowledged before the call is applied here. Raises NotLeaderError or
        LeadershipLostError.
        """
        ...

    async def add_server(self, server: Server) -> None:
        """Add a server, or change its address or suffrage; wait until that is committed. Leader only."""
        ...

    async def remove_server(self, server_id: str) -> None:
        """Remove a server; wait until that is committed. Leader only."""
        ...

    async def transfer_leadership(self, to: str | None = None) -> None:
        """Hand leadership to a server (None: the one that is furthest). Raises ConsensusError when it fails."""
        ...

    async def take_snapshot(self) -> None:
        """Snapshot now and compact the log. Raises ConsensusError when nothing was applied yet."""
        ...

    async def serve(self, stream: Stream) -> None:
        """Serve a connection that another server opened to this one's consensus, until it ends."""
        ...

    async def aclose(self) -> None:
        """Stop taking part; pending proposals fail with LeadershipLostError. Idempotent."""
        ...


@runtime_checkable
class RecoverableConsensus(Protocol):
    """Capability `recovery`."""

    async def force_configuration(self, servers: Sequence[Server]) -> None:
        """Before `start`: let these be the quorum, whatever the log says, because a majority of the old one is lost.

        To be done on each of them with the same list, while none runs. What the lost ones alone had acknowledged is
        lost with them. Raises ConsensusError for a list that is none, where there is no log, and after `start`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTuning:
    """When snapshots are taken, and how much of the log stays behind them; as in `ConsensusContext`."""

    threshold: int
    interval_ms: int
    trailing_logs: int


@runtime_checkable
class TunableConsensus(Protocol):
    """Capability `snapshot-tuning`."""

    def tune_snapshots(self, tuning: SnapshotTuning) -> None:
        """Go by these from the next look at the log on, which may be as far away as the interval so far says."""
        ...


@dataclass(frozen=True, slots=True)
class LogPosition:
    """An entry of the log."""

    index: int
    term: int


@runtime_checkable
class CatchingUpConsensus(Protocol):
    """Capability `catch-up`."""

    def applied(self) -> LogPosition | None:
        """The last entry that is applied here; None where that is not known. Cheap: asked after every write."""
        ...

    async def catch_up(self, position: LogPosition, *, timeout_ms: int) -> bool:
        """Wait until an entry that another server of this quorum has applied is applied here; whether it is.

        Its word is enough for what it has to say: the entry is committed. It is not enough for what is in the log.
        """
        ...


DialServer = Callable[[Server], Awaitable[Stream]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusContext:
    """What a consensus is made with.

    `dial` opens a stream to another server's `serve` (TransportError when that fails). `on_leader_change` is
    called in the agent's event loop after each change and must neither raise nor block. `on_failure` is
    called once when the server cannot go on (its log refuses writes, its state machine is broken).
    `now_ms` is a monotonic clock; `rng` the only source of randomness.
    """

    server_id: str
    address: str
    log: LogStore
    snapshots: SnapshotStore
    state_machine: StateMachine
    dial: DialServer
    on_leader_change: Callable[[LeaderChange], None]
    on_failure: Callable[[BaseException], None]
    now_ms: Callable[[], int]
    rng: random.Random
    multiplier: int = 5
    """Consul's `performance.raft_multiplier`: scales heartbeat, election and lease times."""
    snapshot_threshold: int = 16384
    snapshot_interval_ms: int = 30_000
    trailing_logs: int = 10240
    metrics: Metrics = NO_METRICS
    """What the consensus counts with."""


ConsensusPlugin = Plugin[ConsensusContext, Consensus]
