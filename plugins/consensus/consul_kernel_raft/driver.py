"""The asyncio side: feeds the algorithm, carries out what it asks for, and answers those who wait.

Everything that changes the algorithm's state happens in `_turn`, which runs as one callback of the event loop, takes
in all that has arrived since the last, and never waits. What waits for a disk or a peer runs in tasks of its own and
comes back as an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from consul_kernel.contracts.consensus import Configuration, ConsensusContext, ConsensusStatus, LeaderChange, Server
from consul_kernel.contracts.errors import (
    ConsensusError,
    LeadershipLostError,
    NotLeaderError,
)
from consul_kernel.contracts.transport import Stream

from .acceptor import Acceptor
from .applier import Applier
from .catching_up import CatchingUp
from .changes import QuorumChanges
from .config import RaftConfig, resolve_timing
from .core import Bootstrap, Event, Limits, Raft, ReadIndex, Ready, Timer, WriteDone
from .core.entry import EntryKind
from .core.membership import find_invalid
from .core.messages import InstallSnapshot, Message, Response
from .journal import Journal
from .meters import Meters
from .peers import Peers
from .proposals import (
    NOT_LEADER,
    PROPOSALS_MAX,
    Proposal,
    ProposalQueue,
    append_proposals,
)
from .reads import ReadWaiters
from .recovery import force_configuration, recover
from .snapshotter import Snapshotter
from .stats import LeadershipView, describe_status, leadership_view, raft_stats, status_before_start
from .turns import TurnWaiters
from .wire import RequestEncoder
from .writer import Writer

_log = logging.getLogger(__name__)
_INBOX_MAX = 16_384


class RaftConsensus:
    """One server's part in the quorum (contract: `consul_kernel.contracts.consensus.Consensus`)."""

    def __init__(self, context: ConsensusContext, config: RaftConfig) -> None:
        self._context = context
        self.server_id = context.server_id
        self._now_ms = context.now_ms
        meters = self._meters = Meters(context.metrics)
        self._timing = resolve_timing(config, context.multiplier)
        self._encoder = RequestEncoder(context.server_id, context.address)
        self._proposals = ProposalQueue(config.proposals_max or PROPOSALS_MAX)
        self._reads = ReadWaiters()
        self._raft: Raft | None = None
        self._writer = Writer(context, self._write_done, self._post, self._fail, meters, lambda: self.is_leader)
        self._applier = Applier(context.state_machine, self._proposals, self._post, meters)
        self._journal = Journal(context.now_ms, context.metrics)
        self._peers = Peers(
            context, self._encoder, self._post, self._journal, control_timeout_ms=self._timing.heartbeat_timeout_ms
        )
        self._inbox: list[Event] = []
        self._inbox_dropped = 0
        self._scheduled = self._in_turn = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = 0
        self._view = LeadershipView()
        self._acceptor = Acceptor(context, self._running, self._post, meters)
        self._snapshotter = Snapshotter(context, self._peers, self._encoder, self._post, self._writer.compact, meters)
        self.tune_snapshots = self._snapshotter.tune
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = TurnWaiters()
        self._changes = QuorumChanges(
            context.server_id,
            context.now_ms,
            3 * self._timing.election_timeout_ms,
            self._running,
            self._propose_servers,
            self._post,
            self._turns,
        )
        self._catching_up = CatchingUp(self._running, self._take)
        self.applied, self.catch_up = self._catching_up.applied, self._catching_up.catch_up
        self._failure: BaseException | None = None
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- life ---

    async def start(self) -> None:
        """Recover and take part. Raises PluginStartError where the stored parts contradict each other."""
        raft = await recover(self._context, self._timing, Limits(), self._context.rng)
        self._loop = asyncio.get_running_loop()
        self._raft = raft
        self._writer.start()
        self._spawn(self._snapshot_periodically(raft))
        self._wake()

    async def force_configuration(self, servers: Sequence[Server]) -> None:
        """Before `start`: go on with these servers."""
        if self._raft is not None or self._closed:
            raise ConsensusError("the configuration of a server that runs cannot be forced")
        await force_configuration(self._context, tuple(servers), self._timing, Limits())

    async def aclose(self) -> None:
        """Stop taking part. Idempotent."""
        if not self._closed:
            self._closed = True
            self._halt()
        await self._acceptor.aclose()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._writer.aclose()
        await self._peers.aclose()

    def _halt(self) -> None:
        """Nothing is promised or answered from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._applier.close()
        self._proposals.close()
        self._reads.fail(LeadershipLostError("raft is already shutdown"))
        self._inbox.clear()
        self._turns.release()
        self._catching_up.close()
        self._tell_leadership()

    def _fail(self, error: BaseException) -> None:
        """The server cannot go on: its store or its state machine is broken."""
        if self._failure is not None or self._closed:
            return
        self._failure = error
        _log.error("raft: this server stops taking part: %r", error)
        self._halt()
        self._spawn(self._acceptor.aclose())
        self._spawn(self._peers.aclose())
        self._context.on_failure(error)

    @property
    def _is_running(self) -> bool:
        return self._raft is not None and self._failure is None and not self._closed

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- questions ---

    @property
    def is_leader(self) -> bool:
        """By the lease, no other server can lead."""
        raft = self._raft
        return raft is not None and raft.lease_until_ms > self._now_ms() and self._failure is None and not self._closed

    @property
    def configuration(self) -> Configuration:
        """The latest in the log."""
        return self._raft.configuration if self._raft is not None else Configuration()

    def status(self) -> ConsensusStatus:
        """The view at this moment."""
        raft = self._raft
        if raft is None:
            return status_before_start(is_closed=self._closed)
        return describe_status(raft, self._server(self._view.leader_id), self._now_ms(), is_running=self._is_running)

    def stats(self) -> Mapping[str, str]:
        """Consul's `raft` section; empty before `start`."""
        if self._raft is None:
            return {}
        dropped = {"answers_refused": self._peers.answers_refused, "inbox_dropped": self._inbox_dropped}
        return raft_stats(self._raft, self.status(), dropped)

    def _server(self, server_id: str | None) -> Server | None:
        return None if server_id is None else self.configuration.get(server_id)

    # --- inputs ---

    async def bootstrap(self, servers: Sequence[Server]) -> None:
        """Found the quorum."""
        invalid = find_invalid(tuple(servers))
        if invalid is not None:
            raise ConsensusError(f"cannot bootstrap: {invalid}")
        raft = self._running()
        if raft.log.last_index > 0:
            raise ConsensusError("bootstrap only works on new clusters")
        self._post(Bootstrap(tuple(servers)))
        while raft.log.stable_index < 1:
            await self._turns.next()
            self._running()

    async def propose(self, command: bytes, *, timeout_ms: int) -> object:
        """Order a command."""
        return await self._propose(EntryKind.COMMAND, command, timeout_ms)

    async def barrier(self, *, timeout_ms: int) -> None:
        """Order nothing, and wait for it."""
        self._meters.barriers.add()
        await self._propose(EntryKind.BARRIER, b"", timeout_ms)

    async def verify_leader(self, *, timeout_ms: int) -> None:
        """ReadIndex."""
        raft = self._running()
        if raft.leadership is None:
            raise NotLeaderError(NOT_LEADER)
        self._meters.verifications.add()
        self._wake()
        await self._reads.confirm(timeout_ms)

    async def _propose(self, kind: EntryKind, data: bytes, timeout_ms: int, servers: tuple[Server, ...] = ()) -> object:
        raft = self._running()
        if raft.leadership is None:
            raise NotLeaderError(NOT_LEADER)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._proposals.add(Proposal(kind, data, future, loop.time() + timeout_ms / 1000, servers))
        if not self._scheduled:
            self._wake()
        return await future

    def _running(self) -> Raft:
        """The algorithm, while it may be asked. Raises NotLeaderError."""
        if self._raft is None or not self._is_running:
            raise NotLeaderError("raft is not running" if self._raft is None else "raft is already shutdown")
        return self._raft

    # --- configuration ---

    async def add_server(self, server: Server) -> None:
        """Add or change a server."""
        await self._changes.add(server)

    async def remove_server(self, server_id: str) -> None:
        """Remove a server."""
        await self._changes.remove(server_id)

    async def transfer_leadership(self, to: str | None = None) -> None:
        """Hand over."""
        await self._changes.transfer_leadership(to)

    async def _propose_servers(self, servers: tuple[Server, ...], timeout_ms: int) -> object:
        return await self._propose(EntryKind.CONFIGURATION, b"", timeout_ms, servers)

    # --- snapshots ---

    async def take_snapshot(self) -> None:
        """Snapshot now."""
        await self._snapshotter.take(self._running())

    async def _snapshot_periodically(self, raft: Raft) -> None:
        try:
            await self._snapshotter.take_periodically(raft)
        except Exception as error:  # noqa: BLE001 -- the state machine is broken
            self._fail(error)

    async def serve(self, stream: Stream) -> None:
        """Serve one connection until it ends. Whatever it sends, only it is affected."""
        await self._acceptor.serve(stream)

    # --- the turn ---

    def _post(self, event: Event) -> None:
        """Queue an event for the next turn. When the inbox is full, what a peer sent is dropped, as a network would.

        Events of our own are few, one for each task or connection that reports, and are not repeated.
        """
        if not self._is_running:
            return
        if len(self._inbox) >= _INBOX_MAX and isinstance(event, Message):
            self._inbox_dropped += 1
            return
        self._inbox.append(event)
        if not self._scheduled:
            self._wake()

    def _wake(self) -> None:
        if not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _write_done(self, number: int) -> None:
        if self._is_running:
            self._take(WriteDone(number))

    def _take(self, event: Event) -> None:
        """Goes on at once, since callers wait for this very moment; within a turn, in the next."""
        self._inbox.append(event)
        self._turn()

    def _turn(self) -> None:
        """Take everything in, then do what the algorithm asks until it asks for nothing."""
        self._scheduled = False
        raft = self._raft
        if raft is None or not self._is_running or self._in_turn:
            return
        self._in_turn = True
        try:
            now_ms = self._now_ms()
            inbox, self._inbox = self._inbox, []
            for event in inbox:
                raft.step(event, now_ms)
            if self._timer is None or now_ms >= self._timer_at_ms:  # it is no later than the deadline
                deadline_ms = raft.deadline_ms()
                if deadline_ms is not None and now_ms >= deadline_ms:
                    raft.step(Timer(), now_ms)
            if self._proposals.are_due(raft):
                append_proposals(raft, self._proposals, now_ms)
            if self._reads.unasked:
                raft.step(ReadIndex(self._reads.take_unasked()), now_ms)
            while self._is_running and (ready := raft.ready()) is not None:
                self._carry_out(raft, ready)
            if self._is_running:
                self._end_turn(raft, now_ms)
        except Exception as error:  # noqa: BLE001 -- stops this server and tells the agent
            _log.exception("raft: internal error")
            self._fail(error)
        finally:
            self._in_turn = False

    def _carry_out(self, raft: Raft, ready: Ready) -> None:
        self._peers.update(raft.configuration)
        if ready.write is not None:
            self._writer.begin(ready.write)
        for message in ready.messages:
            self._send(message)
        if ready.reads:
            self._reads.confirmed(ready.reads)
        if ready.committed:
            self._meters.committed.set(len(ready.committed))
            self._applier.apply(raft, ready.committed)

    def _send(self, message: Message) -> None:
        if isinstance(message, Response):
            self._acceptor.answer(message)
        elif isinstance(message, InstallSnapshot):
            self._spawn(self._snapshotter.send(message))
        else:
            self._peers.send(message)

    def _end_turn(self, raft: Raft, now_ms: int) -> None:
        if raft.leadership is None:
            self._proposals.lose()
        self._reads.applied(raft.applied_index)
        self._journal.observe(raft, now_ms)
        self._tell_leadership()
        self._turns.release()
        self._catching_up.turned(raft)
        self._arm(raft, now_ms)
        if self._inbox or self._reads.unasked or self._proposals.are_due(raft):
            self._wake()

    def _arm(self, raft: Raft, now_ms: int) -> None:
        """Keep one timer, no later than the deadline; a timer that comes early only arms the next."""
        deadline_ms = raft.deadline_ms()
        if deadline_ms is None or (self._timer is not None and self._timer_at_ms <= deadline_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        assert self._loop is not None
        self._timer_at_ms = deadline_ms
        self._timer = self._loop.call_later(max(0, deadline_ms - now_ms) / 1000, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._turn()

    # --- notices ---

    def _tell_leadership(self) -> None:
        raft = self._raft
        if raft is None:
            return
        view = leadership_view(raft) if self._is_running else LeadershipView()
        if view != self._view:
            self._view = view
            self._context.on_leader_change(LeaderChange(raft.term, self._server(view.leader_id), view.is_self))
