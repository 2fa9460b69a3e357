"""`Accept: text/event-stream` on a read that can wait: one answer that goes on, and tells only what changes.

A stream asks its route's own endpoint again and again, as a client of a blocking query would, and tells how the answers
differ (WHATWG HTML, server-sent events). So it sees what such a client sees, however the endpoint waits for it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from aiohttp import hdrs

from consul_kernel.contracts.errors import ConsulKernelError

from .answer import JSON, Answer
from .exchange import Endpoint, Exchange
from .failures import BadRequestError, HttpError, failure_of
from .feed_items import Items, KnownBy, digest_of
from .options import UintError, parse_uint
from .reads import blocked

MIME_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
"""A comment is sent after such a silence, so that both sides notice when the other has gone."""
TOO_MANY_STREAMS = "Too many event streams"
_HEAD = b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
_HEARTBEAT = b":\n\n"
_RECONNECT = b"retry: 1000\n"
_PAUSE_S = 0.01
"""Between two answers: what changes more often is told together."""
_LONGEST_PAUSE_S = 1.0
"""After answers that brought nothing new: an endpoint need not block, and must not be asked without end."""
_FIRST_RETRY_S = 0.25
_LONGEST_RETRY_S = 10.0
_INDEX = re.compile(rb"X-Consul-Index: (\d+)\r\n")
_STREAM_ALONE = ("raw", "since")
"""Parameters that ask for an answer of another kind."""


def streams(endpoint: Endpoint, known_by: KnownBy) -> Endpoint:
    """The endpoint, and the same as a stream for those who ask for one."""

    def answer(exchange: Exchange) -> Awaitable[Answer]:
        accepted = exchange.request.headers.get(hdrs.ACCEPT)
        if accepted is not None and MIME_TYPE in accepted:
            return _open(exchange, endpoint, known_by)
        return endpoint(exchange)

    return answer


@dataclass(frozen=True, slots=True)
class _Reading:
    """One answer of the endpoint."""

    index: int
    body: bytes


async def _open(exchange: Exchange, endpoint: Endpoint, known_by: KnownBy) -> Answer:
    """The stream; in place of it the endpoint's answer, where that is a refusal."""
    await exchange.request.in_task()
    for name in _STREAM_ALONE:
        if name in exchange.query:
            raise BadRequestError(f"?{name} has no event stream")
    feed = _Feed(exchange, endpoint, known_by, _last_seen(exchange))
    first = await feed.read(0)
    if isinstance(first, Answer):
        if first.status != 200:
            return first
        raise HttpError(406, "This answer has no event stream")
    site = exchange.site
    if site.streams >= site.max_streams:
        raise HttpError(429, TOO_MANY_STREAMS)
    return exchange.stream(feed.pieces(first), _HEAD)


def _last_seen(exchange: Exchange) -> int:
    """The index that the client has reached: `Last-Event-ID`, as browsers send it when they come back, or `index`."""
    text = exchange.request.headers.get(hdrs.LAST_EVENT_ID) or exchange.query.get("index")
    try:
        return parse_uint(text) if text else 0
    except UintError:
        raise BadRequestError("Invalid index") from None


class _Feed:
    """One stream. It keeps digests of what it told last; writing waits for the client, and nothing is queued."""

    def __init__(self, exchange: Exchange, endpoint: Endpoint, known_by: KnownBy, last_seen: int) -> None:
        self._exchange = exchange
        self._endpoint = endpoint
        self._known_by = known_by
        self._index = last_seen
        self._digest = b""
        self._items: Mapping[bytes, bytes] | None = None

    async def read(self, index: int) -> _Reading | Answer:
        """Ask the endpoint, with an index for what comes after that; its answer, if that is nothing to stream."""
        exchange = self._exchange
        query = exchange.query.replacing({"index": str(index) if index else "", "wait": "", "pretty": ""})
        asking = Exchange(exchange.site, exchange.request, exchange.path, exchange.raw_suffix, query)
        try:
            answer = await self._endpoint(asking)
        except HttpError as failure:
            found = _INDEX.search(failure.headers)
            if failure.status != 404 or found is None:
                raise
            return _Reading(int(found[1]), b"null")
        found = _INDEX.search(answer.own_head)
        if found is not None and answer.status == 404:
            return _Reading(int(found[1]), b"[]")
        if found is None or answer.status != 200 or JSON not in answer.own_head:
            return answer
        body = answer.body_octets
        return _Reading(int(found[1]), msgspec.json.format(body, indent=-1) if b"\n" in body else body)

    async def pieces(self, first: _Reading) -> AsyncGenerator[bytes, None]:
        """The stream, until the client goes, the interface closes or the endpoint refuses.

        Nothing that was told is held on to: a stream is silent most of the time, and there may be many.
        """
        site = self._exchange.site
        site.streams += 1
        try:
            piece = _RECONNECT + self._begin(first)
            del first
            yield piece
            del piece
            async with aclosing(self._follow()) as pieces:
                async for piece in pieces:
                    yield piece
                    del piece
        except HttpError as failure:
            if not site.is_closing():
                yield _comment(failure)
        finally:
            site.streams -= 1

    def _begin(self, first: _Reading) -> bytes:
        """The whole; nothing to a client that has it, since it was at the same index before."""
        is_known = first.index == self._index
        told = self._tell(first)
        return _HEARTBEAT if is_known else told

    async def _follow(self) -> AsyncGenerator[bytes, None]:
        """Whatever comes after the first answer. HttpError at the end."""
        clock = asyncio.get_running_loop().time
        pause_s, retry_s = _PAUSE_S, _FIRST_RETRY_S
        while True:
            begun_s = clock()
            poll = asyncio.ensure_future(self.read(self._index))
            poll.add_done_callback(_take_notice)
            try:
                while not await self._is_done(poll):
                    yield _HEARTBEAT
                reading = poll.result()
            except ConsulKernelError as error:
                failure = failure_of(error)
                if self._exchange.site.is_closing() or (failure.status < 500 and failure.status != 429):
                    raise failure from error
                yield _comment(failure)
                await self._sleep(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                continue
            finally:
                poll.cancel()
            if isinstance(reading, Answer):
                raise HttpError(reading.status, reading.body_octets.decode("utf-8", "replace"))
            retry_s = _FIRST_RETRY_S
            piece = self._tell(reading)
            has_waited = clock() - begun_s > _LONGEST_PAUSE_S
            pause_s = _PAUSE_S if has_waited or b"data: " in piece else min(2 * pause_s, _LONGEST_PAUSE_S)
            del poll, reading
            if piece:
                yield piece
            del piece
            await self._sleep(pause_s)

    async def _is_done(self, poll: asyncio.Future[_Reading | Answer]) -> bool:
        """Wait for the answer, but not longer than silence may last."""
        done, _ = await blocked(self._exchange, asyncio.wait((poll,), timeout=HEARTBEAT_S))
        return bool(done)

    async def _sleep(self, pause_s: float) -> None:
        await blocked(self._exchange, asyncio.sleep(pause_s))

    def _tell(self, reading: _Reading) -> bytes:
        """The event for an answer: what is other than before, the new index alone, or nothing."""
        digest = digest_of(reading.body)
        index, self._index = self._index, reading.index
        if digest == self._digest:
            return b"" if index == reading.index else b"id: %d\n\n" % reading.index
        items = self._known_by.items(reading.body)
        name, data = self._difference(items, reading.body)
        self._digest, self._items = digest, None if items is None else items.digests
        return b"event: %b\nid: %d\ndata: %b\n\n" % (name, reading.index, data)

    def _difference(self, items: Items | None, body: bytes) -> tuple[bytes, bytes]:
        if items is None or self._items is None:
            return b"whole", body
        return b"changes", self._known_by.changes(self._items, items)


def _comment(failure: HttpError) -> bytes:
    return b": " + failure.text.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace") + b"\n\n"


def _take_notice(poll: asyncio.Future[_Reading | Answer]) -> None:
    """Nobody is left to hear of a failure when the stream has ended before."""
    if not poll.cancelled():
        poll.exception()
