"""Which instances and addresses an answer shows, from the catalog's records alone."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping

from consul_kernel.structs.check import CheckStatus
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.service import Weights

from .naming import IPAddress
from .wire import RecordType

_ADDRESSES_REMEMBERED = 8192
_LAN_IPV4 = "lan_ipv4"
_LAN_IPV6 = "lan_ipv6"
_NODE_MAINTENANCE_ID = "_node_maintenance"
_SERVICE_MAINTENANCE_PREFIX = "_service_maintenance:"


def is_shown(instance: CheckServiceNode, *, only_passing: bool) -> bool:
    """Critical instances never are; those that warn are unless `only_passing`."""
    for check in instance.checks:
        if check.status == CheckStatus.CRITICAL or (only_passing and check.status != CheckStatus.PASSING):
            return False
    return True


def srv_weight(instance: CheckServiceNode) -> int:
    """The weight that goes with the instance's health."""
    weights = instance.service.weights or Weights()
    status = _health(instance)
    if status is CheckStatus.PASSING:
        return weights.passing
    if status is CheckStatus.WARNING:
        return weights.warning
    return 1 if status is None else 0


def _health(instance: CheckServiceNode) -> CheckStatus | None:
    """The worst of the node's and the service's checks; None when one has a status of no known name."""
    worst = CheckStatus.PASSING
    for check in instance.checks:
        if check.service_name not in ("", instance.service.service):
            continue
        if check.check_id == _NODE_MAINTENANCE_ID or check.check_id.startswith(_SERVICE_MAINTENANCE_PREFIX):
            return CheckStatus.MAINTENANCE
        if check.status not in (CheckStatus.PASSING, CheckStatus.WARNING, CheckStatus.CRITICAL):
            return None
        if check.status == CheckStatus.CRITICAL or worst is CheckStatus.PASSING:
            worst = CheckStatus(check.status)
    return worst


@functools.lru_cache(maxsize=_ADDRESSES_REMEMBERED)
def parse_address(text: str) -> IPAddress | None:
    """An IP address; None for a name or nothing."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_address(text: str, address: IPAddress) -> bool:
    """Whether a text is an address. IPv4 has one spelling, so only IPv6 texts need be parsed: nodes are many."""
    if address.version == 4 or ":" not in text:
        return text == str(address)
    return parse_address(text) == address


def choose_address(default: str, lan_ipv6: str, lan_ipv4: str, record_type: int) -> str:
    """The address to show to this type of question: a tagged one of its family goes before the plain one."""
    if lan_ipv6 and record_type != RecordType.A:
        return lan_ipv6
    if lan_ipv4 and record_type != RecordType.AAAA:
        return lan_ipv4
    return default


def node_address(address: str, tagged: Mapping[str, str] | None, record_type: int) -> str:
    """The address of a node to show to a type of question."""
    if not tagged:
        return address
    return choose_address(address, tagged.get(_LAN_IPV6, ""), tagged.get(_LAN_IPV4, ""), record_type)


def service_address(instance: CheckServiceNode, record_type: int) -> str:
    """The address of an instance's own to show to a type of question; "" when it uses its node's."""
    service = instance.service
    if not service.tagged_addresses:
        return service.address
    ipv6 = service.tagged_addresses.get(_LAN_IPV6)
    ipv4 = service.tagged_addresses.get(_LAN_IPV4)
    return choose_address(service.address, ipv6.address if ipv6 else "", ipv4.address if ipv4 else "", record_type)


def accepts_family(address: IPAddress, record_type: int) -> bool:
    """Whether a question of this type is answered with the address: TXT is, as by Consul."""
    own = RecordType.A if address.version == 4 else RecordType.AAAA
    return record_type in (own, RecordType.SRV, RecordType.ANY, RecordType.NS, RecordType.TXT)
