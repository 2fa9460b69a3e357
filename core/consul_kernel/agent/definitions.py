"""From what a user defines to what the catalog keeps: services and checks, validated as Consul does."""

from __future__ import annotations

import ipaddress
import math

import msgspec

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck
from consul_kernel.structs.duration import format_duration_ns
from consul_kernel.structs.metadata import metadata_fault
from consul_kernel.structs.service import NodeService, ServiceAddress, ServiceConnect, ServiceDefinition, Weights

from .checks.kinds import STATUSES, validate_check

DEREGISTER_AFTER_MIN_S = 60.0
"""Consul's floor of `deregister_critical_service_after`."""


def node_service(definition: ServiceDefinition) -> NodeService:
    """The catalog's record of a service definition. Raises RequestError with Consul's text."""
    if not definition.name:
        raise RequestError("Missing service name")
    if _is_unspecified(definition.address):
        raise RequestError("Invalid service address")
    fault = metadata_fault(definition.meta or {})
    if fault:
        raise RequestError(f"Invalid Service Meta: {fault}")
    weights = definition.weights or Weights()
    _validate_weights(weights)
    connect = definition.connect or {}
    return NodeService(
        kind=definition.kind,
        id=definition.id or definition.name,
        service=definition.name,
        tags=list(definition.tags or []),
        address=definition.address,
        tagged_addresses=_tagged_addresses(definition),
        meta=definition.meta or None,
        port=definition.port,
        socket_path=definition.socket_path,
        weights=weights,
        enable_tag_override=definition.enable_tag_override,
        proxy=definition.proxy,
        connect=ServiceConnect(native=bool(connect.get("Native") or connect.get("native"))),
    )


def service_checks(definition: ServiceDefinition) -> list[CheckDefinition]:
    """The service's checks with their ids and names filled in. Raises RequestError with Consul's text."""
    given = [check for check in (definition.check, *(definition.checks or [])) if check is not None]
    wanted = [check for check in given if check != CheckDefinition()]
    service_id = definition.id or definition.name
    checks = []
    for number, check in enumerate(wanted, start=1):
        validate_check(check)
        if check.status and check.status not in STATUSES:
            raise RequestError("Status for checks must 'passing', 'warning', 'critical'")
        default_id = f"service:{service_id}" if len(wanted) == 1 else f"service:{service_id}:{number}"
        checks.append(
            msgspec.structs.replace(
                check,
                id=check.check_id or check.id or default_id,
                name=check.name or f"Service '{definition.name}' check",
                service_id=service_id,
            )
        )
    return checks


def node_check(definition: CheckDefinition) -> CheckDefinition:
    """A check that was defined by itself, with its id filled in. Raises RequestError with Consul's text."""
    if not definition.name:
        raise RequestError("Missing check name")
    if definition.status and definition.status not in STATUSES:
        raise RequestError("Bad check status")
    validate_check(definition)
    return msgspec.structs.replace(definition, id=definition.check_id or definition.id or definition.name)


def health_check(
    definition: CheckDefinition, *, node: str, service: NodeService | None, standalone: bool, shown_type: str
) -> HealthCheck:
    """The catalog's record of a check that starts. Only checks defined by themselves show their times."""
    return HealthCheck(
        node=node,
        check_id=definition.id,
        name=definition.name,
        status=definition.status or CheckStatus.CRITICAL,
        notes=definition.notes,
        service_id=definition.service_id,
        service_name=service.service if service else "",
        service_tags=list(service.tags or []) if service else [],
        type=shown_type,
        interval=format_duration_ns(definition.interval) if standalone else "",
        timeout=format_duration_ns(definition.timeout) if standalone else "",
    )


def deregister_after_s(definition: CheckDefinition) -> float:
    """How long a service may be critical before it is taken out; never, where the definition does not say."""
    after_s = definition.deregister_critical_service_after / 1e9
    return max(after_s, DEREGISTER_AFTER_MIN_S) if after_s > 0 else math.inf


def _tagged_addresses(definition: ServiceDefinition) -> dict[str, ServiceAddress] | None:
    """The given ones, and the service's own address for the LAN and the WAN where those are not given."""
    try:
        version = ipaddress.ip_address(definition.address).version
    except ValueError:
        return definition.tagged_addresses
    own = ServiceAddress(address=definition.address, port=definition.port)
    return {f"lan_ipv{version}": own, f"wan_ipv{version}": own, **(definition.tagged_addresses or {})}


def _is_unspecified(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False


def _validate_weights(weights: Weights) -> None:
    if weights.passing < 1:
        raise RequestError("Invalid Weights: Passing must be greater than 0")
    if weights.warning < 0:
        raise RequestError("Invalid Weights: Warning must be greater or equal than 0")
    if weights.passing > 65535 or weights.warning > 65535:
        raise RequestError("Invalid Weights: DNS Weight must be between 0 and 65535")
