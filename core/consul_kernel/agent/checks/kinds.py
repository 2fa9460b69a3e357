"""What kind of check a definition describes, and whether it makes sense."""

from __future__ import annotations

from enum import StrEnum

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus

from .maintenance import is_maintenance

STATUSES = (CheckStatus.PASSING, CheckStatus.WARNING, CheckStatus.CRITICAL)


class CheckKind(StrEnum):
    """Consul's names, as the `Type` of a check shows them."""

    HTTP = "http"
    TTL = "ttl"
    TCP = "tcp"
    GRPC = "grpc"
    H2PING = "h2ping"
    DOCKER = "docker"
    SCRIPT = "script"
    ALIAS = "alias"
    MAINTENANCE = "maintenance"


def check_kind(definition: CheckDefinition) -> CheckKind | None:
    """The kind, by Consul's order of precedence; None where nothing says one."""
    scripted = bool(definition.script_args)
    traits = (
        (CheckKind.HTTP, bool(definition.http)),
        (CheckKind.TTL, definition.ttl > 0),
        (CheckKind.TCP, bool(definition.tcp)),
        (CheckKind.GRPC, bool(definition.grpc)),
        (CheckKind.DOCKER, scripted and bool(definition.docker_container_id)),
        (CheckKind.SCRIPT, scripted),
        (CheckKind.H2PING, bool(definition.h2ping)),
        (CheckKind.ALIAS, bool(definition.alias_node or definition.alias_service)),
        (CheckKind.MAINTENANCE, is_maintenance(definition.id)),
    )
    return next((kind for kind, present in traits if present), None)


def validate_check(definition: CheckDefinition) -> CheckKind:
    """The kind of what a user defines. Raises RequestError with Consul's text where it is contradictory or incomplete.

    So maintenance is refused: it is no check that anybody registers.
    """
    fault = _fault(definition)
    if fault:
        raise RequestError(f"Invalid check: {fault}")
    kind = check_kind(definition)
    assert kind is not None
    return kind


def _fault(definition: CheckDefinition) -> str:
    scripted = bool(definition.script_args)
    periodic = scripted or bool(definition.http or definition.tcp or definition.grpc or definition.h2ping)
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
