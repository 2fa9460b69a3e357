"""What a name asks for: the forms of https://developer.hashicorp.com/consul/docs/discovery/dns."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum, auto

from .wire import RecordType

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_KINDS = frozenset(("service", "node", "addr", "query", "connect", "ingress"))
_IPV4_HEX_DIGITS = (8, 9)
_IPV6_HEX_DIGITS = (32, 33)


@dataclass(frozen=True, slots=True)
class ServiceRead:
    """Instances of a service, with a tag unless `tag` is empty."""

    datacenter: str
    service: str
    tag: str = ""


@dataclass(frozen=True, slots=True)
class QueryName:
    """A prepared query, by its id or by a name."""

    datacenter: str
    name: str


@dataclass(frozen=True, slots=True)
class NodeRead:
    """One node."""

    datacenter: str
    node: str


@dataclass(frozen=True, slots=True)
class AddressName:
    """An address that its name spells out; None when it spells none of a known length."""

    address: IPAddress | None


class Fixed(Enum):
    """Names that need no read of the catalog, or need one that the name does not choose."""

    NO_SUCH_NAME = auto()
    ZONE_SOA = auto()
    ZONE_NS = auto()
    ZONE_TRANSFER = auto()
    REVERSE = auto()
    OUTSIDE = auto()


Meaning = ServiceRead | QueryName | NodeRead | AddressName | Fixed


def split_domain(domain: str) -> tuple[str, ...]:
    """Lower-case labels of a dotted name."""
    return tuple(label for label in domain.lower().split(".") if label)


class Zones:
    """The agent's own domains and what names mean within them."""

    def __init__(self, domain: str, alt_domain: str, datacenter: str) -> None:
        domains = [split_domain(name) for name in (domain, alt_domain) if split_domain(name)]
        # The longer one first: one domain may lie within the other.
        self._domains = sorted(domains, key=len, reverse=True)
        self._datacenter = datacenter

    def labels_inside(self, labels: tuple[str, ...]) -> tuple[str, ...] | None:
        """The labels in front of the agent's domain; None for a name outside it."""
        for domain in self._domains:
            if labels[-len(domain) :] == domain:
                return labels[: -len(domain)]
        return None

    def meaning(self, labels: tuple[str, ...], record_type: int, *, has_recursors: bool = False) -> Meaning:
        """What a question asks for."""
        inside = self.labels_inside(labels)
        if inside is None:
            return Fixed.REVERSE if labels[-1:] == ("arpa",) else Fixed.OUTSIDE
        # DS records belong to the parent of a zone (RFC 4035 section 3.1.4.1), which only a recursor knows.
        if record_type == RecordType.DS and has_recursors:
            return Fixed.OUTSIDE
        if record_type == RecordType.SOA:
            return Fixed.ZONE_SOA
        if record_type == RecordType.NS:
            return Fixed.ZONE_NS
        if record_type == RecordType.AXFR:
            return Fixed.ZONE_TRANSFER
        return self._meaning_inside(inside, record_type)

    def _meaning_inside(self, labels: tuple[str, ...], record_type: int) -> Meaning:
        for at in range(len(labels) - 1, -1, -1):
            label = labels[at]
            if label in _KINDS:
                return self._meaning_of_kind(label, labels[:at], labels[at + 1 :])
            # RFC 2782 names may leave the label `service` out.
            if record_type == RecordType.SRV and label.startswith("_"):
                return self._meaning_of_kind("service", labels[: at + 1], labels[at + 1 :])
        return Fixed.NO_SUCH_NAME

    def _meaning_of_kind(self, kind: str, front: tuple[str, ...], back: tuple[str, ...]) -> Meaning:
        if kind == "addr":
            return _spelled_address(front)
        if not front or len(back) > 1:
            return Fixed.NO_SUCH_NAME
        datacenter = back[0] if back else self._datacenter
        if kind == "node":
            return NodeRead(datacenter, ".".join(front))
        if kind == "service":
            return _service(datacenter, front)
        if kind == "query":
            return QueryName(datacenter, ".".join(front))
        # The mesh: nothing of the kind can exist here.
        return Fixed.NO_SUCH_NAME


def _service(datacenter: str, front: tuple[str, ...]) -> ServiceRead:
    if len(front) == 2 and front[0].startswith("_") and front[1].startswith("_"):
        tag = front[1][1:]
        return ServiceRead(datacenter, front[0][1:], "" if tag == "tcp" else tag)
    return ServiceRead(datacenter, front[-1], ".".join(front[:-1]))


def _spelled_address(front: tuple[str, ...]) -> Meaning:
    """`0a000001` and the like: eight hexadecimal digits for IPv4, thirty-two for IPv6."""
    if len(front) != 1:
        return Fixed.NO_SUCH_NAME
    digits = front[0]
    if len(digits) not in _IPV4_HEX_DIGITS + _IPV6_HEX_DIGITS:
        return AddressName(None)
    try:
        return AddressName(ipaddress.ip_address(bytes.fromhex(digits)))
    except ValueError:
        return Fixed.NO_SUCH_NAME


def reversed_address(labels: tuple[str, ...]) -> IPAddress | None:
    """The address that a name under `in-addr.arpa` or `ip6.arpa` stands for; None when it is not a whole one."""
    try:
        if labels[-2:] == ("in-addr", "arpa") and len(labels) == 6:
            return ipaddress.IPv4Address(".".join(reversed(labels[:-2])))
        if labels[-2:] == ("ip6", "arpa") and len(labels) == 34 and all(len(label) == 1 for label in labels[:-2]):
            return ipaddress.IPv6Address(bytes.fromhex("".join(reversed(labels[:-2]))))
    except ValueError:
        return None
    return None
