"""One server that agrees with itself: what its log has is committed.

A task takes what is waiting, writes it with one flush, applies it and answers; what comes meanwhile waits for the next
round, so that any number of callers share a flush. There is nobody to elect and nobody to ask: the server leads once
its state has all that is in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from consul_kernel.contracts.consensus import (
    Configuration,
    ConsensusContext,
    ConsensusStatus,
    LeaderChange,
    Role,
    Server,
    SnapshotTuning,
    Suffrage,
)
from consul_kernel.contracts.errors import (
    ConsensusError,
    LeadershipLostError,
    NotLeaderError,
    ProposalOverloadError,
    StoreError,
    StoreFullError,
)
from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel.contracts.transport import Stream

from .batches import Queue, Waiting, wait_result
from .config import SoloConfig
from .entries import EntryKind, decode_servers, encode_servers
from .recovery import SCAN_BYTES, recover
from .snapshots import require_applied, save
from .stats import describe, figures

_log = logging.getLogger("consul_kernel_solo")
_CHANGE_TIMEOUT_MS = 10_000
ROOM_RETRY_S = 0.5
_SHUT_DOWN = "raft is already shutdown"
_ALONE = 'consensus "solo" is one server: choose "raft" for more'


class SoloConsensus:
    """The contract's `Consensus`, without the capability `multi-server`."""

    def __init__(self, context: ConsensusContext, config: SoloConfig) -> None:
        self._context = context
        self._queue = Queue(config.proposals_max)
        self._configuration = Configuration()
        self._term = 0
        self._snapshot_index = 0
        self._compact_to = 0
        self._snapshotting = asyncio.Lock()
        self._founding = False
        self._is_running = False
        self._leads = False
        self._closed = False
        self._idle: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- life ---

    async def start(self) -> None:
        """Recover, apply what the log has, and lead. Raises PluginStartError."""
        context, log = self._context, self._context.log
        self._configuration, self._snapshot_index = await recover(context)
        self._term = max(log.hard_state.term, log.term(log.last_index) or 0, 1)
        await self._apply_log()
        loop = asyncio.get_running_loop()
        self._is_running = True
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._snapshot_periodically())]
        own = self._own_server()
        if own is not None:
            if own.address != context.address:
                await self._write_own(Server(own.id, context.address))
            self._lead()

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        if not self._closed:
            self._closed = True
            self._halt()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _lead(self) -> None:
        self._leads = True
        _log.info("this server leads, by itself")
        self._context.on_leader_change(LeaderChange(self._term, self._own_server(), is_self=True))

    def _halt(self) -> None:
        """Nothing is promised or answered from now on."""
        self._is_running = False
        led, self._leads = self._leads, False
        self._queue.fail(LeadershipLostError("leadership lost while committing log"), NotLeaderError(_SHUT_DOWN))
        if led:
            self._context.on_leader_change(LeaderChange(self._term, None, is_self=False))

    def _fail(self, error: BaseException) -> None:
        """The store or the state machine is broken: what the disk holds is unknown."""
        if self._is_running:
            _log.error("this server stops taking part: %r", error)
            self._halt()
            self._context.on_failure(error)

    def _require_running(self) -> None:
        if not self._is_running:
            raise NotLeaderError(_SHUT_DOWN if self._tasks else "raft is not running")

    def _require_leading(self) -> None:
        self._require_running()
        if not self._leads:
            raise NotLeaderError("node is not the leader")

    # --- questions ---

    @property
    def is_leader(self) -> bool:
        """Whether it was founded and has applied its log."""
        return self._leads

    @property
    def configuration(self) -> Configuration:
        """Itself, or nothing yet."""
        return self._configuration

    def status(self) -> ConsensusStatus:
        """The view at this moment."""
        role = Role.LEADER if self._leads else Role.FOLLOWER
        if self._tasks and not self._is_running:
            role = Role.SHUTDOWN
        return describe(self._context, role, self._term, self._own_server() if self._leads else None)

    def stats(self) -> Mapping[str, str]:
        """Consul's `raft` section."""
        return figures(self.status(), self._configuration, self._snapshot_index)

    def _own_server(self) -> Server | None:
        return self._configuration.get(self._context.server_id)

    # --- inputs ---

    async def bootstrap(self, servers: Sequence[Server]) -> None:
        """Found the quorum of one."""
        self._require_running()
        if [(server.id, server.suffrage) for server in servers] != [(self._context.server_id, Suffrage.VOTER)]:
            raise ConsensusError(_ALONE)
        if self._context.log.last_index > 0 or self._configuration.servers or self._founding:
            raise ConsensusError("bootstrap only works on new clusters")
        self._founding = True
        await self._write_own(servers[0])
        self._lead()

    async def propose(self, command: bytes, *, timeout_ms: int) -> object:
        """Order a command."""
        self._require_leading()
        return await self._enqueue(command, timeout_ms)

    async def barrier(self, *, timeout_ms: int) -> None:
        """Wait for what was ordered before; nothing is written for it."""
        self._require_leading()
        await self._enqueue(None, timeout_ms)

    async def verify_leader(self, *, timeout_ms: int) -> None:
        """There is nobody to ask; and what was acknowledged is applied."""
        self._require_leading()

    async def add_server(self, server: Server) -> None:
        """Only itself, at another address."""
        self._require_leading()
        if server.id != self._context.server_id or server.suffrage is not Suffrage.VOTER:
            raise ConsensusError(_ALONE)
        if server != self._own_server():
            await self._write_own(server)

    async def remove_server(self, server_id: str) -> None:
        """There is none that could be missed."""
        self._require_leading()
        raise ConsensusError(_ALONE)

    async def transfer_leadership(self, to: str | None = None) -> None:
        """There is nobody else."""
        self._require_leading()
        raise ConsensusError(f"cannot find a voter to transfer leadership to: {to or 'there is no other'}")

    async def serve(self, stream: Stream) -> None:
        """Nobody has anything to say to a server that is alone."""
        stream.close()

    async def _write_own(self, server: Server) -> None:
        await self._enqueue(encode_servers([server]), _CHANGE_TIMEOUT_MS, EntryKind.CONFIGURATION)

    async def _enqueue(self, command: bytes | None, timeout_ms: int, kind: int = EntryKind.COMMAND) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.add(Waiting(command, future, kind))
        self._wake()
        return await wait_result(future, timeout_ms)

    # --- the task ---

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _run(self) -> None:
        loop, log = asyncio.get_running_loop(), self._context.log
        try:
            while True:
                if len(self._queue):
                    await self._commit(self._queue.take())
                elif self._compact_to >= log.first_index:
                    index, self._compact_to = self._compact_to, 0
                    await log.compact(index)
                else:
                    self._idle = loop.create_future()
                    await self._idle
        except Exception as error:  # noqa: BLE001 -- stops this server and tells the agent
            self._fail(error)

    async def _commit(self, batch: Sequence[Waiting]) -> None:
        """Write a batch with one flush, apply it, and answer."""
        log, term = self._context.log, self._term
        asked = [item for item in batch if item.command is not None]
        entries = [
            LogEntry(index, term, item.kind, item.command or b"")
            for index, item in enumerate(asked, log.last_index + 1)
        ]
        if entries:
            try:
                # The vote is its own, so that the log is one that Raft could have written.
                await log.append(entries, HardState(term, self._context.server_id))
            except StoreFullError as error:
                self._refuse(batch, error)
                return
        results = iter(await self._apply_when_there_is_room(entries))
        for item in batch:
            result = next(results) if item.command is not None and item.kind == EntryKind.COMMAND else None
            if not item.future.done():
                item.future.set_result(result)
        self._queue.done()

    def _refuse(self, batch: Sequence[Waiting], error: StoreFullError) -> None:
        """Nothing was written, so that whoever asks again does no harm."""
        _log.error("nothing is taken until there is room: %s", error)
        for item in batch:
            if not item.future.done():
                item.future.set_exception(ProposalOverloadError(str(error)))
        self._queue.done()

    async def _apply_when_there_is_room(self, entries: Sequence[LogEntry]) -> Sequence[object]:
        """They are in the log and so committed: what comes behind waits, too."""
        while True:
            try:
                return self._apply(entries)
            except StoreFullError as error:
                _log.error("nothing is applied until there is room: %s", error)
                await asyncio.sleep(ROOM_RETRY_S)

    def _apply(self, entries: Sequence[LogEntry]) -> Sequence[object]:
        """The results of the commands among them."""
        if not entries:
            return ()
        machine = self._context.state_machine
        commands = [(entry.index, entry.data) for entry in entries if entry.kind == EntryKind.COMMAND]
        results = machine.apply(commands) if commands else ()
        if entries[-1].kind != EntryKind.COMMAND:
            machine.advance(entries[-1].index)
        for entry in entries:
            if entry.kind == EntryKind.CONFIGURATION:
                self._configuration = decode_servers(entry.data, entry.index)
        return results

    async def _apply_log(self) -> None:
        """Whatever is durable here is committed, since this server is the majority."""
        log, machine = self._context.log, self._context.state_machine
        while machine.applied_index < log.last_index:
            self._apply(log.entries(machine.applied_index + 1, log.last_index, SCAN_BYTES))
            await asyncio.sleep(0)

    # --- snapshots ---

    def tune_snapshots(self, tuning: SnapshotTuning) -> None:
        """Capability `snapshot-tuning`."""
        self._context = replace(
            self._context,
            snapshot_threshold=tuning.threshold,
            snapshot_interval_ms=tuning.interval_ms,
            trailing_logs=tuning.trailing_logs,
        )

    async def take_snapshot(self) -> None:
        """Snapshot now, unless the newest has everything. Raises ConsensusError or StoreError."""
        self._require_running()
        context = self._context
        require_applied(context.state_machine.applied_index)
        async with self._snapshotting:
            if context.state_machine.applied_index > self._snapshot_index:
                self._snapshot_index = await save(context, self._configuration)
                kept = self._context.trailing_logs
                self._compact_to = min(self._snapshot_index, context.log.last_index - kept)
                self._wake()

    async def _snapshot_periodically(self) -> None:
        try:
            while True:
                context = self._context  # anew each time: the tuning may have changed
                await asyncio.sleep(context.snapshot_interval_ms * (1 + context.rng.random()) / 1000)
                if context.log.last_index - self._snapshot_index < self._context.snapshot_threshold:
                    continue
                try:
                    await self.take_snapshot()
                except (ConsensusError, StoreError) as error:
                    _log.warning("no snapshot: %s", error)
        except Exception as error:  # noqa: BLE001 -- the state machine is broken
            self._fail(error)
