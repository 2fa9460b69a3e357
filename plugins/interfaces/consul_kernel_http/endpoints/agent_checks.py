"""`/v1/agent/check…`: the checks that are registered with this agent."""

from __future__ import annotations

from consul_kernel.filters import FilterError, compile_filter
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck
from consul_kernel.structs.record import Record
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.views.check import check_view

_SETTABLE = frozenset({CheckStatus.PASSING.value, CheckStatus.WARNING.value, CheckStatus.CRITICAL.value})


class CheckUpdate(Record, kw_only=True):
    """The body of `check/update`."""

    status: str = ""
    output: str = ""


async def checks(exchange: Exchange) -> Answer:
    """All checks by id, of which `?filter` keeps some."""
    found = exchange.agent.local.checks()
    expression = exchange.query.get("filter")
    if expression:
        try:
            keep = compile_filter(expression, HealthCheck).keep
        except FilterError as error:
            raise HttpError(500, str(error)) from error
        found = {check.check_id: check for check in keep(list(found.values()))}
    return exchange.json({key: check_view(check) for key, check in found.items()})


async def register(exchange: Exchange) -> Answer:
    """Add or replace a check of the node or of a service."""
    definition = await decode_body(exchange, CheckDefinition)
    if not definition.name:
        raise BadRequestError("Missing check name")
    if definition.status and definition.status not in _SETTABLE:
        raise BadRequestError("Bad check status")
    exchange.agent.local.register_check(definition, token=exchange.token())
    await exchange.agent.local.synced()
    return exchange.empty()


async def deregister(exchange: Exchange) -> Answer:
    """Remove a check."""
    check_id = exchange.suffix
    if not check_id:
        raise HttpError(500, "CheckID missing")
    exchange.agent.local.deregister_check(check_id)
    await exchange.agent.local.synced()
    return exchange.empty()


async def passing(exchange: Exchange) -> Answer:
    """Mark a TTL check as passing; `note` becomes its output."""
    return await _mark(exchange, CheckStatus.PASSING)


async def warning(exchange: Exchange) -> Answer:
    """Mark a TTL check as warning."""
    return await _mark(exchange, CheckStatus.WARNING)


async def critical(exchange: Exchange) -> Answer:
    """Mark a TTL check as critical."""
    return await _mark(exchange, CheckStatus.CRITICAL)


async def _mark(exchange: Exchange, status: CheckStatus) -> Answer:
    exchange.agent.local.update_ttl_check(exchange.suffix, status, exchange.query.get("note"))
    await exchange.agent.local.synced()
    return exchange.empty()


async def update(exchange: Exchange) -> Answer:
    """Set status and output of a TTL check."""
    change = await decode_body(exchange, CheckUpdate)
    if change.status not in _SETTABLE:
        raise BadRequestError(f"Invalid check status: '{change.status}'")
    exchange.agent.local.update_ttl_check(exchange.suffix, CheckStatus(change.status), change.output)
    await exchange.agent.local.synced()
    return exchange.empty()
