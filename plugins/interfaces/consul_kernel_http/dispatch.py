"""From a parsed request to its answer: what every route has in common."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from consul_kernel.contracts.errors import ConsulKernelError, PluginStartError
from consul_kernel.contracts.metrics import NO_METRICS, Metrics, Sample

from .answer import HTML, TEXT, Answer
from .exchange import Exchange, Site
from .failures import HttpError, MethodNotAllowedError, failure_of
from .request import Request
from .resolving import Resolver
from .routing import Route, Router
from .target import TargetError, octets_of

logger = logging.getLogger(__name__)

_READS = frozenset({"GET", "HEAD", "OPTIONS"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Dispatcher:
    """Answers requests by the route table."""

    def __init__(self, site: Site, router: Router, metrics: Metrics = NO_METRICS) -> None:
        self._site = site
        self._resolver = Resolver(router)
        self._metrics = metrics
        self._times: dict[str, dict[str, Sample]] = {}
        """By method and pattern."""
        self.settle()

    def settle(self) -> None:
        """Go by the site's settings as they are now."""
        self._blocked_prefixes = tuple(self._site.http.block_endpoints)
        self._writers = _networks(self._site.http.allow_write_http_from)
        self._is_guarded = bool(self._blocked_prefixes or self._writers)

    def __call__(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """Answer one request. Only cancellation comes out of here."""
        return self._answer_and_log(request) if logger.isEnabledFor(logging.DEBUG) else self._answer(request)

    async def _answer_and_log(self, request: Request) -> Answer:
        """As Consul's `Request finished`; without the query, which may hold a token."""
        started_s, outcome = time.perf_counter(), "cancelled"
        try:
            answer = await self._answer(request)
            outcome = str(answer.status)
            return answer
        finally:
            logger.debug(
                "Request finished: method=%s path=%s status=%s from=%s latency=%.3fms",
                request.method,
                request.raw_path.partition("?")[0],
                outcome,
                request.remote,
                (time.perf_counter() - started_s) * 1000,
            )

    async def _answer(self, request: Request) -> Answer:
        try:
            target = self._resolver.resolve(request.raw_path)
        except TargetError:
            return Answer(400, b"", TEXT, b"400 Bad Request", close=True)
        if target.moved_to:
            return self._moved(request, target.moved_to)
        route = target.route
        if route is None:
            return self._unrouted(target.path)
        try:
            method = request.method
            endpoint = route.endpoints.get(method) or route.otherwise
            if target.query is None:
                raise HttpError(500)
            if self._is_guarded or endpoint is None:
                self._guard(request, target.path)
                if endpoint is None:
                    return self._other_method(method, route)
            if not (route.reads_at_once and method == "GET"):
                await request.in_task()
            begun_s = time.perf_counter()
            try:
                return await endpoint(Exchange(self._site, request, target.path, target.suffix, target.query))
            finally:
                try:
                    times = self._times[method][route.pattern]
                except KeyError:
                    times = self._times_of(method, route)
                times.add((time.perf_counter() - begun_s) * 1000)
        except ConsulKernelError as error:
            return self._failed(request, failure_of(error))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:  # a fault of ours must not end the server, nor even the connection
            logger.exception("request %s %s failed", request.method, target.path)
            return self._failed(request, HttpError(500, "Internal server error"))

    def _guard(self, request: Request, path: str) -> None:
        """Refuse what the agent file forbids: endpoints, and writes from some networks."""
        if self._blocked_prefixes and path.startswith(self._blocked_prefixes):
            raise HttpError(403, "Endpoint is blocked by agent configuration")
        if self._writers and request.method not in _READS:
            self._check_writer(request)

    def _other_method(self, method: str, route: Route) -> Answer:
        """The answer to a method that the route has no endpoint for."""
        if method == "OPTIONS":
            allow = ",".join(("OPTIONS", *route.methods)).encode()
            return Answer(200, self._head(), b"Allow: " + allow + b"\r\n")
        raise MethodNotAllowedError(method, route.methods)

    def _times_of(self, method: str, route: Route) -> Sample:
        """Consul's `api.http`, and the name that it had before 1.9."""
        times = self._times.setdefault(method, {})
        if route.pattern not in times:
            path = route.label
            labels = (("method", method), ("path", path))
            times[route.pattern] = self._metrics.sample("api.http", labels, alias=f"http.{method}.{path}")
        return times[route.pattern]

    def _head(self) -> bytes:
        return self._site.template.lines_with_policy()

    def _failed(self, request: Request, failure: HttpError) -> Answer:
        text = failure.text.encode("utf-8", "replace")
        head = (TEXT if text else b"") + failure.headers
        if failure.status >= 500:
            path = request.raw_path.partition("?")[0]  # the query may hold a token
            logger.info("%s %s answered %d: %s", request.method, path, failure.status, failure.text)
        return Answer(failure.status, self._head(), head, text, close=failure.close)

    def _unrouted(self, path: str) -> Answer:
        if path == "/":
            return Answer(200, self._site.template.lines(), TEXT, b"Consul Agent")
        return Answer(404, self._site.template.lines(), b"")

    def _moved(self, request: Request, location: str) -> Answer:
        head = b"Location: " + octets_of(location) + b"\r\n"
        if request.method not in {"GET", "HEAD"}:
            return Answer(301, self._site.template.lines(), head)
        escaped = (
            location.replace("&", "&amp;")
            .replace("<", "&lt;")
            .replace(">", "&gt;")
            .replace('"', "&#34;")
            .replace("'", "&#39;")
        )
        body = f'<a href="{escaped}">Moved Permanently</a>.\n\n'
        return Answer(301, self._site.template.lines(), HTML + head, octets_of(body))

    def _check_writer(self, request: Request) -> None:
        """Writes come only from the networks of `allow_write_http_from`, where there are any."""
        try:
            address = ipaddress.ip_address(request.remote)
        except ValueError:
            raise HttpError(403, "Access is restricted") from None
        if not any(address in network for network in self._writers):
            raise HttpError(403, "Access is restricted")


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise PluginStartError(f"http: allow_write_http_from: {error}") from error
