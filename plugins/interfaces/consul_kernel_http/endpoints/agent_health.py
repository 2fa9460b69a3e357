"""`/v1/agent/health/service`: whether local services are well, for load balancers: the status says it all."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from consul_kernel.structs.check import (
    NODE_MAINTENANCE_CHECK_ID,
    SERVICE_MAINTENANCE_PREFIX,
    CheckStatus,
    HealthCheck,
)
from consul_kernel.structs.record import go_name
from consul_kernel_http.answer import Answer, header_line
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import HttpError
from consul_kernel_http.views.check import ApiCheckView, api_check_view
from consul_kernel_http.views.service import AgentServiceView, agent_service_view

_PLAIN = b"Content-Type: text/plain\r\n"
_HTTP_STATUS = {
    CheckStatus.PASSING: 200,
    CheckStatus.WARNING: 429,
    CheckStatus.CRITICAL: 503,
    CheckStatus.MAINTENANCE: 503,
}
_WORST_FIRST = (CheckStatus.MAINTENANCE, CheckStatus.CRITICAL, CheckStatus.WARNING, CheckStatus.PASSING)


class ServiceChecksView(msgspec.Struct, rename=go_name):
    """A local service with its checks and their worst state."""

    aggregated_status: str
    service: AgentServiceView | None
    checks: list[ApiCheckView] | None


async def by_id(exchange: Exchange) -> Answer:
    """One service, by its id."""
    service_id = exchange.suffix
    if not service_id:
        raise HttpError(500, "Bad request: Missing serviceID")
    if service_id not in exchange.agent.local.services():
        reason = f"ServiceId {service_id} not found"
        head = header_line("X-Consul-Reason", reason)
        if _wants_text(exchange):
            # Consul answers in JSON here, whatever was asked for.
            return exchange.json(reason, head, status=404)
        missing = ServiceChecksView(CheckStatus.CRITICAL, None, None)
        return exchange.json(missing, head, status=404)
    status, view = _health(exchange, service_id)
    head = header_line("X-Consul-Reason", status)
    if _wants_text(exchange):
        return exchange.text(status, head, status=_HTTP_STATUS[status], content_type=_PLAIN)
    return exchange.json(view, head, status=_HTTP_STATUS[status])


async def by_name(exchange: Exchange) -> Answer:
    """All local instances of a service, by its name; the status is that of the worst."""
    name = exchange.suffix
    if not name:
        raise HttpError(500, "Bad request: Missing service Name")
    found = [
        _health(exchange, service_id)
        for service_id, service in sorted(exchange.agent.local.services().items())
        if service.service == name
    ]
    if not found:
        reason = f"ServiceName {name} Not Found"
        head = header_line("X-Consul-Reason", reason)
        if _wants_text(exchange):
            return exchange.text(reason, head, status=404, content_type=_PLAIN)
        return exchange.json([], head, status=404)
    status = worst_of(status for status, _ in found)
    head = header_line("X-Consul-Reason", status)
    if _wants_text(exchange):
        return exchange.text(status, head, status=_HTTP_STATUS[status], content_type=_PLAIN)
    return exchange.json([view for _, view in found], head, status=_HTTP_STATUS[status])


def _health(exchange: Exchange, service_id: str) -> tuple[CheckStatus, ServiceChecksView]:
    agent = exchange.agent
    checks = [check for _, check in sorted(agent.local.checks().items()) if check.service_id in {"", service_id}]
    status = worst_of(_status_of(check) for check in checks)
    service = agent_service_view(agent.local.services()[service_id], agent.datacenter)
    return status, ServiceChecksView(status, service, [api_check_view(check) for check in checks])


def _status_of(check: HealthCheck) -> CheckStatus:
    if check.check_id == NODE_MAINTENANCE_CHECK_ID or check.check_id.startswith(SERVICE_MAINTENANCE_PREFIX):
        return CheckStatus.MAINTENANCE
    try:
        return CheckStatus(check.status)
    except ValueError:
        return CheckStatus.CRITICAL


def worst_of(statuses: Iterable[CheckStatus]) -> CheckStatus:
    """The worst of some states; passing when there are none."""
    seen = set(statuses)
    return next((status for status in _WORST_FIRST if status in seen), CheckStatus.PASSING)


def _wants_text(exchange: Exchange) -> bool:
    return exchange.query.get("format") == "text"
