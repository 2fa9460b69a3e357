"""`/v1/agent/service…`: what is registered with this agent."""

from __future__ import annotations

from hashlib import blake2b

from consul_kernel.filters import FilterError, create_filter
from consul_kernel.structs.service import NodeService, ServiceDefinition
from consul_kernel_http import gojson
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.views.service import AgentServiceView, agent_service_view

_HASH_OCTETS = 8


async def services(exchange: Exchange) -> Answer:
    """All services by id, of which `?filter` keeps some."""
    agent = exchange.agent
    try:
        keep = create_filter(exchange.query.get("filter"), NodeService)
    except FilterError as error:
        raise HttpError(500, str(error)) from error
    found = keep(list(agent.local.services().values()))
    return exchange.json({service.id: agent_service_view(service, agent.datacenter) for service in found})


async def service(exchange: Exchange) -> Answer:
    """One service, with a hash of what is shown of it."""
    agent = exchange.agent
    service_id = exchange.suffix
    found = agent.local.services().get(service_id)
    if found is None:
        raise HttpError(404, f"unknown service ID: {service_id}")
    view = agent_service_view(found, agent.datacenter)
    view.content_hash = content_hash(view)
    return exchange.json(view, b"X-Consul-Contenthash: " + view.content_hash.encode() + b"\r\n")


def content_hash(view: AgentServiceView) -> str:
    """A hash of everything that is shown; equal services have equal hashes on every agent."""
    return blake2b(gojson.encode(view), digest_size=_HASH_OCTETS).hexdigest()


async def register(exchange: Exchange) -> Answer:
    """Add or replace a service and its checks."""
    definition = await decode_body(exchange, ServiceDefinition)
    if not definition.name:
        raise BadRequestError("Missing service name")
    exchange.agent.local.register_service(
        definition,
        replace_existing_checks=_flag(exchange, "replace-existing-checks"),
        token=exchange.token(),
    )
    await exchange.agent.local.synced()
    return exchange.empty()


def _flag(exchange: Exchange, name: str) -> bool:
    """Whether a parameter is given and not `false`."""
    return name in exchange.query and exchange.query.get(name).lower() not in {"false", "0", "f"}


async def deregister(exchange: Exchange) -> Answer:
    """Remove a service and its checks."""
    service_id = exchange.suffix
    if not service_id:
        raise HttpError(500, "ServiceID missing")
    exchange.agent.local.deregister_service(service_id)
    await exchange.agent.local.synced()
    return exchange.empty()
