"""What kind of check a definition describes, and whether it makes sense."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus

from .maintenance import is_maintenance

STATUSES = (CheckStatus.PASSING, CheckStatus.WARNING, CheckStatus.CRITICAL)

TTL = "ttl"
ALIAS = "alias"
MAINTENANCE = "maintenance"
"""The kinds that are no plugins, since they are about the agent's own state; called as `Type` shows them."""
BUILT_IN = frozenset({TTL, ALIAS, MAINTENANCE})


def check_kind(definition: CheckDefinition) -> str:
    """The name of the plugin that carries a definition out, or one of BUILT_IN; "" where nothing says one.

    Keys of Consul's count by its order of precedence.
    """
    scripted = bool(definition.script_args)
    traits = (
        (definition.kind, bool(definition.kind)),
        ("http", bool(definition.http)),
        (TTL, definition.ttl > 0),
        ("tcp", bool(definition.tcp)),
        ("grpc", bool(definition.grpc)),
        ("docker_container_id", scripted and bool(definition.docker_container_id)),
        ("args", scripted),
        ("h2ping", bool(definition.h2ping)),
        (ALIAS, bool(definition.alias_node or definition.alias_service)),
        (MAINTENANCE, is_maintenance(definition.id)),
    )
    return next((kind for kind, present in traits if present), "")


def validate_check(definition: CheckDefinition) -> str:
    """The kind of what a user defines. Raises RequestError with Consul's text where it is contradictory or incomplete.

    So maintenance is refused: it is no check that anybody registers.
    """
    fault = _fault(definition)
    if fault:
        raise RequestError(f"Invalid check: {fault}")
    return check_kind(definition)


def _fault(definition: CheckDefinition) -> str:
    periodic = bool(
        definition.script_args
        or definition.http
        or definition.tcp
        or definition.grpc
        or definition.h2ping
        or definition.kind
    )
    alias = bool(definition.alias_node or definition.alias_service)
    if definition.interval > 0 and definition.ttl > 0:
        return "Interval and TTL cannot both be specified"
    if periodic and definition.interval <= 0:
        return "Interval must be > 0 for Script, HTTP, H2PING, or TCP checks"
    if periodic and alias:
        return "Interval cannot be set for Alias checks"
    if alias and definition.ttl > 0:
        return "TTL must be not be set for Alias checks"
    if not periodic and not alias and definition.ttl <= 0:
        return "TTL must be > 0 for TTL checks"
    if definition.output_max_size < 0:
        return "MaxOutputMaxSize must be positive"
    return ""
