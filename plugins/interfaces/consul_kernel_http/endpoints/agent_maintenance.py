"""`/v1/agent/maintenance`, `/v1/agent/service/maintenance`: the node or a service out of service, and back."""

from __future__ import annotations

from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError
from consul_kernel_http.options import BoolError, parse_bool, quoted


async def node(exchange: Exchange) -> Answer:
    """Take the node out of service, or put it back."""
    local = exchange.agent.local
    if _is_enabling(exchange):
        local.enable_node_maintenance(exchange.query.get("reason"), token=exchange.token())
    else:
        local.disable_node_maintenance()
    await local.synced()
    return exchange.empty()


async def service(exchange: Exchange) -> Answer:
    """Take a service out of service, or put it back."""
    service_id, local = exchange.suffix, exchange.agent.local
    if not service_id:
        raise BadRequestError("Missing service ID")
    if _is_enabling(exchange):
        local.enable_service_maintenance(service_id, exchange.query.get("reason"), token=exchange.token())
    else:
        local.disable_service_maintenance(service_id)
    await local.synced()
    return exchange.empty()


def _is_enabling(exchange: Exchange) -> bool:
    if "enable" not in exchange.query:
        raise BadRequestError("Missing value for enable")
    text = exchange.query.get("enable")
    try:
        return parse_bool(text)
    except BoolError:
        raise BadRequestError(f"Invalid value for enable: {quoted(text)}") from None
