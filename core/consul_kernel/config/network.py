"""Where an agent binds and which addresses it tells others (Consul: agent/config/builder.go, the addresses)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .addresses import AddressError, InterfaceAddress, IpAddress, ListAddresses, expand
from .merged import Merged
from .problems import ProblemLog
from .settings import UNIX_SCHEME

INTERFACE_NAMES = ("dns", "http", "https", "grpc")
AGENT_PORTS = ("server", "serf_lan", "serf_wan")

_ANY_ADVERTISED = "Advertise address cannot be 0.0.0.0, :: or [::]"
_ANY_ADVERTISED_WAN = "Advertise WAN address cannot be 0.0.0.0, :: or [::]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The resolved addresses and ports of an agent."""

    bind_addr: str
    client_addr: tuple[str, ...]
    advertise_addr: str
    advertise_addr_wan: str
    serf_lan_bind: str
    serf_wan_bind: str
    addresses: Mapping[str, tuple[str, ...]]
    ports: Mapping[str, int]
    tagged_addresses: Mapping[str, str]
    sockets: Mapping[str, str]
    """Interfaces that listen on a unix socket rather than an address: `unix://` and its path, by name."""


class NetworkReader:
    """Resolves addresses; what is wrong with them goes to `problems`."""

    def __init__(self, merged: Merged, problems: ProblemLog, list_addresses: ListAddresses) -> None:
        self._merged = merged
        self._problems = problems
        self._list_addresses = list_addresses
        self._faulty: set[str] = set()
        self._sockets: dict[str, str] = {}

    def read(self) -> Network:
        """Everything at once."""
        bind_addr = self._single("bind_addr") or "0.0.0.0"
        client_addr = self._several("client_addr")
        if not client_addr:
            self._problems.warn(
                "is empty: no interface will listen", self._merged.position("client_addr"), key="client_addr"
            )
        advertise = self._advertise(bind_addr)
        advertise_wan = self._advertised("advertise_addr_wan", _ANY_ADVERTISED_WAN) or advertise
        return Network(
            bind_addr=bind_addr,
            client_addr=client_addr,
            advertise_addr=advertise,
            advertise_addr_wan=advertise_wan,
            serf_lan_bind=self._single("serf_lan") or bind_addr,
            serf_wan_bind=self._single("serf_wan") or bind_addr,
            addresses=self._interface_addresses(client_addr),
            ports=self._ports(),
            tagged_addresses=self._tagged(advertise, advertise_wan),
            sockets=self._sockets,
        )

    def _expand(self, path: str) -> list[str]:
        """The words of an address key, templates evaluated."""
        try:
            return expand(self._merged.text(path), self._list_addresses).split()
        except AddressError as error:
            self._error(path, f"error parsing {self._merged.text(path)!r}: {error}")
            return []

    def expand_all(self, path: str) -> tuple[str, ...]:
        """A list of hosts, each a name, an address or a template of addresses."""
        found: list[str] = []
        for text in self._merged.texts(path):
            try:
                expanded = expand(text, self._list_addresses)
            except AddressError as error:
                self._error(path, f"error parsing {text!r}: {error}")
                continue
            found.extend([text] if expanded == text else expanded.split())
        return tuple(found)

    def _error(self, path: str, text: str) -> None:
        self._faulty.add(path)
        self._problems.error(text, self._merged.position(path), key=path)

    def _several(self, path: str) -> tuple[str, ...]:
        """Any number of IPs; empty where one is bad."""
        found: list[str] = []
        for word in self._expand(path):
            if word.startswith(UNIX_SCHEME):
                self._error(path, "cannot be a unix socket")
                return ()
            ip = parse_ip(word)
            if ip is None:
                self._error(path, f"invalid ip address: {word}")
                return ()
            found.append(str(ip))
        return tuple(dict.fromkeys(found))

    def _single(self, path: str) -> str:
        """At most one IP; "" where the key is not set or bad."""
        given = bool(self._merged.text(path))
        found = self._several(path)
        if len(found) > 1:
            self._error(path, f"multiple addresses found: {' '.join(found)}; one is expected")
        elif given and not found and path not in self._faulty:
            self._error(path, f"no address of this host matches {self._merged.text(path)}")
        return found[0] if found else ""

    def _advertised(self, path: str, any_text: str) -> str:
        found = self._single(path)
        if found and ipaddress.ip_address(found).is_unspecified:
            self._error(path, any_text)
            return ""
        return found

    def _advertise(self, bind_addr: str) -> str:
        """The given address, else the one bound, else one of the host's own."""
        given = self._advertised("advertise_addr", _ANY_ADVERTISED)
        if given:
            return given
        bound = ipaddress.ip_address(bind_addr)
        if not bound.is_unspecified:
            return bind_addr
        picked = pick_advertised(self._list_addresses(), bound.version)
        if picked is not None:
            return str(picked)
        kind = "private IPv4" if bound.version == 4 else "public IPv6"
        self._problems.warn(
            f"no {kind} address found to advertise: other hosts cannot reach this agent; set it",
            self._merged.position("bind_addr"),
            key="advertise_addr",
        )
        return "127.0.0.1" if bound.version == 4 else "::1"

    def _interface_addresses(self, client_addr: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        names = dict.fromkeys((*INTERFACE_NAMES, *self._merged.paths_in("ports"), *self._merged.paths_in("addresses")))
        result: dict[str, tuple[str, ...]] = {}
        for name in names:
            if name in AGENT_PORTS:
                continue
            path = f"addresses.{name}"
            text = self._merged.text(path)
            if name != "dns" and text.startswith(UNIX_SCHEME) and len(text.split()) == 1:
                self._sockets[name] = text
                result[name] = ()
            else:
                result[name] = self._several(path) if text else client_addr
        return result

    def _ports(self) -> Mapping[str, int]:
        names = dict.fromkeys((*INTERFACE_NAMES, *AGENT_PORTS, *self._merged.paths_in("ports")))
        return {name: self._merged.number(f"ports.{name}") for name in names if not name.endswith("_port")}

    def _tagged(self, advertise: str, advertise_wan: str) -> Mapping[str, str]:
        """Consul's tagged addresses of the node: `lan`, `wan`, and each by IP version."""
        tagged = {key: str(value) for key, value in self._merged.mapping("tagged_addresses").items()}
        for tag, key, address in (("lan", "advertise_addr", advertise), ("wan", "advertise_addr_wan", advertise_wan)):
            tagged[tag] = address
            version = ipaddress.ip_address(address).version
            for wanted in (4, 6):
                given = self._advertised(f"{key}_ipv{wanted}", _ANY_ADVERTISED)
                if given and ipaddress.ip_address(given).version != wanted:
                    self._error(f"{key}_ipv{wanted}", f"must be an ipv{wanted} address")
                elif given or version == wanted:
                    tagged[f"{tag}_ipv{wanted}"] = given or address
        return tagged


def parse_ip(word: str) -> IpAddress | None:
    """An IP address as it may be written in a file (`[::]` among them), or None."""
    try:
        return ipaddress.ip_address(word.strip("[]") if word.startswith("[") else word)
    except ValueError:
        return None


def pick_advertised(addresses: Sequence[InterfaceAddress], version: int) -> IpAddress | None:
    """The host's address to advertise for an any-bind: IPv4 a private one, IPv6 a public one, else the first usable."""
    usable = [
        item for item in addresses if item.ip.version == version and not (item.ip.is_loopback or item.ip.is_link_local)
    ]
    wanted = [item for item in usable if (item.is_private if version == 4 else item.is_public)]
    return (wanted or usable)[0].ip if usable else None
