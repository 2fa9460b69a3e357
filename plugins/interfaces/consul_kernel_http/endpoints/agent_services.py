"""`/v1/agent/service…`: what is registered with this agent."""

from __future__ import annotations

import asyncio
import random
from hashlib import blake2b

from consul_kernel.filters import FilterError, create_filter
from consul_kernel.structs.query import QueryOptions
from consul_kernel.structs.service import NodeService, ServiceDefinition
from consul_kernel_http import gojson
from consul_kernel_http.answer import Answer
from consul_kernel_http.body import decode_body
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.options import read_options
from consul_kernel_http.reads import blocked
from consul_kernel_http.views.service import AgentServiceView, agent_service_view

_HASH_OCTETS = 8
JITTER_FRACTION = 16


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
    """One service, with a hash of what is shown of it. With `hash`, once it has another one, or the time is over."""
    service_id, known = exchange.suffix, exchange.query.get("hash")
    view = _shown(exchange, service_id)
    if known and view.content_hash == known:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _wait_s(exchange)
        while view.content_hash == known and (left_s := deadline - loop.time()) > 0:
            await blocked(exchange, exchange.agent.local.wait_for_change(service_id, left_s))
            view = _shown(exchange, service_id)
    return exchange.json(view, f"X-Consul-Contenthash: {view.content_hash}\r\n".encode())


def _shown(exchange: Exchange, service_id: str) -> AgentServiceView:
    """One service as it is now; 404 when it is not here."""
    agent = exchange.agent
    found = agent.local.services().get(service_id)
    if found is None:
        raise HttpError(404, f"unknown service ID: {service_id}")
    view = agent_service_view(found, agent.datacenter)
    view.content_hash = content_hash(view)
    return view


def _wait_s(exchange: Exchange) -> float:
    """How long a client waits, and up to a sixteenth more, so that many do not come back at once."""
    options = read_options(exchange, QueryOptions())
    asked_s = options.max_query_time / 1e9 or exchange.site.http.default_query_time_ms / 1000
    return asked_s * (1 + random.random() / JITTER_FRACTION)


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
    """Whether a parameter is given, alone or as `true`."""
    return name in exchange.query and exchange.query.get(name) in {"", "true"}


async def deregister(exchange: Exchange) -> Answer:
    """Remove a service and its checks."""
    service_id = exchange.suffix
    if not service_id:
        raise HttpError(500, "ServiceID missing")
    exchange.agent.local.deregister_service(service_id)
    await exchange.agent.local.synced()
    return exchange.empty()
