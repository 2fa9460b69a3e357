"""Snapshots between state machine and store. How they get from server to server is in `incoming` and `outgoing`."""

from __future__ import annotations

import asyncio
import logging
import time

from consul_kernel.contracts.consensus import Configuration, StateMachine
from consul_kernel.contracts.errors import (
    ConsensusError,
)
from consul_kernel.contracts.metrics import Metrics
from consul_kernel.contracts.store import SnapshotMeta, SnapshotStore

from .core.entry import decode_configuration
from .core.messages import SnapshotPoint
from .meters import Meters
from .wire import configuration_bytes

_log = logging.getLogger("consul_kernel_raft")
CHUNK_BYTES = 256 * 1024
_TIMEOUT_S = 10.0
"""For each 256 KiB begun of a snapshot that is sent, as Consul does; and for what comes next of one that comes."""


def point_of(meta: SnapshotMeta) -> SnapshotPoint:
    """Where a stored snapshot ends. Raises PeerProtocolError when its configuration cannot be read."""
    configuration = (
        decode_configuration(meta.configuration, meta.configuration_index) if meta.configuration else Configuration()
    )
    return SnapshotPoint(id=meta.id, index=meta.index, term=meta.term, configuration=configuration)


async def save(
    machine: StateMachine, store: SnapshotStore, meters: Meters, *, term: int, configuration: Configuration
) -> SnapshotPoint:
    """Write the state machine's state to the store, letting other work run between pieces. Raises StoreError.

    Call it in the turn in which `term` and `configuration` were read: the view is taken before the first wait.
    """
    started_s = time.monotonic()
    with meters.timed("raft.fsm.snapshot"):
        view = machine.snapshot()
    try:
        with meters.timed("raft.snapshot.create"):
            sink = await store.create(
                index=view.index,
                term=term,
                configuration=configuration_bytes(configuration),
                configuration_index=configuration.index,
            )
        try:
            with meters.timed("raft.snapshot.persist", "fsm.persist"):
                for chunk in view.chunks():
                    await sink.write(chunk)
                    await asyncio.sleep(0)
                meta = await sink.commit()
        except BaseException:
            await sink.abort()
            raise
    finally:
        view.close()
    _log.info("snapshot %s taken up to entry %d: %s", meta.id, meta.index, effort(meta.size, started_s))
    return point_of(meta)


def effort(size_bytes: int, started_s: float) -> str:
    """How much was done, and how long it took, for the log."""
    return f"{size_bytes} bytes in {(time.monotonic() - started_s) * 1000:.0f} ms"


async def restore(machine: StateMachine, store: SnapshotStore, snapshot_id: str, metrics: Metrics) -> None:
    """Replace the state machine's state by a stored snapshot. Raises StoreError."""
    started_s = time.monotonic()
    source = await store.open(snapshot_id)
    try:
        await machine.restore(source)
    finally:
        source.close()
    taken_ms = (time.monotonic() - started_s) * 1000
    metrics.sample("raft.fsm.restore").add(taken_ms)
    metrics.gauge("raft.fsm.lastRestoreDuration").set(taken_ms)
    size = source.meta.size
    _log.info("state restored from snapshot %s: %s", snapshot_id, effort(size, started_s))


def require_applied(applied_index: int) -> None:
    """Raises ConsensusError where there is nothing to snapshot."""
    if applied_index == 0:
        raise ConsensusError("nothing new to snapshot")
