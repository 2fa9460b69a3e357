"""What a connection reads: octets into requests, within bounds, and no faster than they are served.

aiohttp's parser (llhttp, in C where aiohttp was built with it) makes requests of octets, and of each body a stream.
What the two ask of their protocol is here: `connected`, `pause_reading` and `resume_reading`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.http_parser import HttpRequestParserPy

from .refusals import HeadersTooLargeError
from .request import BodyError, Request

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

    from .connection import Connection
    from .connections import Connections

IS_PARSED_IN_C = HttpRequestParser is not HttpRequestParserPy
"""aiohttp takes the slower one of the two by itself where it has to."""
MAX_PIPELINED = 16
"""Requests that have arrived before their turn; beyond, the client is not read from until some are answered."""
MAX_HEADER_FIELDS = 256
_PARSED_AT_ONCE = 8 * 1024
"""Octets: how many small requests can come out of the parser before `MAX_PIPELINED` is looked at."""
_BODY_AT_ONCE = 64 * 1024
"""The same while a body is on its way, which fills most of what arrives."""
_BODY_OCTETS = 256 * 1024
"""Of a body that nobody reads yet, this much (the parser allows the double) is taken in."""


class RequestReader(asyncio.Protocol):
    """The half of a connection that reads. The other half takes what is in `_queue`, in its order."""

    __slots__ = (
        "_body",
        "_body_is_full",
        "_connections",
        "_header_octets",
        "_is_ending",
        "_is_last",
        "_loop",
        "_parser",
        "_queue",
        "_queue_is_full",
        "_task",
        "_transport",
        "_unparsed",
        "deadline_s",
    )

    def __init__(self, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        self._connections = connections
        self._loop = loop
        self._parser = HttpRequestParser(
            cast("Any", self),
            loop,
            _BODY_OCTETS,
            max_line_size=connections.max_header_octets,
            max_field_size=connections.max_header_octets,
            max_headers=MAX_HEADER_FIELDS,
            payload_exception=BodyError,
            auto_decompress=False,
        )
        self._transport: asyncio.Transport | None = None
        self._queue: list[Request | HttpProcessingError] = []
        """A list, since most connections rest, and an empty deque takes ten times as much memory."""
        self._task: asyncio.Task[None] | None = None
        """What serves a request, where that takes time."""
        self.deadline_s = 0.0
        """When to close the connection if nothing else has happened, by the loop's clock."""
        self._body: StreamReader | None = None
        """Of the request that came last."""
        self._unparsed = b""
        self._header_octets = 0
        """How much has come of a request whose headers are not complete."""
        self._body_is_full = False
        self._queue_is_full = False
        self._is_last = False
        """No request is taken in any more."""
        self._is_ending = False
        """Nothing at all is."""

    def _take_up(self) -> None:
        """Serve what is in the queue. Called when there is something, and nothing is being served."""
        raise NotImplementedError

    # --- asyncio's callback ---

    def data_received(self, data: bytes) -> None:
        """Parse, a piece at a time, until enough waits to be served."""
        if self._is_ending:
            return
        if self._unparsed or len(data) > _PARSED_AT_ONCE:
            self._unparsed += data
            self._parse_on()
        else:
            self._parse(data)

    # --- what the parser and the bodies that it makes ask of their protocol ---

    @property
    def connected(self) -> bool:
        """Whether there is anything to wait for."""
        return self._transport is not None

    def pause_reading(self) -> None:
        """A body has more than is read of it. The parser is given no more; it ends the piece that it has."""
        self._body_is_full = True
        self._hold()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """A body wants more, or, without `resume_parser`, has ended: then the parser itself is at work."""
        if self._body_is_full:
            self._body_is_full = False
            if resume_parser:
                self._parse_on()
            else:
                self._loop.call_soon(self._parse_on)

    # --- for the half that serves ---

    @property
    def _body_arrives(self) -> bool:
        """Whether a body has begun and not ended."""
        return self._body is not None and not self._body.is_eof()

    def _read_on(self) -> None:
        """Something was taken from the queue: go on if it is empty enough."""
        if self._queue_is_full and len(self._queue) <= MAX_PIPELINED // 2:
            self._queue_is_full = False
            self._parse_on()

    # --- inside ---

    def _parse_on(self) -> None:
        """Parse what was left, as far as bodies and the queue let it; then read on."""
        data, self._unparsed = self._unparsed, b""
        start = 0
        while start < len(data) and not (self._body_is_full or self._queue_is_full or self._is_ending):
            end = start + (_BODY_AT_ONCE if self._body_arrives else _PARSED_AT_ONCE)
            self._parse(data[start:end])
            start = end
        self._unparsed = data[start:]
        if self._body_is_full or self._queue_is_full:
            self._hold()
        elif self._transport is not None and not self._is_ending:
            self._transport.resume_reading()

    def _hold(self) -> None:
        if self._transport is not None and not self._is_ending:
            self._transport.pause_reading()

    def _parse(self, data: bytes) -> None:
        body = self._body if self._body_arrives else None
        body_octets = body.total_bytes if body is not None else 0
        try:
            messages, _upgraded, _tail = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._break_off(error)
            return
        except (ValueError, RuntimeError) as error:  # whatever a parser stumbles over, it is no request
            self._break_off(BadHttpMessage(repr(error)))
            return
        if not messages:
            if body is None or (not body.is_eof() and body.total_bytes == body_octets):
                self._await_headers(len(data))  # or a chunked body's trailers, or its chunks' extensions
            else:
                self._header_octets = 0
            return
        self._header_octets = 0
        queue = self._queue
        for message, body in messages:
            if self._is_last:
                return
            queue.append(Request(cast("Connection", self), message, body))
            self._body = body
            # What follows a request for another protocol cannot be told from it: it is the last one of ours.
            self._is_last = message.should_close or message.upgrade
        if self._task is None:
            self._take_up()
        if len(queue) >= MAX_PIPELINED:
            self._queue_is_full = True
            self._hold()

    def _await_headers(self, octets: int) -> None:
        """A part of a request's headers came. They may neither take too long nor be too many."""
        if not self._header_octets and self._task is None:
            self.deadline_s = self._loop.time() + self._connections.header_timeout_s
        self._header_octets += octets
        if self._header_octets > self._connections.max_header_octets:
            self._break_off(HeadersTooLargeError("request line and headers are too long"))

    def _break_off(self, error: HttpProcessingError) -> None:
        """What comes is not HTTP. That is answered after what was asked before it, unless it came in the same piece."""
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(BodyError(str(error)))
        elif not self._is_last:
            self._queue.append(error)
        self._is_last = True
        self._unparsed = b""
        if self._task is None:
            self._take_up()
