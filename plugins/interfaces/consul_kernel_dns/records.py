"""From the catalog's records to DNS records (the rules are those of Consul's agent/dns.go)."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Sequence

from consul_kernel.contracts.dns_answer import Candidate, Tier
from consul_kernel.structs.duration import SECOND, DurationError, parse_duration_ns
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node
from consul_kernel.structs.prepared_query import PreparedQueryExecuteResponse
from consul_kernel.structs.settings import DnsSettings

from .naming import AddressName, IPAddress, ServiceRead, split_domain
from .pool import Group, Pool
from .query import Query
from .selection import accepts_family, is_shown, node_address, parse_address, service_address, srv_weight
from .tiers import TieredGroups
from .wire import (
    Record,
    RecordType,
    UnpackableNameError,
    address_record,
    name_record,
    pack_text_name,
    soa_record,
    srv_record,
    txt_record,
)

NODE_TYPES = frozenset((RecordType.A, RecordType.AAAA, RecordType.TXT, RecordType.ANY))
MAX_NAME_SERVERS = 3
_SRV_PRIORITY = 1
_MAX_TTL_S = (1 << 31) - 1
_LITERAL_TEXT_PREFIX = "rfc1035-"
_NOT_A_HOST_NAME = re.compile(r"[^A-Za-z0-9\-]")


def service_ttl(ttls: dict[str, int], service: str) -> int:
    """Seconds for a service: its own, else the longest `prefix*`, of which `*` is the shortest, else 0."""
    exact = ttls.get(service)
    if exact is not None:
        return exact
    best, ttl_s = -1, 0
    for pattern, seconds in ttls.items():
        prefix = pattern.removesuffix("*")
        if prefix != pattern and service.startswith(prefix) and len(prefix) > best:
            best, ttl_s = len(prefix), seconds
    return ttl_s


def encode_attribute(key: str, value: str) -> str:
    """`key=value` as RFC 1464 quotes it: backquotes guard `=`, backquotes, and spaces at the key's ends."""
    key = key.replace("`", "``").replace("=", "`=")
    inner = key.strip(" ")
    leading = len(key) - len(key.lstrip(" "))
    trailing = len(key) - len(key.rstrip(" ")) if inner else 0
    return "` " * leading + inner + "` " * trailing + "=" + value.replace("`", "``")


class RecordBuilder:
    """Builds records under the agent's own domain. `can_resolve` says whether a name leads anywhere from here."""

    def __init__(self, settings: DnsSettings, *, can_resolve: Callable[[str], bool]) -> None:
        self._settings = settings
        self._can_resolve = can_resolve
        self._domain = ".".join(split_domain(settings.domain))
        self.domain_name = pack_text_name(self._domain)
        self._server_name = pack_text_name(f"ns.{self._domain}")
        self._mailbox_name = pack_text_name(f"hostmaster.{self._domain}")

    # --- the zone itself ---

    def soa(self) -> Record:
        """The zone's SOA; its serial number is the time."""
        soa = self._settings.soa
        return soa_record(
            self.domain_name,
            soa.min_ttl_s,
            server=self._server_name,
            mailbox=self._mailbox_name,
            numbers=(int(time.time()), soa.refresh_s, soa.retry_s, soa.expire_s, soa.min_ttl_s),
        )

    def name_servers(self, instances: Sequence[CheckServiceNode]) -> Pool:
        """NS records with glue, from the instances of the servers' own service."""
        groups = []
        for instance in self.shown(instances):
            node = instance.node
            if _NOT_A_HOST_NAME.search(node.node):
                continue
            target = self._node_name(node.node.lower(), node.datacenter)
            if target is None:
                continue
            ttl_s = self._settings.node_ttl_s
            glue = self._node_addresses(target, node, RecordType.ANY)
            groups.append(Group((name_record(self.domain_name, RecordType.NS, ttl_s, target),), glue.answers))
        return Pool(tuple(groups), limit=MAX_NAME_SERVERS)

    # --- nodes and addresses ---

    def node(self, query: Query, node: Node) -> Pool:
        """Addresses and metadata of a node."""
        found = Group(()) if query.type == RecordType.TXT else self._node_addresses(query.name, node, query.type)
        texts: tuple[Record, ...] = ()
        if self._settings.node_meta_txt or query.type in (RecordType.TXT, RecordType.ANY):
            texts = self._metadata(query.name, node, self._settings.node_ttl_s)
        if query.type in (RecordType.TXT, RecordType.ANY):
            return Pool((Group(found.answers + texts, (), found.chase),))
        return Pool((Group(found.answers, texts, found.chase),))

    def spelled_address(self, query: Query, spelled: AddressName) -> tuple[Record, ...]:
        """The address that a name under `addr` spells out, whatever type was asked for."""
        if spelled.address is None:
            return ()
        owner = query.name.lower()
        return (address_record(owner, spelled.address, self._settings.node_ttl_s),)

    def pointer_to_node(self, query: Query, node: Node, datacenter: str) -> Record | None:
        """PTR to a node; None for a node that DNS cannot name."""
        return self._pointer(query, f"{node.node}.node.{datacenter}.{self._domain}")

    def pointer_to_service(self, query: Query, service: str) -> Record | None:
        """PTR to a service; None for a service that DNS cannot name."""
        return self._pointer(query, f"{service}.service.{self._domain}")

    def _pointer(self, query: Query, name: str) -> Record | None:
        target = _pack_or_none(name)
        return None if target is None else name_record(query.name, RecordType.PTR, 0, target)

    def _node_addresses(self, owner: bytes, node: Node, record_type: int) -> Group:
        text = node_address(node.address, node.tagged_addresses, record_type)
        ttl_s = self._settings.node_ttl_s
        address = parse_address(text)
        if address is not None:
            return Group((address_record(owner, address, ttl_s),) if accepts_family(address, record_type) else ())
        return self._alias(owner, node.address, ttl_s)

    def _alias(self, owner: bytes, name: str, ttl_s: int) -> Group:
        """CNAME to a name, and the name to look up if that leads anywhere."""
        target = _pack_or_none(name)
        if target is None or not name.strip("."):
            return Group(())
        return Group((name_record(owner, RecordType.CNAME, ttl_s, target),), (), self._chase(name))

    def _chase(self, name: str) -> str:
        return name if self._can_resolve(name) else ""

    def _metadata(self, owner: bytes, node: Node, ttl_s: int) -> tuple[Record, ...]:
        """One TXT record for each item of the node's metadata."""
        records = []
        for key, value in (node.meta or {}).items():
            text = value if key.lower().startswith(_LITERAL_TEXT_PREFIX) else encode_attribute(key, value)
            records.append(txt_record(owner, ttl_s, text.encode(errors="replace")))
        return tuple(records)

    def _node_name(self, node: str, datacenter: str) -> bytes | None:
        return _pack_or_none(f"{node}.node.{datacenter}.{self._domain}")

    # --- services ---

    def shown(self, instances: Sequence[CheckServiceNode]) -> list[CheckServiceNode]:
        """Those that are well enough to be shown."""
        only_passing = self._settings.only_passing
        return [instance for instance in instances if is_shown(instance, only_passing=only_passing)]

    def service(self, query: Query, read: ServiceRead, tiers: Sequence[Tier]) -> Pool | None:
        """Addresses or SRV records of a service; None when no instance is to be shown."""
        if not tiers:
            return None
        return self._instances(query, tiers, read.datacenter, service_ttl(self._settings.service_ttl_s, read.service))

    def prepared(self, query: Query, found: PreparedQueryExecuteResponse, tiers: Sequence[Tier]) -> Pool | None:
        """The same of what a prepared query found, all of it in its order; None when that is nothing.

        How long it holds is for the query to say.
        """
        if not tiers:
            return None
        ttl_s = service_ttl(self._settings.service_ttl_s, found.service)
        if found.dns.ttl:
            ttl_s = _seconds(found.dns.ttl)
        return dataclasses.replace(self._instances(query, tiers, found.datacenter, ttl_s), keeps_order=True)

    def _instances(self, query: Query, tiers: Sequence[Tier], datacenter: str, ttl_s: int) -> Pool:
        if query.type == RecordType.SRV:
            return self._srv_pool(query, datacenter, tiers, ttl_s)
        return self._address_pool(query, tiers, ttl_s)

    def _address_pool(self, query: Query, tiers: Sequence[Tier], ttl_s: int) -> Pool:
        """Instances on one address appear once, with the weight of all of them."""
        groups, aliases = TieredGroups(), TieredGroups()
        for tier, candidate in _numbered(tiers):
            place = _place(candidate.instance, query)
            if isinstance(place, str):
                group = self._alias(query.name, place, ttl_s)
                if group.answers:
                    aliases.add(group.answers[0].key(), group, tier, candidate.weight)
            elif accepts_family(place, query.type):
                record = address_record(query.name, place, ttl_s)
                groups.add(record.key(), Group((record,)), tier, candidate.weight)
        decided = groups if len(groups) else aliases
        limit = max(self._settings.a_record_limit, 0)
        return Pool(groups.groups(), aliases.groups(), limit, tiers=decided.tiers())

    def _srv_pool(self, query: Query, datacenter: str, tiers: Sequence[Tier], ttl_s: int) -> Pool:
        """Instances with the same node, address and port appear once."""
        groups = TieredGroups()
        for tier, candidate in _numbered(tiers):
            instance = candidate.instance
            service = instance.service
            key = (instance.node.node, service_address(instance, RecordType.SRV), service.port)
            if key not in groups:
                group = self._srv_group(query, datacenter, instance, ttl_s)
                if group is not None:
                    groups.add(key, group, tier, candidate.weight)
        return Pool(groups.groups(), tiers=groups.tiers())

    def _srv_group(self, query: Query, datacenter: str, instance: CheckServiceNode, ttl_s: int) -> Group | None:
        node = instance.node
        place = _place(instance, query)
        node_name = self._node_name(node.node, datacenter)
        target, extras, chase = self._srv_target(place, node_name, instance, datacenter, ttl_s)
        if target is None:
            return None
        record = srv_record(
            query.name,
            ttl_s,
            priority=_SRV_PRIORITY,
            weight=srv_weight(instance),
            port=instance.service.port,
            target=target,
        )
        if self._settings.node_meta_txt and node_name is not None:
            extras += self._metadata(node_name, node, ttl_s)
        return Group((record,), extras, chase)

    def _srv_target(
        self,
        place: IPAddress | str,
        node_name: bytes | None,
        instance: CheckServiceNode,
        datacenter: str,
        ttl_s: int,
    ) -> tuple[bytes | None, tuple[Record, ...], str]:
        """The target's name, its address records, and the name to look up for more."""
        if isinstance(place, str):
            return (_pack_or_none(place) if place.strip(".") else None), (), self._chase(place)
        uses_node = not service_address(instance, RecordType.SRV) and parse_address(instance.node.address) == place
        if uses_node:
            target = node_name
        else:
            target = _pack_or_none(f"{place.packed.hex()}.addr.{datacenter}.{self._domain}")
        if target is None:
            return None, (), ""
        return target, (address_record(target, place, ttl_s),), ""


def _numbered(tiers: Sequence[Tier]) -> Iterator[tuple[int, Candidate]]:
    return ((number, candidate) for number, tier in enumerate(tiers) for candidate in tier)


def _place(instance: CheckServiceNode, query: Query) -> IPAddress | str:
    """Where an instance is: its own address, else its node's, as an IP address or a name.

    An instance whose address is the very name that was asked for is at its node's address.
    """
    own = service_address(instance, query.type)
    of_node = node_address(instance.node.address, instance.node.tagged_addresses, query.type)
    if not own:
        return parse_address(of_node) or of_node
    address = parse_address(own)
    if address is None and split_domain(own) == query.labels:
        return parse_address(of_node) or own
    return address or own


def _seconds(ttl: str) -> int:
    """Whole seconds of a duration; 0 for a text that is none, which no query should have."""
    try:
        return min(max(parse_duration_ns(ttl) // SECOND, 0), _MAX_TTL_S)
    except DurationError:
        return 0


def _pack_or_none(name: str) -> bytes | None:
    try:
        return pack_text_name(name)
    except UnpackableNameError:
        return None
