"""The state as a snapshot in the store."""

from __future__ import annotations

import asyncio
import logging
import time

from consul_kernel.contracts.consensus import Configuration, ConsensusContext
from consul_kernel.contracts.errors import ConsensusError

from .entries import encode_servers

_log = logging.getLogger("consul_kernel_solo")


def require_applied(applied_index: int) -> None:
    """Raises ConsensusError where there is nothing to snapshot."""
    if applied_index == 0:
        raise ConsensusError("nothing new to snapshot")


async def save(context: ConsensusContext, configuration: Configuration) -> int:
    """Write the state to the store, letting other work run between pieces; the index of its last command.

    Raises ConsensusError and StoreError.
    """
    started_s = time.monotonic()
    index = context.state_machine.applied_index
    term = context.log.term(index)
    if term is None:
        raise ConsensusError(f"the log does not know entry {index} any more")
    view = context.state_machine.snapshot()
    try:
        sink = await context.snapshots.create(
            index=view.index,
            term=term,
            configuration=encode_servers(configuration.servers),
            configuration_index=configuration.index,
        )
        try:
            for chunk in view.chunks():
                await sink.write(chunk)
                await asyncio.sleep(0)
            meta = await sink.commit()
        except BaseException:
            await sink.abort()
            raise
    finally:
        view.close()
    took_ms = (time.monotonic() - started_s) * 1000
    _log.info("snapshot %s taken up to entry %d: %d bytes in %.0f ms", meta.id, meta.index, meta.size, took_ms)
    return meta.index
