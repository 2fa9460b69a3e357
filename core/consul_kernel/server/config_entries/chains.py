"""The chain of one service: router, then splitters, then resolvers (Consul: `agent/consul/discoverychain`).

What is followed here is who leads to whom and by which protocol; the mesh itself, which would need targets and
timeouts, is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state.config_entries import ConfigEntries
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.config_kinds.kinds import (
    PROXY_DEFAULTS,
    SERVICE_DEFAULTS,
    SERVICE_RESOLVER,
    SERVICE_ROUTER,
    SERVICE_SPLITTER,
)
from consul_kernel.structs.go_quote import quote

from .normalising import GLOBAL
from .values import Settings, is_http_like, mapping, records, text

DEFAULT_PROTOCOL = "tcp"
MAX_STEPS = 10_000
"""Of one chain; longer ones are refused, since each write follows them anew."""
_NAMESPACE, _DATACENTER = "default", "dc1"
"""What Consul puts into the names of targets while it checks a write, wherever that is."""


class Proposed:
    """The entries as they would be after a write."""

    def __init__(self, entries: ConfigEntries, entry: ConfigEntry, *, is_deleted: bool) -> None:
        self._entries = entries
        self._key = (entry.kind, entry.name.lower())
        self._new = None if is_deleted else entry

    def get(self, kind: str, name: str) -> ConfigEntry | None:
        """One entry."""
        if (kind, name.lower()) == self._key:
            return self._new
        return self._entries.get(kind, name)[1]

    def of_kind(self, kind: str) -> list[ConfigEntry]:
        """The entries of a kind."""
        found = [entry for entry in self._entries.of_kind(kind)[1] if (kind, entry.name.lower()) != self._key]
        return [*found, self._new] if self._new is not None and self._new.kind == kind else found


@dataclass(frozen=True, slots=True)
class _Target:
    """Instances of a service, by subset and datacenter."""

    service: str
    subset: str = ""
    datacenter: str = _DATACENTER

    def __str__(self) -> str:
        """As errors show it."""
        subset = f"{self.subset}." if self.subset else ""
        return f"{subset}{self.service}.{_NAMESPACE}.{self.datacenter}"


class Chain:
    """The chain of a service, followed to its ends. RequestError with Consul's text where it cannot be."""

    def __init__(self, proposed: Proposed, service: str) -> None:
        self._proposed = proposed
        self._service = service
        self._steps = 0
        self._split: set[str] = set()
        self._resolved: set[_Target] = set()
        self.protocol = ""
        self.is_advanced = False
        """Whether requests are routed or split by what is in them."""
        self._follow()
        if self.is_advanced and not is_http_like(self.protocol):
            raise RequestError(
                f"discovery chain {quote(service)} uses a protocol {quote(self.protocol)} that does not permit "
                "advanced routing or splitting behavior"
            )

    def _follow(self) -> None:
        router = self._proposed.get(SERVICE_ROUTER, self._service)
        if router is not None:
            self.is_advanced = True
            self._note_protocol(router.name)
            for route in records(router.settings, "Routes"):
                destination = mapping(route, "Destination")
                service, subset = text(destination, "Service") or self._service, text(destination, "ServiceSubset")
                if subset:
                    self._resolve(_Target(service, subset))
                else:
                    self._split_or_resolve(service, ())
        self._split_or_resolve(self._service, ())

    def _split_or_resolve(self, service: str, path: tuple[str, ...]) -> None:
        splitter = self._proposed.get(SERVICE_SPLITTER, service)
        if splitter is None:
            self._resolve(_Target(service))
            return
        self.is_advanced = True
        name = f"splitter:{service}.{_NAMESPACE}"
        if name in path:
            raise RequestError(f"detected circular reference: [{' -> '.join((*path, name))}]")
        if name in self._split:
            return
        self._count()
        for split in records(splitter.settings, "Splits"):
            target, subset = text(split, "Service") or service, text(split, "ServiceSubset")
            if target != service and not subset:
                self._split_or_resolve(target, (*path, name))
            else:
                self._resolve(_Target(target, subset))
        self._split.add(name)

    def _resolve(self, target: _Target, *, is_failover: bool = False) -> None:
        history: list[_Target] = []
        while True:
            if target in self._resolved:
                return
            self._count()
            self._note_protocol(target.service)
            entry = self._proposed.get(SERVICE_RESOLVER, target.service)
            settings = entry.settings if entry is not None else {}
            if target in history:
                shown = " -> ".join(map(str, (*history, target)))
                raise RequestError(f"detected circular resolver redirect: [{shown}]")
            history.append(target)
            following = _redirected(target, mapping(settings, "Redirect"))
            default = text(settings, "DefaultSubset")
            if following == target and not target.subset and default:
                following = _Target(target.service, default, target.datacenter)
            if following == target:
                break
            target = following
        self._require_resolvable(target, settings)
        self._resolved.add(target)
        failovers = mapping(settings, "Failover")
        failover = failovers.get(target.subset) or failovers.get("*")
        if failover and not is_failover:
            self._fail_over(target, failover)

    def _fail_over(self, target: _Target, failover: Settings) -> None:
        for datacenter in failover.get("Datacenters") or (target.datacenter,):
            following = _redirected(target, {**failover, "Datacenter": datacenter})
            if following != target:
                self._resolve(following, is_failover=True)

    def _require_resolvable(self, target: _Target, settings: Settings) -> None:
        subsets = mapping(settings, "Subsets")
        if target.subset and target.subset not in subsets:
            raise RequestError(f"service {quote(target.service)} does not have a subset named {quote(target.subset)}")
        defaults = self._proposed.get(SERVICE_DEFAULTS, target.service)
        if defaults is None or not text(defaults.settings, "ExternalSNI"):
            return
        for field, words in (("Redirect", "redirects"), ("Subsets", "subsets"), ("Failover", "failover")):
            if settings.get(field):
                raise RequestError(
                    f"service {quote(target.service)} has an external SNI set; cannot define {words} for external "
                    "services"
                )

    def _note_protocol(self, service: str) -> None:
        protocol = self._protocol_of(service)
        if not self.protocol:
            self.protocol = protocol
        elif self.protocol != protocol:
            raise RequestError(
                f"discovery chain {quote(self._service)} uses inconsistent protocols; service {quote(service)} has "
                f"{quote(protocol)} which is not {quote(self.protocol)}"
            )

    def _protocol_of(self, service: str) -> str:
        defaults = self._proposed.get(SERVICE_DEFAULTS, service)
        if defaults is not None:
            return text(defaults.settings, "Protocol").lower() or DEFAULT_PROTOCOL
        proxy = self._proposed.get(PROXY_DEFAULTS, GLOBAL)
        protocol = mapping(proxy.settings, "Config").get("protocol") if proxy is not None else None
        return protocol.lower() if isinstance(protocol, str) and protocol else DEFAULT_PROTOCOL

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise RequestError(f"discovery chain {quote(self._service)} has more than {MAX_STEPS} steps")


def _redirected(target: _Target, redirect: Settings) -> _Target:
    """Another target in whatever a redirect names; another service's subset is not asked for."""
    service = text(redirect, "Service") or target.service
    subset = text(redirect, "ServiceSubset") or (target.subset if service == target.service else "")
    return _Target(service, subset, text(redirect, "Datacenter") or target.datacenter)
