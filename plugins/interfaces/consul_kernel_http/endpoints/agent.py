"""`/v1/agent`: the agent itself and its pool."""

from __future__ import annotations

import asyncio

from consul_kernel.contracts.errors import MembershipError
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.reads import blocked
from consul_kernel_http.views.member import member_view
from consul_kernel_http.views.metrics import metrics_view

_ALL_SEGMENTS = "_all"
_PROMETHEUS = "prometheus"
_EXPOSITION = b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"


async def self_description(exchange: Exchange) -> Answer:
    """What the agent says of itself."""
    return exchange.json(exchange.agent.describe())


async def members(exchange: Exchange) -> Answer:
    """The pool's members; `null` for the WAN pool of an agent that is in none."""
    wan = bool(exchange.query.get("wan"))
    segment = exchange.query.get("segment")
    if segment not in {"", _ALL_SEGMENTS}:
        if wan:
            raise BadRequestError("Cannot provide a segment with wan=true")
        raise HttpError(500, "Network segments are not supported in this version of Consul")
    try:
        found = exchange.agent.members(wan=wan)
    except MembershipError:
        return exchange.json(None)
    return exchange.json([member_view(member) for member in found])


async def join(exchange: Exchange) -> Answer:
    """Join the pool of the agent at an address."""
    await exchange.agent.join([exchange.suffix], wan=bool(exchange.query.get("wan")))
    return exchange.empty()


async def metrics(exchange: Exchange) -> Answer:
    """What was counted and measured: as JSON, or as Prometheus reads it where it asks or `format` says so."""
    if exchange.query.get("format") != _PROMETHEUS and not _accepts_prometheus(exchange):
        return exchange.json(metrics_view(exchange.agent.metrics()))
    text = exchange.agent.prometheus()
    if text is None:
        raise HttpError(415, "Prometheus is not enabled since its retention time is not positive")
    return exchange.text(text, content_type=_EXPOSITION)


def _accepts_prometheus(exchange: Exchange) -> bool:
    """Whether the client takes Prometheus's formats and names them (version 0.0.4 of the text, or OpenMetrics)."""
    for part in exchange.request.headers.get("Accept", "").split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind == "application/openmetrics-text" or (kind == "text/plain" and "version=0.0.4" in parameters):
            return True
    return False


async def reload(exchange: Exchange) -> Answer:
    """Read the agent file again."""
    await exchange.agent.reload()
    return exchange.empty()


async def leave(exchange: Exchange) -> Answer:
    """Leave the pool and shut the agent down.

    Leaving ends with the agent's interfaces, this one included, so the answer goes out when that begins; and a client
    that does not wait for it does not stop the agent half-way.
    """
    leaving = asyncio.ensure_future(exchange.agent.leave())
    exchange.site.keep(leaving)
    try:
        await blocked(exchange, _outcome(leaving))
    except HttpError:
        if not exchange.site.is_closing():
            raise
    return exchange.empty()


async def _outcome(work: asyncio.Future[None]) -> None:
    await asyncio.shield(work)


async def force_leave(exchange: Exchange) -> Answer:
    """Count a failed member as left; with `prune`, forget it."""
    await exchange.agent.force_leave(exchange.suffix, prune="prune" in exchange.query)
    return exchange.empty()
