"""`/v1/snapshot`: the whole state of a datacenter, out and in."""

from __future__ import annotations

from consul_kernel.structs.snapshot import SnapshotOp, SnapshotRequest
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.reads import meta_head

_GZIP = b"Content-Type: application/x-gzip\r\n"


async def save(exchange: Exchange) -> Answer:
    """An archive of the state, which leaves as it is made."""
    saved = await exchange.agent.save_snapshot(_request(exchange, SnapshotOp.SAVE))
    return exchange.stream(saved.archive, _GZIP + meta_head(saved.response))


async def restore(exchange: Exchange) -> Answer:
    """Replace the state by that of the archive in the body, which is never in memory as a whole."""
    await exchange.agent.restore_snapshot(_request(exchange, SnapshotOp.RESTORE), exchange.body_pieces())
    return exchange.empty()


def _request(exchange: Exchange, op: SnapshotOp) -> SnapshotRequest:
    return SnapshotRequest(
        datacenter=exchange.datacenter(), token=exchange.token(), allow_stale="stale" in exchange.query, op=op
    )
