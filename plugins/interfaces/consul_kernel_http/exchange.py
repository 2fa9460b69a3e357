"""One request and what an endpoint needs to answer it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from aiohttp.hdrs import AUTHORIZATION
from multidict import istr

from consul_kernel.contracts.interface import AgentApi, ArchiveStream
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.structs.settings import HttpSettings, LimitSettings

from . import gojson
from .answer import JSON, TEXT, Answer, HeadTemplate
from .cache import ReadCache
from .kept_answers import KeptAnswers
from .request import Request
from .request_body import body_pieces, read_body
from .shared_bodies import SharedBodies
from .streamed import StreamedAnswer
from .target import EMPTY_QUERY, Query, octets_of, shown

logger = logging.getLogger(__name__)

_TOKEN = istr("X-Consul-Token")

MAX_JSON_BODY_OCTETS = 8 * 1024 * 1024
"""No definition that makes sense is longer. Consul has no such limit; an agent's memory has."""


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

    def __init__(self, site: Site, request: Request, path: str, raw_suffix: str, query: Query) -> None:
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

    @property
    def is_indented(self) -> bool:
        """Whether JSON is to be easy on the eyes."""
        return self.site.http.dev_mode or (self.query is not EMPTY_QUERY and "pretty" in self.query)

    def json(self, value: Any, head: bytes = b"", *, status: int = 200) -> Answer:
        """A JSON answer."""
        return self._answer(status, JSON + head, gojson.encode(value, indent=self.is_indented))

    def done(self) -> Answer:
        """The JSON answer `true`, which most writes have."""
        if self.is_indented:
            return self.json(True)
        return self._answer(200, JSON, b"true")

    def shared_json(self, shared: object, form: str, show: Callable[[], Any], head: bytes) -> Answer:
        """A JSON answer that shows a shared record or list in a certain form; encoded once for all who ask the same."""
        site = self.site
        if site.bodies is None or self.is_indented:
            return self.json(show(), head)
        body = site.bodies.body(shared, form, lambda: gojson.encode(show()))
        return Answer(200, site.template.lines_with_policy(), JSON + head, body)

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
        return StreamedAnswer(200, self.site.template.lines_with_policy(), head, pieces)

    def _answer(self, status: int, head: bytes, body: bytes) -> Answer:
        return Answer(status, self.site.template.lines_with_policy(), head, body)

    # --- the body ---

    async def body(self, limit: int, option: str) -> bytes:
        """The request's body, at most `limit` octets; 413 beyond, 408 when the client takes too long."""
        return await read_body(self.request, limit, option, self.site.body_timeout_s)

    def body_pieces(self) -> AsyncGenerator[bytes, None]:
        """The request's body as it comes, of any length; 408 when the client sends nothing for too long."""
        return body_pieces(self.request, self.site.body_timeout_s)

    async def json_body(self) -> bytes:
        """The body of an endpoint that takes JSON."""
        return await self.body(MAX_JSON_BODY_OCTETS, "limits")

    # --- parameters ---

    def token(self) -> str:
        """The ACL token: `?token`, `X-Consul-Token`, or a bearer token; "" for the agent's default."""
        if self.query is not EMPTY_QUERY:
            token = self.query.get("token")
            if token:
                return token
        headers = self.request.headers
        if given := headers.get(_TOKEN):
            return shown(given)
        credentials = headers.get(AUTHORIZATION)
        if not credentials:
            return ""
        scheme, _, credentials = credentials.partition(" ")
        return shown(credentials.strip()) if scheme.lower() == "bearer" else ""

    def datacenter(self) -> str:
        """The datacenter that is asked about: `?dc`, else the agent's own."""
        if self.query is not EMPTY_QUERY:
            return self.query.get("dc") or self.agent.datacenter
        return self.agent.datacenter


Endpoint = Callable[[Exchange], Awaitable[Answer]]
