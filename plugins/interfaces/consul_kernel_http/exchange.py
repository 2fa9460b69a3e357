"""One request and what an endpoint needs to answer it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from aiohttp import web

from consul_kernel.contracts.interface import AgentApi, ArchiveStream
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.structs.settings import HttpSettings, LimitSettings

from . import gojson
from .answer import JSON, TEXT, Answer, HeadTemplate
from .cache import ReadCache
from .failures import HttpError, body_too_large
from .kept_answers import KeptAnswers
from .shared_bodies import SharedBodies
from .streamed import StreamedAnswer
from .target import Query, octets_of, shown

logger = logging.getLogger(__name__)

MAX_JSON_BODY_OCTETS = 8 * 1024 * 1024
"""No definition that makes sense is longer. Consul has no such limit; an agent's memory has."""

DEFAULT_ACL_POLICY = b"X-Consul-Default-Acl-Policy: allow\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Site:
    """What all requests to one interface share."""

    __slots__ = (
        "_closing",
        "_kept",
        "agent",
        "blocked",
        "bodies",
        "body_timeout_s",
        "cache",
        "http",
        "kept",
        "limits",
        "max_streams",
        "streams",
        "template",
    )

    def __init__(
        self,
        agent: AgentApi,
        http: HttpSettings,
        limits: LimitSettings,
        *,
        body_timeout_s: float,
        max_streams: int,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self.agent = agent
        self.settle(http, limits, body_timeout_s=body_timeout_s, max_streams=max_streams)
        self.streams = 0
        """Event streams that are open."""
        self.cache = ReadCache(agent, metrics)
        self.kept = KeptAnswers()
        self.bodies = SharedBodies() if agent.is_server else None
        """None on a client: what comes from a server is decoded anew for each reply, and never the same list."""
        self.blocked: set[asyncio.Task[Any]] = set()
        """The tasks of blocking queries, which end at once when the interface closes."""
        self._closing = False
        self._kept: set[asyncio.Future[None]] = set()

    def settle(self, http: HttpSettings, limits: LimitSettings, *, body_timeout_s: float, max_streams: int) -> None:
        """Go by these from the next request on."""
        self.http = http
        self.limits = limits
        self.template = HeadTemplate(http.response_headers)
        self.body_timeout_s = body_timeout_s
        self.max_streams = max_streams

    def is_closing(self) -> bool:
        """Whether the interface is on its way out."""
        return self._closing

    def keep(self, work: asyncio.Future[None]) -> None:
        """Hold on to work that outlives its request; a failure that nobody is left to hear of is logged."""
        self._kept.add(work)
        work.add_done_callback(self._let_go)

    def _let_go(self, work: asyncio.Future[None]) -> None:
        self._kept.discard(work)
        if not work.cancelled() and work.exception() is not None:
            logger.warning("what a request began has failed: %s", work.exception())

    def close(self) -> None:
        """End the blocking queries, and let no new one begin."""
        self._closing = True
        for task in list(self.blocked):
            task.cancel()
        self.cache.close()


class Exchange:
    """A request on its way through an endpoint. `suffix` is the path after the route's prefix, unescaped."""

    __slots__ = ("agent", "method", "path", "query", "raw_suffix", "request", "site")

    def __init__(self, site: Site, request: web.BaseRequest, path: str, raw_suffix: str, query: Query) -> None:
        self.site = site
        self.agent = site.agent
        self.request = request
        self.method = request.method
        self.path = path
        self.raw_suffix = raw_suffix
        self.query = query

    @property
    def suffix(self) -> str:
        """The rest of the path as valid Unicode."""
        return shown(self.raw_suffix)

    @property
    def suffix_octets(self) -> bytes:
        """The rest of the path as the client meant it, octet by octet."""
        return octets_of(self.raw_suffix)

    # --- answers ---

    def json(self, value: Any, head: bytes = b"", *, status: int = 200) -> Answer:
        """A JSON answer."""
        indent = self.site.http.dev_mode or "pretty" in self.query
        return self._answer(status, JSON + head, gojson.encode(value, indent=indent))

    def shared_json(self, shared: object, form: str, show: Callable[[], Any], head: bytes) -> Answer:
        """A JSON answer that shows a shared record or list in a certain form; encoded once for all who ask the same."""
        indent = self.site.http.dev_mode or "pretty" in self.query
        if self.site.bodies is None or indent:
            return self.json(show(), head)
        return self._answer(200, JSON + head, self.site.bodies.body(shared, form, lambda: gojson.encode(show())))

    def text(self, text: str, head: bytes = b"", *, status: int = 200, content_type: bytes = TEXT) -> Answer:
        """A text answer."""
        return self._answer(status, content_type + head, text.encode("utf-8", "replace"))

    def octets(self, body: bytes, head: bytes) -> Answer:
        """An answer of the given octets, whose headers `head` names in full."""
        return self._answer(200, head, body)

    def empty(self, head: bytes = b"", *, status: int = 200) -> Answer:
        """An answer without a body or a content type."""
        return self._answer(status, head, b"")

    def stream(self, pieces: ArchiveStream, head: bytes) -> Answer:
        """An answer whose body comes in pieces; whatever becomes of the answer, they are closed."""
        return StreamedAnswer(200, self.site.template.lines() + DEFAULT_ACL_POLICY, head, pieces)

    def _answer(self, status: int, head: bytes, body: bytes) -> Answer:
        return Answer(status, self.site.template.lines() + DEFAULT_ACL_POLICY, head, body)

    # --- the body ---

    async def body(self, limit: int, option: str) -> bytes:
        """The request's body, at most `limit` octets.

        413 beyond, before anything is read where the length is declared; 408 when the client takes too long.
        """
        request = self.request
        declared = request.content_length
        if declared is not None and declared > limit:
            raise body_too_large(declared, limit, option)
        if not request.can_read_body:
            return b""
        await self._continue()
        content = request.content
        if content.is_eof():
            # The body came with the headers, as most do: nothing to wait for.
            body = content.read_nowait()
            if len(body) > limit:
                raise body_too_large(len(body), limit, option)
            return body
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.site.body_timeout_s):
                while chunk := await content.readany():
                    size += len(chunk)
                    if size > limit:
                        raise body_too_large(size, limit, option)
                    chunks.append(chunk)
        except TimeoutError:
            raise HttpError(408, "Request body took too long", close=True) from None
        except web.RequestPayloadError as error:
            raise HttpError(400, "Malformed request body", close=True) from error
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def body_pieces(self) -> AsyncGenerator[bytes, None]:
        """The request's body as it comes, of any length; 408 when the client sends nothing for too long."""
        if not self.request.can_read_body:
            return
        await self._continue()
        content = self.request.content
        while True:
            try:
                async with asyncio.timeout(self.site.body_timeout_s):
                    piece = await content.readany()
            except TimeoutError:
                raise HttpError(408, "Request body took too long", close=True) from None
            except web.RequestPayloadError as error:
                raise HttpError(400, "Malformed request body", close=True) from error
            if not piece:
                return
            yield piece

    async def _continue(self) -> None:
        if self.request.headers.get("Expect", "").lower() == "100-continue":
            await self.request.writer.write(_CONTINUE)

    async def json_body(self) -> bytes:
        """The body of an endpoint that takes JSON."""
        return await self.body(MAX_JSON_BODY_OCTETS, "limits")

    # --- parameters ---

    def token(self) -> str:
        """The ACL token: `?token`, `X-Consul-Token`, or a bearer token; "" for the agent's default."""
        token = self.query.get("token")
        if token:
            return token
        headers = self.request.headers
        token = headers.get("X-Consul-Token", "")
        if token:
            return token
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        return credentials.strip() if scheme.lower() == "bearer" else ""

    def datacenter(self) -> str:
        """The datacenter that is asked about: `?dc`, else the agent's own."""
        return self.query.get("dc") or self.agent.datacenter


Endpoint = Callable[[Exchange], Awaitable[Answer]]
