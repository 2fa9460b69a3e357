"""When snapshots are taken and sent; how is in `snapshots`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from consul_kernel.contracts.consensus import ConsensusContext, SnapshotTuning
from consul_kernel.contracts.errors import ConsensusError, ConsulKernelError, StoreError

from . import snapshots
from .core import Event, Raft, SnapshotFailed, SnapshotSaved
from .core.messages import InstallSnapshot
from .meters import Meters
from .outgoing import send
from .peers import Peers
from .wire import RequestEncoder

_log = logging.getLogger(__name__)


class Snapshotter:
    """Takes one snapshot at a time, and sends at most one at a time to each server."""

    def __init__(
        self,
        context: ConsensusContext,
        peers: Peers,
        encoder: RequestEncoder,
        post: Callable[[Event], None],
        compact: Callable[[int], None],
        meters: Meters,
    ) -> None:
        self._meters = meters
        self._context = context
        self._peers = peers
        self._encoder = encoder
        self._post = post
        self._compact = compact
        self._taking = asyncio.Lock()
        self._sending: set[str] = set()

    def tune(self, tuning: SnapshotTuning) -> None:
        """Go by other numbers from the next look on."""
        self._context = replace(
            self._context,
            snapshot_threshold=tuning.threshold,
            snapshot_interval_ms=tuning.interval_ms,
            trailing_logs=tuning.trailing_logs,
        )

    async def take(self, raft: Raft) -> None:
        """Snapshot now, unless the newest has everything. Raises ConsensusError or StoreError."""
        snapshots.require_applied(raft.applied_index)
        async with self._taking:
            if raft.applied_index > raft.log.snapshot_index:
                await self._save(raft)

    async def _save(self, raft: Raft) -> None:
        # No wait between these lines: the view, its term and its configuration belong to one moment.
        context = self._context
        index = context.state_machine.applied_index
        term = raft.log.term(index)
        if term is None or raft.log.pending_snapshot is not None:
            raise ConsensusError(f"the log does not know entry {index} any more")
        configuration = raft.configurations.at(index)
        with self._meters.timed("raft.snapshot.takeSnapshot"):
            point = await snapshots.save(
                context.state_machine, context.snapshots, self._meters, term=term, configuration=configuration
            )
        self._post(SnapshotSaved(point))
        self._compact(min(point.index, raft.log.last_index - self._context.trailing_logs))

    async def take_periodically(self, raft: Raft) -> None:
        """Look every interval whether enough entries have come; never returns."""
        while True:
            context = self._context  # anew each time: the tuning may have changed
            # Random, so that the servers of a quorum do not all snapshot at once.
            await asyncio.sleep(context.snapshot_interval_ms * (1 + context.rng.random()) / 1000)
            if raft.log.last_index - raft.log.snapshot_index < self._context.snapshot_threshold:
                continue
            try:
                await self.take(raft)
            except (ConsensusError, StoreError) as error:
                _log.warning("raft: no snapshot: %s", error)

    async def send(self, request: InstallSnapshot) -> None:
        """Send a snapshot to the server that needs it, and tell the algorithm how that ended."""
        if request.to in self._sending:
            return  # the one under way reports
        self._sending.add(request.to)
        context = self._context
        try:
            with self._meters.timed("raft.replication.installSnapshot"):
                response = await send(
                    request,
                    lambda: self._peers.connect(request.to),
                    context.snapshots,
                    self._encoder,
                    context.log.first_index,
                )
            self._post(response)
        except (ConsulKernelError, OSError, TimeoutError) as error:
            _log.info("raft: snapshot for %s not sent: %r", request.to, error)
        finally:
            self._sending.discard(request.to)
            # After a success this changes nothing; else, also where the answer was to an older term, it ends the wait.
            self._post(SnapshotFailed(request.to))
