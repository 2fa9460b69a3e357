"""Writes to the catalog: what registering and deregistering do to nodes, services and checks.

A registration that changes nothing moves no index and wakes nobody. A change to a node or to a check of its own
counts as a change of each of its services, since health answers show it.
"""

from __future__ import annotations

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import SERF_HEALTH_CHECK_ID, CheckStatus, HealthCheck
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, Weights

from . import catalog_tables as rows
from .coordinates import delete_coordinates
from .keys import encode_text, fold, pack
from .session_commands import MISSING_NODE, end_sessions_of_check, end_sessions_of_node
from .tables import bump_index, remove_index
from .transaction import Transaction
from .watches import CHECK_STATUS, NODE, NODE_CHECKS, SERVICE, SERVICE_CHECKS, SERVICE_HEALTH, TABLE

MISSING_SERVICE = "Missing service registration"
MAX_WEIGHT = 65535


def register(transaction: Transaction, request: RegisterRequest) -> None:
    """Register a node, and with it a service and checks. RequestError when any part is refused."""
    _register_node(transaction, request)
    if request.service is not None:
        try:
            put_service(transaction, request.node, request.service)
        except RequestError as error:
            raise RequestError(f"failed inserting service: {error}") from None
    for check in (*((request.check,) if request.check else ()), *(request.checks or ())):
        if check.node != request.node:
            raise RequestError(f'check node "{check.node}" does not match node "{request.node}"')
        try:
            put_check(transaction, check)
        except RequestError as error:
            raise RequestError(f'failed inserting check: {error} on node "{check.node}"') from None


def deregister(transaction: Transaction, request: DeregisterRequest) -> None:
    """Deregister a service, else a check, else the node with all it has. Nothing happens when it is unknown."""
    if request.service_id:
        delete_service(transaction, rows.instance_key(request.node, request.service_id))
    elif request.check_id:
        delete_check(transaction, rows.check_key(request.node, request.check_id))
    else:
        delete_node(transaction, rows.node_key(request.node))


# --- nodes ---


def _register_node(transaction: Transaction, request: RegisterRequest) -> None:
    if request.skip_node_update and rows.nodes.get(transaction, rows.node_key(request.node)) is not None:
        return
    node = Node(
        id=request.id,
        node=request.node,
        address=request.address,
        datacenter=request.datacenter,
        tagged_addresses=request.tagged_addresses,
        meta=request.node_meta,
    )
    try:
        put_node(transaction, node)
    except RequestError as error:
        raise RequestError(f"failed inserting node: {error}") from None


def put_node(transaction: Transaction, node: Node) -> None:
    """Add or replace a node, which may take over the name of another or give up its own."""
    key = rows.node_key(node.node)
    existing = rows.nodes.get(transaction, key)
    if existing is None or not _is_same_node(existing, node):
        _put_changed_node(transaction, key, node, existing)


def _is_same_node(old: Node, new: Node) -> bool:
    """Equal but for the indexes and the case of the name."""
    return old == replace(new, node=old.node, create_index=old.create_index, modify_index=old.modify_index)


def _put_changed_node(transaction: Transaction, key: bytes, node: Node, existing: Node | None) -> None:
    before = existing
    if node.id:
        renamed_key = transaction.get(rows.NODE_IDS, fold(node.id))
        if renamed_key is None:
            _refuse_taken_name(transaction, node, existing, allow_without_id=True, about=f'"{node.id}"')
        elif renamed_key != key:
            about = f'"{node.id}" ({node.address})'
            _refuse_taken_name(transaction, node, existing, allow_without_id=False, about=about)
            before = rows.nodes.get(transaction, renamed_key)
            delete_node(transaction, renamed_key)
    if existing is not None and existing.id:
        transaction.delete(rows.NODE_IDS, fold(existing.id))
    created = before.create_index if before else transaction.index
    rows.put_node(transaction, replace(node, create_index=created, modify_index=transaction.index))
    bump_index(transaction, rows.NODES)
    transaction.touch(TABLE, rows.NODES)
    transaction.touch(NODE, rows.topic_name(key))
    rows.bump_services_of_node(transaction, key, checks_only=False)


def _refuse_taken_name(
    transaction: Transaction, node: Node, existing: Node | None, *, allow_without_id: bool, about: str
) -> None:
    """A name may be taken over from another id only while the agent that has it is known to be gone."""
    if existing is None or existing.id == node.id or (not existing.id and allow_without_id):
        return
    serf = rows.checks.get(transaction, rows.check_key(existing.node, SERF_HEALTH_CHECK_ID))
    if serf is not None and serf.status != CheckStatus.CRITICAL:
        raise RequestError(
            f"Error while renaming Node ID: {about}: Node name {node.node} is reserved "
            f"by node {existing.id} with name {existing.node} ({existing.address})"
        )


def delete_node(transaction: Transaction, key: bytes) -> None:
    """Remove a node with its services, its checks and where it stands."""
    node = rows.nodes.get(transaction, key)
    if node is None:
        return
    for instance, _ in rows.services_of_node(transaction, key):
        delete_service(transaction, instance)
    for check, _ in list(rows.checks.scan(transaction, key)):
        delete_check(transaction, check)
    delete_coordinates(transaction, node.node)
    end_sessions_of_node(transaction, key)
    rows.nodes.delete(transaction, key)
    if node.id:
        transaction.delete(rows.NODE_IDS, fold(node.id))
    bump_index(transaction, rows.NODES)
    transaction.touch(TABLE, rows.NODES)
    transaction.touch(NODE, rows.topic_name(key))


# --- services ---


def put_service(transaction: Transaction, node: str, service: NodeService) -> None:
    """Add or replace an instance on a node that exists."""
    node_key = rows.node_key(node)
    if rows.nodes.get(transaction, node_key) is None:
        raise RequestError(MISSING_NODE)
    key = rows.instance_key(node, service.id)
    existing = rows.services.get(transaction, key)
    stored = replace(
        service,
        weights=_usable_weights(service.weights),
        create_index=existing.create_index if existing else transaction.index,
        modify_index=existing.modify_index if existing else transaction.index,
    )
    if stored == existing:
        return
    stored.modify_index = transaction.index
    rows.put_service(transaction, node, stored)
    if existing is not None and existing.service.lower() != stored.service.lower():
        rows.services_by_name.discard(transaction, pack(existing.service.lower()) + key)
        _shrink_service(transaction, key, existing.service)
    bump_index(transaction, rows.SERVICES)
    transaction.touch(TABLE, rows.SERVICES)
    transaction.touch(NODE, rows.topic_name(node_key))
    rows.bump_service(transaction, key, stored.service, checks_only=False)


def _usable_weights(weights: Weights | None) -> Weights:
    """The weights as given, or those of an ordinary instance when they make no sense."""
    if weights is not None and 0 < weights.passing <= MAX_WEIGHT and 0 <= weights.warning <= MAX_WEIGHT:
        return weights
    return Weights()


def delete_service(transaction: Transaction, key: bytes) -> None:
    """Remove an instance with its checks."""
    service = rows.services.get(transaction, key)
    if service is None:
        return
    node = rows.topic_name(key)
    for check in list(rows.checks_by_instance.scan(transaction, key)):
        delete_check(transaction, pack(node) + check)
    rows.services.delete(transaction, key)
    rows.services_by_name.discard(transaction, pack(service.service.lower()) + key)
    bump_index(transaction, rows.SERVICES, rows.CHECKS)
    transaction.touch(TABLE, rows.SERVICES)
    transaction.touch(NODE, node)
    _shrink_service(transaction, key, service.service)


def _shrink_service(transaction: Transaction, instance: bytes, service: str) -> None:
    """A service has lost an instance; with its last one it loses its index too."""
    if rows.services_by_name.any_under(transaction, pack(service.lower())):
        rows.bump_service(transaction, instance, service, checks_only=False)
        return
    remove_index(transaction, rows.service_index_name(service))
    bump_index(transaction, rows.LAST_EXTINCTION)
    name = fold(service)
    transaction.touch(SERVICE, name)
    transaction.touch(SERVICE_HEALTH, name)
    transaction.instances.append(instance)


# --- checks ---


def put_check(transaction: Transaction, check: HealthCheck) -> None:
    """Add or replace a check on a node, and a service of it, that exist."""
    node_key = rows.node_key(check.node)
    if rows.nodes.get(transaction, node_key) is None:
        raise RequestError(MISSING_NODE)
    service: NodeService | None = None
    if check.service_id:
        service = rows.services.get(transaction, rows.instance_key(check.node, check.service_id))
        if service is None:
            raise RequestError(MISSING_SERVICE)
    key = rows.check_key(check.node, check.check_id)
    existing = rows.checks.get(transaction, key)
    stored = replace(
        check,
        status=check.status or CheckStatus.CRITICAL.value,
        service_name=service.service if service else check.service_name,
        service_tags=service.tags if service else check.service_tags,
        create_index=existing.create_index if existing else transaction.index,
        modify_index=existing.modify_index if existing else transaction.index,
    )
    if stored == existing:
        return
    if stored.status == CheckStatus.CRITICAL:
        end_sessions_of_check(transaction, key)
    if existing is not None:
        _unlink_check(transaction, key, existing)
        if existing.service_id.lower() != stored.service_id.lower():
            _bump_owner(transaction, existing)
    stored.modify_index = transaction.index
    rows.put_check(transaction, stored)
    _touch_check(transaction, stored)
    _bump_owner(transaction, stored)


def delete_check(transaction: Transaction, key: bytes) -> None:
    """Remove a check."""
    check = rows.checks.get(transaction, key)
    if check is None:
        return
    end_sessions_of_check(transaction, key)
    rows.checks.delete(transaction, key)
    _unlink_check(transaction, key, check)
    _bump_owner(transaction, check)


def _unlink_check(transaction: Transaction, key: bytes, check: HealthCheck) -> None:
    for index, row in rows.check_index_rows(key, check):
        index.discard(transaction, row)
    _touch_check(transaction, check)


def _touch_check(transaction: Transaction, check: HealthCheck) -> None:
    bump_index(transaction, rows.CHECKS)
    transaction.touch(TABLE, rows.CHECKS)
    transaction.touch(NODE_CHECKS, fold(check.node))
    transaction.touch(SERVICE_CHECKS, fold(check.service_name))
    transaction.touch(CHECK_STATUS, encode_text(check.status))


def _bump_owner(transaction: Transaction, check: HealthCheck) -> None:
    """Say that the check's service, or every service of its node, looks different."""
    if not check.service_id:
        rows.bump_services_of_node(transaction, rows.node_key(check.node), checks_only=True)
        return
    key = rows.instance_key(check.node, check.service_id)
    service = rows.services.get(transaction, key)
    if service is not None:
        rows.bump_service(transaction, key, service.service, checks_only=True)
