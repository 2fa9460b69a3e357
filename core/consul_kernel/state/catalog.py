"""What is asked of the catalog: nodes, services, instances with their health, and checks.

Every query gives Consul's index for it with the answer, of the last completed batch. Answers are shared between
callers until a batch touches them: nobody changes what a query returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from consul_kernel.structs.check import CheckStatus, HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node, NodeInfo
from consul_kernel.structs.service import NodeService, ServiceNode, Weights

from . import catalog_tables as rows
from .keys import after_prefix, encode_text, fold, pack
from .tables import Reader, known_index, table_index
from .watches import SERVICE, SERVICE_HEALTH, Topic

CACHED_SERVICES = 4096
CACHED_INSTANCES = 65536
NO_WEIGHTS = Weights()

MetaFilters = Mapping[str, str] | None
AnswerT = TypeVar("AnswerT")


def satisfies_meta(meta: Mapping[str, str] | None, filters: Mapping[str, str]) -> bool:
    """Whether every key that is asked for is there with its value."""
    if meta is None:
        return not filters
    return all(meta.get(key) == value for key, value in filters.items())


class Catalog:
    """Reads of the catalog.

    Three bounded caches keep decoded answers: instances with their health, and per service the list of those
    and the list for `Catalog.ServiceNodes`. When one is full, what was read first goes.
    """

    __slots__ = ("_health", "_instance_count", "_instances", "_nodes", "_reader", "_service_nodes", "_services")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._instances: dict[bytes, CheckServiceNode] = {}
        self._health: dict[bytes, list[CheckServiceNode]] = {}
        self._service_nodes: dict[bytes, list[ServiceNode]] = {}
        self._nodes: tuple[int, list[Node]] | None = None
        self._services: tuple[int, dict[str, list[str]]] | None = None
        self._instance_count = (-1, 0)

    # --- nodes ---

    def nodes(self, filters: MetaFilters = None) -> tuple[int, list[Node]]:
        """All nodes by name, those with the metadata asked for."""
        index = table_index(self._reader, rows.NODES)
        if self._nodes is None or self._nodes[0] != index:
            self._nodes = (index, [node for _, node in rows.nodes.scan(self._reader)])
        nodes = self._nodes[1]
        return index, [node for node in nodes if satisfies_meta(node.meta, filters)] if filters else nodes

    def find_node(self, name_or_id: str) -> tuple[bytes, Node] | None:
        """A node by name, or else by an id of which enough is given to mean only one."""
        key = rows.node_key(name_or_id)
        node = rows.nodes.get(self._reader, key)
        if node is None:
            by_id = self._key_by_id(name_or_id)
            if by_id is not None:
                key, node = by_id, rows.nodes.get(self._reader, by_id)
        return None if node is None else (key, node)

    def _key_by_id(self, text: str) -> bytes | None:
        """Consul reads whole octets of a shortened id: an odd last character is dropped, other odd forms match none."""
        text = text[: len(text) & ~1].lower()
        digits = text.replace("-", "")
        if len(digits) < 2 or len(digits) % 2 or text.count("-") > 4:
            return None
        prefix = encode_text(text)
        found = [key for _, key in self._reader.range(rows.NODE_IDS, prefix, after_prefix(prefix))]
        return found[0] if len(found) == 1 else None

    def node_services(self, name_or_id: str) -> tuple[int, Node | None, list[NodeService]]:
        """A node and its services by id; index 0 with no node when it is unknown."""
        found = self.find_node(name_or_id)
        if found is None:
            return 0, None, []
        index = table_index(self._reader, rows.NODES, rows.SERVICES)
        return index, found[1], [service for _, service in rows.services_of_node(self._reader, found[0])]

    def node_dump(self, name: str | None = None) -> tuple[int, list[NodeInfo]]:
        """All nodes by name, or the one of that name, with all their services and checks."""
        if name is None:
            nodes = self.nodes()[1]
        else:
            node = rows.nodes.get(self._reader, rows.node_key(name))
            nodes = [] if node is None else [node]
        return self._dump_index(), [self._node_info(node) for node in nodes]

    def _node_info(self, node: Node) -> NodeInfo:
        key = rows.node_key(node.node)
        return NodeInfo(
            id=node.id,
            node=node.node,
            address=node.address,
            tagged_addresses=node.tagged_addresses,
            meta=node.meta,
            services=[service for _, service in rows.services_of_node(self._reader, key)],
            checks=[check for _, check in rows.checks.scan(self._reader, key)],
        )

    def _dump_index(self) -> int:
        return table_index(self._reader, rows.NODES, rows.SERVICES, rows.CHECKS)

    # --- services ---

    def services(self, filters: MetaFilters = None) -> tuple[int, dict[str, list[str]]]:
        """The names of all services, each with all tags of its instances, in the order of their first sight."""
        index = table_index(self._reader, rows.SERVICES)
        if filters:
            index = max(index, table_index(self._reader, rows.NODES))
            matching = self.nodes(filters)[1]
            return index, _tags_by_name(
                service
                for node in matching
                for _, service in rows.services_of_node(self._reader, rows.node_key(node.node))
            )
        if self._services is None or self._services[0] != index:
            self._services = (index, _tags_by_name(service for _, service in rows.services.scan(self._reader)))
        return self._services

    def instance_count(self) -> int:
        """How many instances all services have together."""
        index = table_index(self._reader, rows.SERVICES)
        if self._instance_count[0] != index:
            self._instance_count = (index, sum(1 for _ in self._reader.range(rows.services.name)))
        return self._instance_count[1]

    def service_nodes(self, service: str) -> tuple[int, list[ServiceNode]]:
        """The instances of a service with their nodes, by node and id."""
        name = fold(service)
        found = self._service_nodes.get(name)
        if found is None:
            found = [_join(instance.node, instance.service) for instance in self._instances_of(name)]
            _keep(self._service_nodes, name, found, CACHED_SERVICES)
        return self._service_index(name, exists=bool(found), with_checks=False), found

    def address_nodes(self, address: str) -> tuple[int, list[ServiceNode]]:
        """The instances that have an address of their own, or else of their node."""
        found = []
        for node in self.nodes()[1]:
            for _, service in rows.services_of_node(self._reader, rows.node_key(node.node)):
                if address == (service.address or node.address):
                    found.append(_join(node, service))
        return table_index(self._reader, rows.NODES, rows.SERVICES), found

    def check_service_nodes(self, service: str) -> tuple[int, list[CheckServiceNode]]:
        """The instances of a service with nodes and checks, the node's checks before the service's."""
        name = fold(service)
        found = self._health.get(name)
        if found is None:
            found = self._instances_of(name)
            _keep(self._health, name, found, CACHED_SERVICES)
        return self._service_index(name, exists=bool(found), with_checks=True), found

    def service_dump(self) -> tuple[int, list[CheckServiceNode]]:
        """The instances of all services with nodes and checks, by node and id."""
        cached = self._instances
        keys = [key for key, _ in self._reader.range(rows.services.name)]
        return self._dump_index(), [cached.get(key) or self._instance(key) for key in keys]

    def absent_service_index(self, service: str, *, with_checks: bool) -> int:
        """The index of an answer without instances, though the service may have some of another kind."""
        return self._service_index(fold(service), exists=False, with_checks=with_checks)

    def _service_index(self, name: bytes, *, exists: bool, with_checks: bool) -> int:
        """A service's own index; for an absent one, that of the last service to vanish.

        Where neither is known: the highest of the tables that the answer is made of.
        """
        if not exists:
            extinction = known_index(self._reader, rows.LAST_EXTINCTION)
            if extinction is not None:
                return extinction
        index = known_index(self._reader, b"service." + name)
        if index is not None:
            return index
        tables = (rows.NODES, rows.SERVICES, rows.CHECKS) if with_checks else (rows.NODES, rows.SERVICES)
        return table_index(self._reader, *tables)

    def _instances_of(self, name: bytes) -> list[CheckServiceNode]:
        keys = list(rows.instances_of(self._reader, name))
        cached = self._instances
        return [cached.get(key) or self._instance(key) for key in keys]

    def _instance(self, key: bytes) -> CheckServiceNode:
        node_key = pack(rows.topic_name(key))
        node = rows.nodes.get(self._reader, node_key)
        service = rows.services.get(self._reader, key)
        if node is None or service is None:
            raise LookupError(f"the catalog's tables disagree about {key!r}")
        checks = [
            check
            for owner in (node_key + pack(""), key)
            for check_id in rows.checks_by_instance.scan(self._reader, owner)
            if (check := rows.checks.get(self._reader, node_key + check_id)) is not None
        ]
        instance = CheckServiceNode(node=node, service=service, checks=checks)
        _keep(self._instances, key, instance, CACHED_INSTANCES)
        return instance

    # --- checks ---

    def checks_in_state(self, state: str, filters: MetaFilters = None) -> tuple[int, list[HealthCheck]]:
        """All checks with a status, or with `any`, by node and id."""
        if state == CheckStatus.ANY:
            found = [check for _, check in rows.checks.scan(self._reader)]
        else:
            found = self._checks_at(rows.checks_by_status.scan(self._reader, pack(state)))
        index = table_index(self._reader, rows.CHECKS)
        if not filters:
            return index, found
        return max(index, table_index(self._reader, rows.NODES)), self._with_node_meta(found, filters)

    def node_checks(self, node: str) -> tuple[int, list[HealthCheck]]:
        """The checks of a node and of its services, by id."""
        found = [check for _, check in rows.checks.scan(self._reader, rows.node_key(node))]
        return table_index(self._reader, rows.CHECKS), found

    def service_checks(self, service: str, filters: MetaFilters = None) -> tuple[int, list[HealthCheck]]:
        """The checks of a service's instances, by node and id."""
        found = self._checks_at(rows.checks_by_service.scan(self._reader, pack(service.lower())))
        if not filters:
            return table_index(self._reader, rows.CHECKS), found
        index = self._service_index(fold(service), exists=True, with_checks=True)
        return index, self._with_node_meta(found, filters)

    def _checks_at(self, keys: Iterable[bytes]) -> list[HealthCheck]:
        return [check for key in list(keys) if (check := rows.checks.get(self._reader, key)) is not None]

    def _with_node_meta(self, found: list[HealthCheck], filters: Mapping[str, str]) -> list[HealthCheck]:
        matching = {node.node.lower() for node in self.nodes(filters)[1]}
        return [check for check in found if check.node.lower() in matching]

    # --- cache ---

    def forget(self, topics: Iterable[Topic], instances: Iterable[bytes]) -> None:
        """Drop from the caches what a batch has touched."""
        for key in instances:
            self._instances.pop(key, None)
        for kind, name in topics:
            if kind == SERVICE_HEALTH:
                self._health.pop(name, None)
            elif kind == SERVICE:
                self._service_nodes.pop(name, None)

    def forget_all(self) -> None:
        """Drop the caches: the state was replaced."""
        self._instances.clear()
        self._health.clear()
        self._service_nodes.clear()
        self._nodes = self._services = None


def _keep(cache: dict[bytes, AnswerT], key: bytes, answer: AnswerT, limit: int) -> None:
    if len(cache) >= limit:
        del cache[next(iter(cache))]
    cache[key] = answer


def _tags_by_name(services: Iterable[NodeService]) -> dict[str, list[str]]:
    tags: dict[str, dict[str, None]] = {}
    for service in services:
        tags.setdefault(service.service, {}).update(dict.fromkeys(service.tags or ()))
    return {name: list(tags[name]) for name in sorted(tags)}


def _join(node: Node, service: NodeService) -> ServiceNode:
    return ServiceNode(
        id=node.id,
        node=node.node,
        address=node.address,
        datacenter=node.datacenter,
        tagged_addresses=node.tagged_addresses,
        node_meta=node.meta,
        service_kind=service.kind,
        service_id=service.id,
        service_name=service.service,
        service_tags=service.tags,
        service_address=service.address,
        service_tagged_addresses=service.tagged_addresses,
        service_weights=service.weights or NO_WEIGHTS,
        service_meta=service.meta,
        service_port=service.port,
        service_socket_path=service.socket_path,
        service_enable_tag_override=service.enable_tag_override,
        service_proxy=service.proxy,
        service_connect=service.connect,
        create_index=service.create_index,
        modify_index=service.modify_index,
    )
