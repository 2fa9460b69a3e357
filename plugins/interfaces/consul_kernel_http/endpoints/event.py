"""`/v1/event`."""

from __future__ import annotations

import asyncio
import uuid

from consul_kernel.filters import Regexp, RegexpError
from consul_kernel.structs.event import EventFireRequest, event_index
from consul_kernel.structs.methods import INTERNAL_EVENT_FIRE
from consul_kernel.structs.query import QueryOptions
from consul_kernel_http.answer import Answer
from consul_kernel_http.event_log import EVENT_VERSION, EventView, encode_payload, event_log_of
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.options import read_options
from consul_kernel_http.reads import blocked

_NANOSECONDS_PER_S = 1_000_000_000
_DEFAULT_WAIT_S = 300.0


async def fire(exchange: Exchange) -> Answer:
    """Spread a user event; the answer shows it, before anybody has received it."""
    name = exchange.suffix
    if not name:
        raise BadRequestError("Missing name")
    query = exchange.query
    event = EventView(
        id=str(uuid.uuid4()),
        name=name,
        payload=None,
        node_filter=query.get("node"),
        service_filter=query.get("service"),
        tag_filter=query.get("tag"),
        version=EVENT_VERSION,
        ltime=0,
    )
    event.payload = await exchange.json_body() or None
    _check_filters(event)
    request = EventFireRequest(
        datacenter=exchange.datacenter(),
        token=exchange.token(),
        allow_stale=True,
        name=name,
        payload=encode_payload(event),
    )
    await exchange.agent.call(INTERNAL_EVENT_FIRE, request)
    return exchange.json(event)


def _check_filters(event: EventView) -> None:
    if event.tag_filter and not event.service_filter:
        raise HttpError(500, "Cannot provide tag filter without service filter")
    filters = (("node", event.node_filter), ("service", event.service_filter), ("tag", event.tag_filter))
    for kind, pattern in filters:
        try:
            Regexp(pattern)
        except RegexpError as error:
            raise HttpError(500, f"Invalid {kind} filter: error parsing regexp: {error}") from None


async def list_events(exchange: Exchange) -> Answer:
    """The events that reached this agent. Its index is a hash of the newest, not a number that grows."""
    options = read_options(exchange, QueryOptions())
    name = exchange.query.get("name")
    log = event_log_of(exchange.agent)
    loop = asyncio.get_running_loop()
    wait_s = options.max_query_time / _NANOSECONDS_PER_S or _DEFAULT_WAIT_S
    deadline = loop.time() + wait_s
    while True:
        events = log.named(name)
        index = event_index(events[-1].id) if events else 1
        remaining_s = deadline - loop.time()
        if not options.min_query_index or index != options.min_query_index or remaining_s <= 0:
            return exchange.json(events, b"X-Consul-Index: %d\r\n" % index)
        await blocked(exchange, log.wait(remaining_s))
