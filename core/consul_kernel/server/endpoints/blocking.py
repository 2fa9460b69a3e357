"""Reads: what every reply says of itself, consistent reads, and queries that wait for a change.

Consul's rules (documentation of blocking queries and of consistency modes; `agent/consul/rpc.go`): a query with
`min_query_index` answers once the index of what it reads is higher, or at the end of its time with what there
is. A reply's index is never 0. An answer of "absent" counts as the same however the index moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.state.watches import Topic
from consul_kernel.structs.query import QueryMeta, QueryOptions

from .context import EndpointContext

ReplyT = TypeVar("ReplyT", bound=QueryMeta)

JITTER_FRACTION = 16
"""A wait is lengthened by up to this part of itself, so that many clients do not return at once."""


def is_immediate(request: QueryOptions) -> bool:
    """Whether a read can be answered without waiting for anything."""
    return request.min_query_index <= 0 and not request.require_consistent


def describe(context: EndpointContext, reply: ReplyT) -> ReplyT:
    """Fill in what a reply says of itself: how fresh it is, and an index that is not 0."""
    context.reads.total += 1
    if reply.index < 1:
        reply.index = 1
    if context.consensus.is_leader:
        reply.known_leader = True
    else:
        status = context.consensus.status()
        reply.known_leader = status.leader is not None
        reply.last_contact = (status.last_contact_ms or 0) * 1_000_000
    return reply


async def answer(
    context: EndpointContext,
    request: QueryOptions,
    read: Callable[[], ReplyT],
    topics: Callable[[], Iterable[Topic]],
    *,
    is_absent: Callable[[ReplyT], bool] | None = None,
) -> ReplyT:
    """Answer a read. `read` makes the reply of this moment; `topics` are the narrowest that cover what it read."""
    if request.require_consistent:
        await context.leader_check.passed()
    try:
        if request.min_query_index <= 0:
            return describe(context, read())
        context.reads.blocking += 1
        try:
            reply = await _block(context, request, read, topics, is_absent)
        finally:
            context.reads.blocking -= 1
        return describe(context, reply)
    except RequestError as error:
        raise RpcError(str(error)) from error


async def _block(
    context: EndpointContext,
    request: QueryOptions,
    read: Callable[[], ReplyT],
    topics: Callable[[], Iterable[Topic]],
    is_absent: Callable[[ReplyT], bool] | None,
) -> ReplyT:
    """Nothing is awaited between a read and the registration of the watch, so no change slips in between."""
    watches = context.state.watches
    epoch = watches.epoch
    seen_index = request.min_query_index
    was_absent = False
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s(context, request)
    while True:
        reply = read()
        if reply.index < 1:
            reply.index = 1
        if is_absent is not None and is_absent(reply):
            if was_absent:
                seen_index = reply.index
            was_absent = True
        remaining = deadline - loop.time()
        if reply.index > seen_index or remaining <= 0 or watches.epoch != epoch:
            return reply
        if not await watches.watch(topics()).wait(remaining):
            return reply
        if request.require_consistent:
            await context.leader_check.passed()


def wait_s(context: EndpointContext, request: QueryOptions) -> float:
    """How long a query may wait, in seconds: what it asked within the server's bounds, and a little more."""
    asked = request.max_query_time / 1e9
    if asked <= 0:
        asked = context.default_query_time_ms / 1000
    asked = min(asked, context.max_query_time_ms / 1000)
    return asked + context.rng.random() * asked / JITTER_FRACTION
