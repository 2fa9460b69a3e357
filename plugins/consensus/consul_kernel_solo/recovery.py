"""Start: the servers that log and snapshots name, and a state that the log goes on from."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from consul_kernel.contracts.consensus import Configuration, ConsensusContext, Suffrage
from consul_kernel.contracts.errors import PluginStartError, StoreError
from consul_kernel.contracts.store import LogEntry, SnapshotMeta

from .entries import EntryKind, decode_servers

_log = logging.getLogger("consul_kernel_solo")
SCAN_BYTES = 4 * 1024 * 1024


async def recover(context: ConsensusContext) -> tuple[Configuration, int]:
    """The servers, and the index of the newest snapshot, 0 where there is none.

    Afterwards the log goes on from the state. Raises PluginStartError where the stored parts contradict each other,
    or are those of another server or of several.
    """
    snapshots = context.snapshots.list()
    newest = snapshots[0] if snapshots else None
    log, machine = context.log, context.state_machine
    if newest is not None and log.last_index < newest.index:
        # A leader's snapshot, when this was a server of a quorum, to which the log had not been reset yet.
        newest = await _restore(context, snapshots)
        await log.reset(newest.index, newest.term)
    elif machine.applied_index + 1 < log.first_index:
        newest = await _restore(context, snapshots)
    if machine.applied_index > max(log.last_index, newest.index if newest else 0):
        raise PluginStartError(
            f"the state is at index {machine.applied_index}, but the log ends at {log.last_index}: the log of this "
            "server was lost. Restore a backup into an empty data directory"
        )
    configuration = _read_configuration(context, newest)
    _require_alone(configuration, context.server_id)
    return configuration, newest.index if newest else 0


async def _restore(context: ConsensusContext, snapshots: Sequence[SnapshotMeta]) -> SnapshotMeta:
    """Restore the newest snapshot that can be read and that the log goes on from."""
    for meta in snapshots:
        if meta.index + 1 < context.log.first_index:
            break
        try:
            source = await context.snapshots.open(meta.id)
            try:
                await context.state_machine.restore(source)
            finally:
                source.close()
        except StoreError as error:
            _log.error("snapshot %s cannot be used: %s", meta.id, error)
        else:
            _log.info("state restored from snapshot %s", meta.id)
            return meta
    raise PluginStartError(
        f"the log begins at {context.log.first_index}, the state ends at {context.state_machine.applied_index}, and no "
        "snapshot joins them. Restore a backup into an empty data directory"
    )


def _read_configuration(context: ConsensusContext, newest: SnapshotMeta | None) -> Configuration:
    configuration = Configuration()
    if newest is not None and newest.configuration:
        configuration = decode_servers(newest.configuration, newest.configuration_index)
    log = context.log
    first = max(log.first_index, newest.index + 1 if newest is not None else 1)
    while first <= log.last_index:
        entries: Sequence[LogEntry] = log.entries(first, log.last_index, SCAN_BYTES)
        for entry in entries:
            if entry.kind == EntryKind.CONFIGURATION:
                configuration = decode_servers(entry.data, entry.index)
        first = entries[-1].index + 1
    return configuration


def _require_alone(configuration: Configuration, server_id: str) -> None:
    """What was promised to a quorum of several is not for one of them to decide."""
    if not configuration.servers:
        return
    if [(server.id, server.suffrage) for server in configuration.servers] != [(server_id, Suffrage.VOTER)]:
        names = ", ".join(server.id for server in configuration.servers)
        raise PluginStartError(
            f'consensus "solo" is one server, and this data directory belongs to a quorum of others ({names}): '
            'use consensus "raft", and remove them there first'
        )
