"""Start: bring snapshot, log and state machine together, whatever moment the last run ended in."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence

from consul_kernel.contracts.consensus import ConsensusContext, Server
from consul_kernel.contracts.errors import ConsensusError, PeerProtocolError, PluginStartError, StoreError
from consul_kernel.contracts.store import HardState, LogEntry, LogStore, SnapshotMeta

from .core import Limits, Raft, Timing
from .core.entry import EntryKind, encode_configuration
from .core.membership import find_invalid
from .core.messages import SnapshotPoint
from .snapshots import point_of, restore

_log = logging.getLogger(__name__)
_SCAN_BYTES = 4 * 1024 * 1024
FORCED_TERMS = 1_000_000_000
"""More elections than any quorum has held."""


async def recover(context: ConsensusContext, timing: Timing, limits: Limits, rng: random.Random) -> Raft:
    """The algorithm's state as the store remembers it. Raises PluginStartError where parts contradict each other.

    A crash may have come between the durable snapshot from a leader and the reset of the log, or between that
    and the restoring of the state; both are made up for here.
    """
    log, machine = context.log, context.state_machine
    snapshots = context.snapshots.list()
    newest = snapshots[0] if snapshots else None
    if _goes_beyond(newest, log) or machine.applied_index + 1 < log.first_index:
        newest = await _restore_newest(context, snapshots)
        if newest is not None and _goes_beyond(newest, log):
            await log.reset(newest.index, newest.term)
    if machine.applied_index > max(log.last_index, newest.index if newest else 0):
        raise PluginStartError(
            f"the state is at index {machine.applied_index}, but the log ends at {log.last_index}: the log of this "
            "server was lost. Remove its data directory and let it join again"
        )
    now_ms = context.now_ms()
    raft = Raft(
        server_id=context.server_id,
        store=log,
        snapshot=_point(newest),
        applied_index=machine.applied_index,
        timing=timing,
        limits=limits,
        rng=rng,
        now_ms=now_ms,
    )
    first = max(log.first_index, raft.log.snapshot_index + 1)
    while first <= log.last_index:
        entries: Sequence[LogEntry] = log.entries(first, log.last_index, _SCAN_BYTES)
        raft.recover(entries, now_ms)
        first = entries[-1].index + 1
    return raft


async def force_configuration(
    context: ConsensusContext, servers: tuple[Server, ...], timing: Timing, limits: Limits
) -> None:
    """Add an entry to the log that makes these servers the quorum. Raises ConsensusError and PluginStartError.

    Nothing else changes: what of the log is committed the new quorum finds out as any does, so that the server with
    most of it leads. The entry's term must be above all that the old quorum ever had, and differ wherever what is
    before the entry differs (log matching, §5.3). Counted from the last entry's term it is both.
    """
    invalid = find_invalid(servers)
    if invalid is not None:
        raise ConsensusError(f"cannot force this configuration: {invalid}")
    raft = await recover(context, timing, limits, context.rng)
    log = raft.log
    if log.last_index == 0:
        raise ConsensusError("there is no log here to go on from: an empty server joins the others")
    term = log.last_term + FORCED_TERMS
    entry = LogEntry(log.last_index + 1, term, EntryKind.CONFIGURATION, encode_configuration(servers))
    await context.log.append([entry], HardState(term))
    _log.warning("raft: the configuration was forced in term %d: %s", term, [server.address for server in servers])


def _goes_beyond(snapshot: SnapshotMeta | None, log: LogStore) -> bool:
    """Whether the log lacks what this snapshot holds: it came from a leader, and the log was not reset to it yet."""
    if snapshot is None:
        return False
    return log.last_index < snapshot.index or log.term(snapshot.index) not in (None, snapshot.term)


def _point(meta: SnapshotMeta | None) -> SnapshotPoint | None:
    if meta is None:
        return None
    try:
        return point_of(meta)
    except PeerProtocolError as error:
        raise PluginStartError(f"snapshot {meta.id} has no readable configuration") from error


async def _restore_newest(context: ConsensusContext, snapshots: Sequence[SnapshotMeta]) -> SnapshotMeta | None:
    """Restore the newest snapshot that can be read and that the log goes on from; which one that is.

    One that cannot be read counts for nothing: the log must not be given up for it. None where the log is whole
    without any. Raises PluginStartError.
    """
    log, machine = context.log, context.state_machine
    if snapshots and machine.applied_index >= snapshots[0].index:
        return snapshots[0]
    for meta in snapshots:
        if meta.index + 1 < log.first_index:
            break
        try:
            await restore(machine, context.snapshots, meta.id, context.metrics)
        except StoreError as error:
            _log.error("raft: snapshot %s cannot be used: %s", meta.id, error)
        else:
            return meta
    if log.first_index == 1:
        return None
    raise PluginStartError(
        f"the log begins at {log.first_index}, the state ends at {machine.applied_index}, and no snapshot joins them. "
        "Remove this server's data directory and let it join again"
    )
