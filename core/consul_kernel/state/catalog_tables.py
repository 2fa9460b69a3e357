"""The catalog's rows: nodes, services and checks with the keys that find them.

Names and ids are looked up without regard to case, as Consul does; rows keep the case that they were given.
"""

from __future__ import annotations

from collections.abc import Iterator

from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService

from .keys import fold, pack, unpack
from .tables import KeySet, Reader, Table, Writer, bump_index
from .transaction import Transaction
from .watches import SERVICE, SERVICE_HEALTH

NODES = b"nodes"
SERVICES = b"services"
CHECKS = b"checks"
LAST_EXTINCTION = b"service_last_extinction"
"""Index at which a service last lost its last instance."""

nodes: Table[Node] = Table("nodes", Node)
"""By (node)."""
NODE_IDS = "nodes.id"
"""Node id, as lower-case text, to the key in `nodes`."""
services: Table[NodeService] = Table("services", NodeService)
"""By (node, service id)."""
services_by_name = KeySet("services.name")
"""By (service name) + key in `services`."""
checks: Table[HealthCheck] = Table("checks", HealthCheck)
"""By (node, check id)."""
checks_by_instance = KeySet("checks.instance")
"""By (node, service id or "") + (check id): a node's own checks apart from its services'."""
checks_by_service = KeySet("checks.service")
"""By (service name) + key in `checks`."""
checks_by_status = KeySet("checks.status")
"""By (status) + key in `checks`."""


def node_key(name: str) -> bytes:
    """Key of a node, and prefix of what lies under it in the other tables."""
    return pack(name.lower())


def instance_key(node: str, service_id: str) -> bytes:
    """Key of a service instance; `service_id` "" stands for the node itself in `checks_by_instance`."""
    return pack(node.lower(), service_id.lower())


def check_key(node: str, check_id: str) -> bytes:
    """Key of a check."""
    return pack(node.lower(), check_id.lower())


def service_index_name(service: str) -> bytes:
    """Name of a service's own index: the last change to its instances, their nodes or their checks."""
    return b"service." + fold(service)


def topic_name(key: bytes) -> bytes:
    """The first component of a key: how topics name nodes and services."""
    return unpack(key)[0]


def instances_of(reader: Reader, name: bytes) -> Iterator[bytes]:
    """Keys in `services` of the instances of a service, by its lower-case name."""
    return services_by_name.scan(reader, pack(name))


def services_of_node(reader: Reader, node: bytes) -> list[tuple[bytes, NodeService]]:
    """Keys and records of a node's services, by id."""
    return list(services.scan(reader, node))


def put_node(writer: Writer, node: Node) -> None:
    """Add a node with the row that finds it by id."""
    key = node_key(node.node)
    nodes.put(writer, key, node)
    if node.id:
        writer.put(NODE_IDS, fold(node.id), key)


def put_service(writer: Writer, node: str, service: NodeService) -> None:
    """Add an instance with the row that finds it by name."""
    key = instance_key(node, service.id)
    services.put(writer, key, service)
    services_by_name.add(writer, pack(service.service.lower()) + key)


def put_check(writer: Writer, check: HealthCheck) -> None:
    """Add a check with the rows that find it."""
    key = check_key(check.node, check.check_id)
    checks.put(writer, key, check)
    for index, row in check_index_rows(key, check):
        index.add(writer, row)


def check_index_rows(key: bytes, check: HealthCheck) -> tuple[tuple[KeySet, bytes], ...]:
    """Where a check stands by instance, by service name and by status."""
    instance = instance_key(check.node, check.service_id) + pack(check.check_id.lower())
    return (
        (checks_by_instance, instance),
        (checks_by_service, pack(check.service_name.lower()) + key),
        (checks_by_status, pack(check.status) + key),
    )


def bump_service(transaction: Transaction, instance: bytes, service: str, *, checks_only: bool) -> None:
    """Say that an instance, its node, or (`checks_only`) a check of either has changed."""
    bump_index(transaction, service_index_name(service))
    name = fold(service)
    transaction.touch(SERVICE_HEALTH, name)
    if not checks_only:
        transaction.touch(SERVICE, name)
    transaction.instances.append(instance)


def bump_services_of_node(transaction: Transaction, node: bytes, *, checks_only: bool) -> None:
    """Say that a node, or (`checks_only`) a check of its own, has changed: it shows in all its services."""
    for instance, service in services_of_node(transaction, node):
        bump_service(transaction, instance, service.service, checks_only=checks_only)
