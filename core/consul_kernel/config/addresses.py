"""This host's addresses, and the go-sockaddr templates that choose among them.

`{{ GetPrivateIP }}`, `{{ GetInterfaceIP "eth0" }}` and the usual pipelines are evaluated; the rest of that language is
refused with a word on what is there. (hashicorp/go-sockaddr, template/doc.go; Consul: lib/ipaddr.)
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_SHARED_NETWORKS_RFC = {"1918": _PRIVATE[:3], "6598": _PRIVATE[3:4], "4193": _PRIVATE[4:]}


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of one network interface."""

    interface: str
    ip: IpAddress

    @property
    def is_private(self) -> bool:
        """Whether it's of a network for private use (RFC 1918, 6598, 4193)."""
        return any(self.ip in block for block in _PRIVATE if block.version == self.ip.version)

    @property
    def is_public(self) -> bool:
        """Whether it may be reached from anywhere."""
        return self.ip.is_global and not self.ip.is_multicast


ListAddresses = Callable[[], Sequence[InterfaceAddress]]


def host_addresses() -> Sequence[InterfaceAddress]:
    """Every address of this host in the kernel's order, the one that faces the default route first."""
    found = [*_ipv4_addresses(), *_ipv6_addresses()]
    default = _default_route_ip()
    if default is not None:
        found.sort(key=lambda item: item.ip != default)
        if not any(item.ip == default for item in found):
            found.insert(0, InterfaceAddress("", default))
    return found


def _default_route_ip() -> IpAddress | None:
    """The address from which packets to elsewhere would leave; none is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return ipaddress.ip_address(probe.getsockname()[0])
        except OSError:
            return None


_SIOCGIFCONF = 0x8912
_IFREQ_BYTES = 40 if struct.calcsize("P") == 8 else 32
_MAX_ADDRESSES = 512


def _ipv4_addresses() -> Iterator[InterfaceAddress]:
    """By the SIOCGIFCONF call where Linux has it, else by resolving the host's own name."""
    if sys.platform != "linux":
        yield from _resolved_addresses()
        return
    buffer = array.array("B", bytes(_IFREQ_BYTES * _MAX_ADDRESSES))
    memory, length = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, struct.pack("iP", length, memory))
        except OSError:
            return
    size = struct.unpack("iP", answer)[0]
    for start in range(0, size, _IFREQ_BYTES):
        name = bytes(buffer[start : start + 16]).split(b"\0", 1)[0].decode("utf-8", "replace")
        yield InterfaceAddress(name.split(":", 1)[0], ipaddress.IPv4Address(bytes(buffer[start + 20 : start + 24])))


def _resolved_addresses() -> Iterator[InterfaceAddress]:
    try:
        infos = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return
    for info in infos:
        yield InterfaceAddress("", ipaddress.ip_address(str(info[4][0])))


def _ipv6_addresses() -> Iterator[InterfaceAddress]:
    """From Linux's table of them; nothing elsewhere."""
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        parts = line.split()
        if len(parts) == 6:
            yield InterfaceAddress(parts[5], ipaddress.IPv6Address(int(parts[0], 16)))


class AddressError(ValueError):
    """A template that cannot be evaluated."""


_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|([^\s"`]+)')


def expand(text: str, list_addresses: ListAddresses) -> str:
    """The text with each `{{ … }}` evaluated. Raises AddressError."""
    if "{{" not in text:
        return text
    addresses = list_addresses()
    expanded = _TEMPLATE.sub(lambda match: _evaluate(match.group(1), addresses), text)
    if "{{" in expanded:
        raise AddressError("{{ has no }}")
    return expanded


def _evaluate(pipeline: str, addresses: Sequence[InterfaceAddress]) -> str:
    stages = [[a or b or c for a, b, c in _WORDS.findall(stage)] for stage in pipeline.split("|")]
    if any(not stage for stage in stages):
        raise AddressError("an empty stage in {{ … }}")
    value = _source(stages[0], addresses)
    for name, *arguments in stages[1:]:
        stage = _STAGES.get(name)
        if stage is None:
            raise AddressError(f"{name} is not supported; known are {', '.join(sorted(_STAGES))}")
        if isinstance(value, str):
            raise AddressError(f"{name} has nothing to work on: the stage before gives a text")
        value = stage(value, arguments)
    if not isinstance(value, str):
        raise AddressError('a pipeline ends with attr "address" or join "address" " "')
    return value


Found = Sequence[InterfaceAddress]


def _source(words: Sequence[str], addresses: Found) -> Found | str:
    name, *arguments = words
    if name in {"GetInterfaceIP", "GetInterfaceIPs"}:
        if len(arguments) != 1:
            raise AddressError(f'{name} takes an interface: {name} "eth0"')
        found = [item for item in addresses if item.interface == arguments[0] and not item.ip.is_link_local]
        return _join(found, single=name.endswith("IP"))
    if arguments or name not in _SOURCES:
        raise AddressError(
            f"{' '.join(words)} is not supported; known are {', '.join(sorted(_SOURCES))}, GetInterfaceIP"
        )
    found = [item for item in addresses if _SOURCES[name](item)]
    if name == "GetDefaultInterfaces":
        found = found[:1]
    return found if name.endswith("Interfaces") else _join(found, single=name.endswith("IP"))


def _join(found: Found, *, single: bool) -> str:
    ordered = sorted(found, key=lambda item: item.ip.version)
    return " ".join(str(item.ip) for item in (ordered[:1] if single else ordered))


_SOURCES: Mapping[str, Callable[[InterfaceAddress], bool]] = {
    "GetAllInterfaces": lambda item: True,
    "GetDefaultInterfaces": lambda item: not item.ip.is_loopback,
    "GetPrivateInterfaces": lambda item: item.is_private,
    "GetPublicInterfaces": lambda item: item.is_public,
    "GetPrivateIP": lambda item: item.is_private and item.ip.version == 4,
    "GetPrivateIPs": lambda item: item.is_private,
    "GetPublicIP": lambda item: item.is_public,
    "GetPublicIPs": lambda item: item.is_public,
}


def _matches(item: InterfaceAddress, selector: str, wanted: str) -> bool:
    if selector == "name":
        return re.search(wanted, item.interface) is not None
    if selector == "address":
        return re.search(wanted, str(item.ip)) is not None
    if selector == "type":
        return wanted.lower() in {"ip", f"ipv{item.ip.version}"}
    if selector == "network":
        return item.ip in ipaddress.ip_network(wanted, strict=False)
    if selector == "rfc" and wanted in _SHARED_NETWORKS_RFC:
        return any(item.ip in block for block in _SHARED_NETWORKS_RFC[wanted])
    if selector == "flags" and wanted in {"loopback", "link-local unicast", "forwardable", "global unicast"}:
        return {
            "loopback": item.ip.is_loopback,
            "link-local unicast": item.ip.is_link_local,
            "forwardable": not item.ip.is_loopback and not item.ip.is_link_local,
            "global unicast": not item.ip.is_loopback and not item.ip.is_link_local,
        }[wanted]
    raise AddressError(f'"{selector}" "{wanted}" is not a filter that is supported')


def _filter(found: Found, arguments: Sequence[str], *, keep: bool) -> Found:
    if len(arguments) != 2:
        raise AddressError('include and exclude take two texts: include "name" "eth0"')
    try:
        return [item for item in found if _matches(item, arguments[0], arguments[1]) is keep]
    except (ValueError, re.error) as error:
        raise AddressError(str(error)) from None


def _limit(found: Found, arguments: Sequence[str]) -> Found:
    if len(arguments) != 1 or not arguments[0].isdecimal():
        raise AddressError("limit takes a number: limit 1")
    return found[: int(arguments[0][:9])]


def _sort(found: Found, arguments: Sequence[str]) -> Found:
    keys: Mapping[str, Callable[[InterfaceAddress], object]] = {
        "address": lambda item: (item.ip.version, int(item.ip)),
        "name": lambda item: item.interface,
        "type": lambda item: item.ip.version,
        "default": lambda item: 0,
    }
    if len(arguments) != 1 or arguments[0].lstrip("+-") not in keys:
        raise AddressError(f"sort takes one of {', '.join(keys)}")
    key = keys[arguments[0].lstrip("+-")]
    return sorted(found, key=key, reverse=arguments[0].startswith("-"))  # type: ignore[arg-type]


def _attribute(found: Found, name: str) -> list[str]:
    if name not in {"address", "name"}:
        raise AddressError('attr and join know "address" and "name"')
    return [str(item.ip) if name == "address" else item.interface for item in found]


def _attr(found: Found, arguments: Sequence[str]) -> str:
    if len(arguments) != 1:
        raise AddressError('attr takes one text: attr "address"')
    return "".join(_attribute(found[:1], arguments[0]))


def _join_stage(found: Found, arguments: Sequence[str]) -> str:
    if len(arguments) != 2:
        raise AddressError('join takes two texts: join "address" " "')
    return arguments[1].join(_attribute(found, arguments[0]))


_STAGES: Mapping[str, Callable[[Found, Sequence[str]], Found | str]] = {
    "include": lambda found, arguments: _filter(found, arguments, keep=True),
    "exclude": lambda found, arguments: _filter(found, arguments, keep=False),
    "limit": _limit,
    "sort": _sort,
    "attr": _attr,
    "join": _join_stage,
}
