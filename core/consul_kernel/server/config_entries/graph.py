"""Entries together: what a write would do to the chains of routers, splitters and resolvers that lead to services.

A write is refused where a chain would then use protocols that do not fit, subsets that are not there, or itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state.config_entries import ConfigEntries
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.config_kinds.kinds import (
    INGRESS_GATEWAY,
    PROXY_DEFAULTS,
    SERVICE_DEFAULTS,
    SERVICE_INTENTIONS,
    SERVICE_RESOLVER,
    SERVICE_ROUTER,
    SERVICE_SPLITTER,
    TERMINATING_GATEWAY,
)
from consul_kernel.structs.go_quote import quote

from .chains import Chain, Proposed
from .values import WILDCARD, is_http_like, mapping, records, text

_CHAINED = (SERVICE_ROUTER, SERVICE_SPLITTER, SERVICE_RESOLVER)
_OTHER_GATEWAY = {INGRESS_GATEWAY: TERMINATING_GATEWAY, TERMINATING_GATEWAY: INGRESS_GATEWAY}


def check_together(entries: ConfigEntries, entry: ConfigEntry, *, is_deleted: bool = False) -> None:
    """Check a write of an entry in its normal form. RequestError with Consul's text."""
    other = _OTHER_GATEWAY.get(entry.kind)
    if other is not None and not is_deleted and entries.get(other, entry.name)[1] is not None:
        raise RequestError(
            f"cannot create a {quote(entry.kind)} config entry with name {quote(entry.name)}, "
            f"a {quote(other)} config entry with that name already exists"
        )
    if entry.kind in _CHAINED or entry.kind in (SERVICE_DEFAULTS, PROXY_DEFAULTS):
        _Check(Proposed(entries, entry, is_deleted=is_deleted), entry).run()
    elif entry.kind in (INGRESS_GATEWAY, SERVICE_INTENTIONS) and not is_deleted:
        _Check(Proposed(entries, entry, is_deleted=False), entry).run()


class _Check:
    """The chains, gateways and intentions that one write has to do with."""

    def __init__(self, proposed: Proposed, entry: ConfigEntry) -> None:
        self._proposed = proposed
        self._entry = entry
        self._chains: dict[str, Chain] = {}

    def run(self) -> None:
        gateways, intentions = list(self._gateways()), list(self._intentions())
        names = [*self._chained_names()]
        names += [name for gateway in gateways for name in _services_of(gateway)]
        names += [entry.name for entry in intentions]
        for name in dict.fromkeys(names):
            self._chains[name] = Chain(self._proposed, name)
        for gateway in gateways:
            self._check_gateway(gateway)
        for entry in intentions:
            self._check_intentions(entry)

    def _chained_names(self) -> Iterator[str]:
        if self._entry.kind in (INGRESS_GATEWAY, SERVICE_INTENTIONS):
            return
        if self._entry.kind != PROXY_DEFAULTS:
            yield self._entry.name
        for kind in _CHAINED:
            for entry in self._proposed.of_kind(kind):
                if self._entry.kind == PROXY_DEFAULTS or self._entry.name in related_services(entry):
                    yield entry.name

    def _gateways(self) -> Iterator[ConfigEntry]:
        if self._entry.kind == INGRESS_GATEWAY:
            yield self._entry
        elif self._entry.kind != SERVICE_INTENTIONS:
            for gateway in self._proposed.of_kind(INGRESS_GATEWAY):
                if self._entry.kind == PROXY_DEFAULTS or self._entry.name in _services_of(gateway):
                    yield gateway

    def _intentions(self) -> Iterator[ConfigEntry]:
        """Those that look into requests, for which these have to be told apart."""
        if self._entry.kind == INGRESS_GATEWAY:
            return
        candidates = [self._entry]
        if self._entry.kind != SERVICE_INTENTIONS:
            candidates = self._proposed.of_kind(SERVICE_INTENTIONS)
        for entry in candidates:
            sources = records(entry.settings, "Sources")
            is_meant = self._entry.kind == PROXY_DEFAULTS or entry.name == self._entry.name
            if is_meant and entry.name != WILDCARD and any(records(source, "Permissions") for source in sources):
                yield entry

    def _check_gateway(self, gateway: ConfigEntry) -> None:
        """A gateway for TCP may be in front of anything that is not told apart by requests, unless it is the news."""
        for listener in records(gateway.settings, "Listeners"):
            wanted = text(listener, "Protocol")
            for service in records(listener, "Services"):
                name = text(service, "Name")
                if name == WILDCARD:
                    continue
                chain = self._chains[name]
                is_tolerated = gateway is not self._entry and wanted == "tcp" and not chain.is_advanced
                if chain.protocol != wanted and not is_tolerated:
                    raise RequestError(
                        f"service {quote(name)} has protocol {quote(chain.protocol)}, "
                        f"which does not match defined listener protocol {quote(wanted)}"
                    )

    def _check_intentions(self, entry: ConfigEntry) -> None:
        protocol = self._chains[entry.name].protocol
        if not is_http_like(protocol):
            raise RequestError(
                f"service {quote(entry.name)} has protocol {quote(protocol)}, "
                "which is incompatible with L7 intentions permissions"
            )


def _services_of(gateway: ConfigEntry) -> list[str]:
    """The services that a gateway names."""
    services = [
        text(service, "Name")
        for listener in records(gateway.settings, "Listeners")
        for service in records(listener, "Services")
    ]
    return [name for name in dict.fromkeys(services) if name != WILDCARD]


def related_services(entry: ConfigEntry) -> set[str]:
    """The other services that a router, splitter or resolver leads to."""
    settings = entry.settings
    destinations = [mapping(route, "Destination") for route in records(settings, "Routes")]
    destinations += records(settings, "Splits")
    destinations.append(mapping(settings, "Redirect"))
    destinations += [failover or {} for failover in mapping(settings, "Failover").values()]
    return {text(destination, "Service") for destination in destinations} - {"", entry.name}
