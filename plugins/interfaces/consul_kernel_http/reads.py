"""Carry out a read and say in the headers what its reply says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, TypeVar

from consul_kernel.structs.methods import Method
from consul_kernel.structs.query import QueryMeta, QueryOptions

from .cache import cache_key, plain_request
from .exchange import Exchange
from .failures import HttpError

RequestT = TypeVar("RequestT", bound=QueryOptions)
ReplyT = TypeVar("ReplyT", bound=QueryMeta)
ResultT = TypeVar("ResultT")

SHUTTING_DOWN = "agent is shutting down"

_NANOSECONDS_PER_MS = 1_000_000
_CONSISTENCY = (
    b"X-Consul-Effective-Consistency: leader\r\n",
    b"X-Consul-Effective-Consistency: stale\r\n",
    b"X-Consul-Effective-Consistency: consistent\r\n",
)
_META = b"X-Consul-Index: %d\r\nX-Consul-Knownleader: %s\r\nX-Consul-Lastcontact: %d\r\nX-Consul-Query-Backend: %s\r\n"

_KEPT_HEADS = 4096

_KNOWN = b"X-Consul-Knownleader: %s\r\nX-Consul-Lastcontact: %d\r\n"

UNKNOWN_META_HEAD = _META % (1, b"false", 0, b"blocking-query")
"""What catalog and health endpoints say when the call failed."""


def read_at_once(exchange: Exchange, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT | None:
    """The reply, where the agent has it at hand and it is fresh enough; otherwise None, and `read` gets it."""
    if request.min_query_index > 0 or request.use_cache:
        return None
    reply = exchange.agent.read_at_once(method, request)
    if reply is not None and 0 < request.max_stale_duration < reply.last_contact:
        return None
    return reply


async def read(exchange: Exchange, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
    """Make the call; when a stale answer is older than the client allows, ask the leader."""
    await exchange.request.in_task()
    if request.min_query_index > 0:
        reply = await blocked(exchange, exchange.agent.call(method, request))
    else:
        reply = await exchange.agent.call(method, request)
    if request.allow_stale and 0 < request.max_stale_duration < reply.last_contact:
        request.allow_stale = False
        request.max_stale_duration = 0
        reply = await exchange.agent.call(method, request)
    return reply


async def read_cached(exchange: Exchange, method: Method[RequestT, ReplyT], request: RequestT) -> tuple[ReplyT, bytes]:
    """Make the call, or answer from the cache where the request allows it; the header lines that tell which."""
    if not request.use_cache:
        return await read(exchange, method, request), b""
    await exchange.request.in_task()
    reply, age_s = await blocked(exchange, exchange.site.cache.read(method, request))
    return reply, _cache_head(age_s)


async def read_kept(exchange: Exchange, method: Method[RequestT, ReplyT], request: RequestT) -> tuple[ReplyT, bytes]:
    """The same for a read that does not wait for changes: what the cache has of it is only as new as it was then."""
    if not request.use_cache:
        return await read(exchange, method, request), b""
    await exchange.request.in_task()
    reply, age_s = await exchange.site.kept.read(
        cache_key(method, request), request, lambda: exchange.agent.call(method, plain_request(request))
    )
    return reply, _cache_head(age_s)


def _cache_head(age_s: float | None) -> bytes:
    return b"X-Cache: MISS\r\n" if age_s is None else b"X-Cache: HIT\r\nAge: %d\r\n" % age_s


async def blocked(exchange: Exchange, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Await something that may take minutes, but no longer than the interface stays open."""
    site = exchange.site
    task = asyncio.current_task()
    if task is None or site.is_closing():
        work.close()
        raise HttpError(500, SHUTTING_DOWN, close=True)
    site.blocked.add(task)
    try:
        return await work
    except asyncio.CancelledError:
        if not site.is_closing():
            raise
        # The interface is closing and does not wait; the client gets an answer that it can act on.
        task.uncancel()
        raise HttpError(500, SHUTTING_DOWN, close=True) from None
    finally:
        site.blocked.discard(task)


def meta_head(meta: QueryMeta, *, streaming: bool = False) -> bytes:
    """Header lines of a reply. An index of 0 would make clients spin, so it is never told."""
    return _meta_head(
        meta.index or 1,
        meta.known_leader,
        max(meta.last_contact, 0) // _NANOSECONDS_PER_MS if meta.last_contact else 0,
        streaming,
    )


@lru_cache(maxsize=_KEPT_HEADS)
def _meta_head(index: int, known_leader: bool, last_contact_ms: int, streaming: bool) -> bytes:
    return _META % (
        index,
        b"true" if known_leader else b"false",
        last_contact_ms,
        b"streaming" if streaming else b"blocking-query",
    )


def known_head(meta: QueryMeta) -> bytes:
    """Of these, the lines about freshness alone, where there is nothing to wait for."""
    return _KNOWN % (
        b"true" if meta.known_leader else b"false",
        max(meta.last_contact, 0) // _NANOSECONDS_PER_MS,
    )


def consistency_level(request: QueryOptions) -> str:
    """The same as a word, for answers that tell it in their body."""
    if request.allow_stale:
        return "stale"
    return "consistent" if request.require_consistent else "leader"


def consistency_head(request: QueryOptions) -> bytes:
    """Which consistency the answer had, for the endpoints that tell."""
    if request.allow_stale:
        return _CONSISTENCY[1]
    return _CONSISTENCY[2] if request.require_consistent else _CONSISTENCY[0]
