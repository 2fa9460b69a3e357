"""What an entry may say. Every fault is a RequestError with Consul's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.config_kinds.kinds import (
    INGRESS_GATEWAY,
    SERVICE_DEFAULTS,
    SERVICE_INTENTIONS,
    SERVICE_RESOLVER,
    SERVICE_ROUTER,
    SERVICE_SPLITTER,
    TERMINATING_GATEWAY,
)
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.metadata import MAX_KEY_LENGTH, MAX_PAIRS, MAX_VALUE_LENGTH
from consul_kernel.structs.multierror import several

from .gateways import ingress_fault, terminating_fault
from .intentions import intentions_fault
from .resolvers import resolver_fault
from .routers import router_fault
from .splitters import splitter_fault
from .values import WILDCARD, Settings, mapping, number, records, text

NAME_REQUIRED = "Name is required"
_NAMED = frozenset({SERVICE_DEFAULTS, SERVICE_ROUTER, SERVICE_SPLITTER, SERVICE_RESOLVER, SERVICE_INTENTIONS})


def validate(entry: ConfigEntry) -> None:
    """Check an entry in its normal form."""
    if entry.kind in _NAMED and not entry.name:
        raise RequestError(NAME_REQUIRED)
    meta_errors = list(_meta_errors(mapping(entry.settings, "Meta")))
    if entry.kind == SERVICE_DEFAULTS:
        if entry.name == WILDCARD:
            raise RequestError("service-defaults name must be the name of a service, and not a wildcard")
        meta_errors += _upstream_errors(mapping(entry.settings, "UpstreamConfig"))
    if meta_errors:
        raise RequestError(several(meta_errors))
    find_fault = _FAULTS.get(entry.kind)
    fault = find_fault(entry.name, entry.settings) if find_fault is not None else ""
    if fault:
        raise RequestError(fault)


def _meta_errors(meta: dict[str, str]) -> Iterator[str]:
    if len(meta) > MAX_PAIRS:
        yield f"Meta exceeds maximum element count {MAX_PAIRS}"
    for key, value in meta.items():
        if len(key.encode()) > MAX_KEY_LENGTH:
            yield f"Meta key {quote(key)} exceeds maximum length {MAX_KEY_LENGTH}"
        if len((value or "").encode()) > MAX_VALUE_LENGTH:
            yield f"Meta value for key {quote(key)} exceeds maximum length {MAX_VALUE_LENGTH}"


def _upstream_errors(upstreams: Settings) -> Iterator[str]:
    for override in records(upstreams, "Overrides"):
        name = text(override, "Name")
        if not name:
            fault = NAME_REQUIRED
        elif name == WILDCARD:
            fault = "Wildcard name is not supported"
        else:
            fault = _shared_upstream_fault(override)
        if fault:
            yield f"error in upstream override for {name}: {fault}"
    defaults = mapping(upstreams, "Defaults")
    fault = "Name must be empty" if text(defaults, "Name") else _shared_upstream_fault(defaults)
    if fault:
        yield f"error in upstream defaults: {fault}"


def _shared_upstream_fault(upstream: Settings) -> str:
    errors = []
    if number(mapping(upstream, "PassiveHealthCheck"), "Interval") < 0:
        errors.append("passive health check interval cannot be negative")
    limits = mapping(upstream, "Limits")
    for field, words in (
        ("MaxConnections", "max connections"),
        ("MaxPendingRequests", "max pending requests"),
        ("MaxConcurrentRequests", "max concurrent requests"),
    ):
        if number(limits, field) < 0:
            errors.append(f"{words} cannot be negative")
            break
    return several(errors) if errors else ""


_FAULTS: dict[str, Callable[[str, Settings], str]] = {
    SERVICE_ROUTER: router_fault,
    SERVICE_SPLITTER: splitter_fault,
    SERVICE_RESOLVER: resolver_fault,
    INGRESS_GATEWAY: ingress_fault,
    TERMINATING_GATEWAY: terminating_fault,
    SERVICE_INTENTIONS: intentions_fault,
}
