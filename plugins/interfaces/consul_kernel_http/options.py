"""Parameters and headers that all reads share (Consul's API features: consistency, blocking, caching)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp.hdrs import CACHE_CONTROL

from consul_kernel.structs.duration import DurationError, parse_duration_ns
from consul_kernel.structs.query import QueryOptions, QuerySource

from .exchange import Exchange
from .failures import BadRequestError
from .target import EMPTY_QUERY, Query

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


@dataclass(frozen=True, slots=True)
class _ReadOptions:
    """What a query says of a read, remembered with the query: many clients ask the same again and again."""

    filter: str
    allow_stale: bool
    require_consistent: bool
    use_cache: bool
    max_stale_ns: int
    takes_defaults: bool
    """Whether the agent file's defaults apply, since nothing is said of consistency."""
    wait_ns: int | None
    index: int | None
    wait_error: str
    """Told after what may be wrong with the headers."""


def read_options(exchange: Exchange, request: RequestT) -> RequestT:
    """Fill the options of a read from the request; BadRequestError with Consul's text for those that do not parse."""
    query = exchange.query
    request.datacenter = exchange.datacenter()
    request.token = exchange.token()
    control = exchange.request.headers.get(CACHE_CONTROL)
    if query is EMPTY_QUERY:
        _apply_defaults(exchange, request)
        if control:
            _apply_cache_control(control, request)
        return request
    options: _ReadOptions | None = query.read_options
    if options is None:
        options = query.read_options = _parse_options(query)
    request.filter = options.filter
    request.allow_stale = options.allow_stale
    request.require_consistent = options.require_consistent
    request.use_cache = options.use_cache
    request.max_stale_duration = options.max_stale_ns
    if options.takes_defaults:
        _apply_defaults(exchange, request)
    if control:
        _apply_cache_control(control, request)
    if options.wait_error:
        raise BadRequestError(options.wait_error)
    # A negative wait is no wait at all, not a default one.
    if options.wait_ns is not None:
        request.max_query_time = _bounded_wait(exchange, options.wait_ns)
    if options.index is not None:
        request.min_query_index = options.index
        if options.wait_ns is None:
            request.max_query_time = exchange.site.http.default_query_time_ms * _NANOSECONDS_PER_MS
    return request


def _parse_options(query: Query) -> _ReadOptions:
    max_stale_ns = 0
    max_stale = query.get("max_stale")
    if max_stale:
        try:
            max_stale_ns = parse_duration_ns(max_stale)
        except DurationError:
            raise BadRequestError(f"Invalid max_stale value {quoted(max_stale)}") from None
    allow_stale = "stale" in query or max_stale_ns > 0
    require_consistent, use_cache = "consistent" in query, "cached" in query
    if allow_stale and require_consistent:
        raise BadRequestError("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if use_cache and require_consistent:
        raise BadRequestError("Cannot specify ?cached with ?consistent, conflicting semantics.")
    wait_ns, index, wait_error = _parse_wait(query)
    return _ReadOptions(
        filter=query.get("filter"),
        allow_stale=allow_stale,
        require_consistent=require_consistent,
        use_cache=use_cache,
        max_stale_ns=max_stale_ns,
        takes_defaults=not (allow_stale or require_consistent or use_cache or "leader" in query),
        wait_ns=wait_ns,
        index=index,
        wait_error=wait_error,
    )


def _parse_wait(query: Query) -> tuple[int | None, int | None, str]:
    """How long to wait, after which index, and what is wrong with either."""
    wait_ns: int | None = None
    wait, index = query.get("wait"), query.get("index")
    if wait:
        try:
            wait_ns = parse_duration_ns(wait)
        except DurationError:
            return None, None, "Invalid wait time"
    try:
        return wait_ns, parse_uint(index) if index else None, ""
    except UintError:
        return None, None, "Invalid index"


def _apply_defaults(exchange: Exchange, request: QueryOptions) -> None:
    max_stale_ms = exchange.site.http.discovery_max_stale_ms
    if max_stale_ms > 0 and exchange.path.startswith(_DISCOVERY_PATHS):
        request.max_stale_duration = max_stale_ms * _NANOSECONDS_PER_MS
        request.allow_stale = True


def _apply_cache_control(header: str, request: QueryOptions) -> None:
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
