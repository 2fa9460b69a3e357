"""What a registration must be like before it goes into the log, and what it is completed with."""

from __future__ import annotations

import ipaddress
import re

from msgspec.structs import replace

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.check import HealthCheck, HealthCheckDefinition
from consul_kernel.structs.service import NodeService

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_UUID_CHARACTERS = 36


def require_node(name: str, node_id: str = "") -> None:
    """RpcError where a node has no name, or an id that is none."""
    if not name:
        raise RpcError("Must provide node")
    if node_id and not _UUID.fullmatch(node_id):
        wrong = "uuid string is wrong length" if len(node_id) != _UUID_CHARACTERS else "uuid is improperly formatted"
        raise RpcError(f"Bad node ID: {wrong}")


def prepare_service(service: NodeService) -> NodeService:
    """The service as it goes into the log. RpcError when it is wrong in itself."""
    service_id = service.id or service.service
    if service_id and not service.service:
        raise RpcError("Must provide service name with ID")
    if not service_id:
        raise RpcError("Must provide service name")
    if _is_any_address(service.address):
        raise RpcError("Invalid service address")
    return replace(service, id=service_id)


def _is_any_address(address: str) -> bool:
    """Whether it is 0.0.0.0 or ::, where nobody can be reached."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_unspecified
    except ValueError:
        return False


def prepare_check(check: HealthCheck, node: str) -> HealthCheck:
    """The check as it goes into the log."""
    check_id = check.check_id or check.name
    if not check_id:
        raise RpcError("Must provide check ID or name")
    kind = check.type or _check_type(check.definition)
    return replace(check, node=check.node or node, check_id=check_id, type=kind)


def _check_type(definition: HealthCheckDefinition) -> str:
    """What kind of check is defined, "" where nothing says so."""
    kinds = (
        ("grpc", definition.grpc),
        ("http", definition.http),
        ("ttl", definition.ttl > 0),
        ("tcp", definition.tcp),
        ("alias", definition.alias_node or definition.alias_service),
        ("docker", definition.docker_container_id and definition.script_args),
        ("script", definition.script_args),
        ("h2ping", definition.h2ping),
    )
    return next((kind for kind, is_defined in kinds if is_defined), "")
