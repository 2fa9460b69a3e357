"""`dns_answer "asker_zone" {}`: instances in the zone of whoever asks stand first, by subnets that the block names.

It also answers for names that the catalog doesn't have, with addresses from the block.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from consul_kernel.contracts.dns_answer import (
    EVERY_LOOKUP,
    Candidate,
    DnsAnswerContext,
    DnsAnswerPlugin,
    Lookup,
    Tier,
)
from consul_kernel.contracts.plugin import KeyFaultError, PluginConfig
from consul_kernel.hookspecs import hookimpl
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService


class AskerZoneConfig(PluginConfig, frozen=True, kw_only=True):
    """The keys of the block."""

    subnets: dict[str, str] = {}
    """The zone of each subnet."""
    records: dict[str, str] = {}
    """Addresses of services that have no instance."""

    def __post_init__(self) -> None:
        for subnet in self.subnets:
            try:
                ipaddress.ip_network(subnet)
            except ValueError as error:
                raise KeyFaultError(f"subnets.{subnet}", str(error)) from None


class AskerZone:
    """Two tiers by the asker's address."""

    def __init__(self, context: DnsAnswerContext, config: AskerZoneConfig) -> None:
        self._zones = [(ipaddress.ip_network(subnet), zone) for subnet, zone in config.subnets.items()]
        self._records = config.records

    def arrange(self, lookup: Lookup, candidates: Sequence[Candidate]) -> Sequence[Tier]:
        """Those near the asker first; what the block says where there is nobody."""
        if not candidates and lookup.service in self._records:
            node = Node(node="static", address=self._records[lookup.service], datacenter=lookup.datacenter)
            return [[Candidate(CheckServiceNode(node=node, service=NodeService(service=lookup.service), checks=[]))]]
        zone = self._zone_of(lookup.asker)
        near = [one for one in candidates if zone is not None and (one.instance.node.meta or {}).get("zone") == zone]
        return [near, [one for one in candidates if one not in near]]

    def _zone_of(self, asker: str) -> str | None:
        try:
            address = ipaddress.ip_address(asker)
        except ValueError:
            return None
        return next((zone for subnet, zone in self._zones if address in subnet), None)


PLUGIN = DnsAnswerPlugin(
    name="asker_zone",
    api=1,
    create=AskerZone,
    config_type=AskerZoneConfig,
    capabilities=frozenset({EVERY_LOOKUP}),
    summary="instances in the asker's zone stand first",
)


@hookimpl
def consul_kernel_register_dns_answer() -> DnsAnswerPlugin:
    """Offer this part."""
    return PLUGIN
