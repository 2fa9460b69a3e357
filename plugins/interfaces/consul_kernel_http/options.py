"""Parameters and headers that all reads share (Consul's API features: consistency, blocking, caching)."""

from __future__ import annotations

from typing import Any, TypeVar

from consul_kernel.structs.duration import DurationError, parse_duration_ns
from consul_kernel.structs.query import QueryOptions, QuerySource

from .exchange import Exchange
from .failures import BadRequestError

RequestT = TypeVar("RequestT", bound=QueryOptions)

MAX_UINT64 = (1 << 64) - 1
_MAX_UINT32 = (1 << 32) - 1
_MAX_DIGITS = 40
_NANOSECONDS_PER_MS = 1_000_000
_NANOSECONDS_PER_S = 1_000_000_000
_DISCOVERY_PATHS = ("/v1/catalog", "/v1/health")


class UintError(ValueError):
    """Text that is no unsigned number of 64 bits. The message is Go's."""


def parse_uint(text: str, maximum: int = MAX_UINT64) -> int:
    """A decimal unsigned number as Go's `strconv.ParseUint(text, 10, 64)` takes it."""
    if not text or not text.isascii() or not text.isdigit():
        raise UintError(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    if len(text.lstrip("0")) > _MAX_DIGITS or int(text) > maximum:
        raise UintError(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    return int(text)


class BoolError(ValueError):
    """Text that is neither true nor false. The message is Go's."""


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def parse_bool(text: str) -> bool:
    """A truth value as Go's `strconv.ParseBool` takes it."""
    if text not in _TRUE and text not in _FALSE:
        raise BoolError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")
    return text in _TRUE


def quoted(text: str) -> str:
    """A text as Go quotes it in errors."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_options(exchange: Exchange, request: RequestT) -> RequestT:
    """Fill the options of a read from the request; BadRequestError with Consul's text for those that do not parse."""
    request.datacenter = exchange.datacenter()
    request.token = exchange.token()
    if not exchange.query:
        _apply_defaults(exchange, request)
    else:
        request.filter = exchange.query.get("filter")
        _apply_consistency(exchange, request)
    _apply_cache_control(exchange, request)
    if exchange.query:
        _apply_wait(exchange, request)
    return request


def _apply_consistency(exchange: Exchange, request: QueryOptions) -> None:
    query = exchange.query
    defaults = "leader" not in query
    if "stale" in query:
        request.allow_stale, defaults = True, False
    if "consistent" in query:
        request.require_consistent, defaults = True, False
    if "cached" in query:
        request.use_cache, defaults = True, False
    max_stale = query.get("max_stale")
    if max_stale:
        try:
            request.max_stale_duration = parse_duration_ns(max_stale)
        except DurationError:
            raise BadRequestError(f"Invalid max_stale value {quoted(max_stale)}") from None
        if request.max_stale_duration > 0:
            request.allow_stale, defaults = True, False
    if defaults:
        _apply_defaults(exchange, request)
    if request.allow_stale and request.require_consistent:
        raise BadRequestError("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if request.use_cache and request.require_consistent:
        raise BadRequestError("Cannot specify ?cached with ?consistent, conflicting semantics.")


def _apply_defaults(exchange: Exchange, request: QueryOptions) -> None:
    max_stale_ms = exchange.site.http.discovery_max_stale_ms
    if max_stale_ms > 0 and exchange.path.startswith(_DISCOVERY_PATHS):
        request.max_stale_duration = max_stale_ms * _NANOSECONDS_PER_MS
        request.allow_stale = True


def _apply_cache_control(exchange: Exchange, request: QueryOptions) -> None:
    header = exchange.request.headers.get("Cache-Control")
    if not header:
        return
    for directive in header.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name == "must-revalidate":
            request.must_revalidate = True
        elif name in {"max-age", "stale-if-error"}:
            try:
                seconds = parse_uint(value, _MAX_UINT32)
            except UintError:
                raise BadRequestError("Invalid Cache-Control header.") from None
            if name == "stale-if-error":
                request.stale_if_error = seconds * _NANOSECONDS_PER_S
            else:
                request.max_age = seconds * _NANOSECONDS_PER_S
                request.must_revalidate = request.must_revalidate or seconds == 0


def _apply_wait(exchange: Exchange, request: QueryOptions) -> None:
    wait = exchange.query.get("wait")
    if wait:
        try:
            # A negative wait is no wait at all, not a default one.
            request.max_query_time = _bounded_wait(exchange, parse_duration_ns(wait))
        except DurationError:
            raise BadRequestError("Invalid wait time") from None
    index = exchange.query.get("index")
    if index:
        try:
            request.min_query_index = parse_uint(index)
        except UintError:
            raise BadRequestError("Invalid index") from None
        if not wait:
            request.max_query_time = exchange.site.http.default_query_time_ms * _NANOSECONDS_PER_MS


def _bounded_wait(exchange: Exchange, wait_ns: int) -> int:
    return max(1, min(wait_ns, exchange.site.http.max_query_time_ms * _NANOSECONDS_PER_MS)) if wait_ns else 0


def apply_source(exchange: Exchange, request: Any) -> None:
    """`?near`: the node of the datacenter that is asked from which distances are told, `_agent` for this one."""
    near = exchange.query.get("near")
    if near:
        node = exchange.agent.node_name if near == "_agent" else near
        request.source = QuerySource(datacenter=exchange.datacenter(), node=node)


def apply_node_meta(exchange: Exchange, request: Any) -> None:
    """`?node-meta=key:value`, repeated."""
    pairs = exchange.query.all("node-meta")
    if pairs:
        request.node_meta_filters = dict(_split_pair(pair) for pair in pairs)


def _split_pair(pair: str) -> tuple[str, str]:
    key, _, value = pair.partition(":")
    return key, value
