"""Entries as they are kept: defaults filled in, and of several spellings the one that counts."""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from msgspec.structs import replace

from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.config_kinds import read_settings
from consul_kernel.structs.config_kinds.kinds import (
    INGRESS_GATEWAY,
    MESH,
    PROXY_DEFAULTS,
    SERVICE_DEFAULTS,
    SERVICE_INTENTIONS,
    SERVICE_ROUTER,
    SERVICE_SPLITTER,
)

from .values import WILDCARD, Settings, mapping, number, records, text, texts

GLOBAL = "global"
"""The name of the only entry of proxy defaults."""
_FIXED_NAMES = {PROXY_DEFAULTS: GLOBAL, MESH: MESH}
_EXACT, _TO_ANY = 9, 6
"""Precedence of an intention from a named source, to a named destination or to any."""


def normalise(entry: ConfigEntry) -> ConfigEntry:
    """The entry as it is kept. RequestError for a kind that is none, or fields that the kind does not have."""
    settings = read_settings(entry.kind, entry.settings)
    name = _FIXED_NAMES.get(entry.kind, entry.name)
    change = _CHANGES.get(entry.kind)
    if change is not None:
        change(settings, name)
    return replace(entry, name=name, settings=settings)


def _service_defaults(settings: Settings, _: str) -> None:
    settings["Protocol"] = text(settings, "Protocol").lower()
    upstreams = mapping(settings, "UpstreamConfig")
    for upstream in (*records(upstreams, "Overrides"), mapping(upstreams, "Defaults")):
        if "Protocol" in upstream:
            upstream["Protocol"] = text(upstream, "Protocol").lower()
        if number(upstream, "ConnectTimeoutMs") < 0:
            upstream["ConnectTimeoutMs"] = 0


def _router(settings: Settings, _: str) -> None:
    for route in records(settings, "Routes"):
        _raise_methods(mapping(mapping(route, "Match"), "HTTP"))


def _splitter(settings: Settings, _: str) -> None:
    for split in records(settings, "Splits"):
        hundredths = scaled_weight(number(split, "Weight"))
        split["Weight"] = hundredths / 100 if hundredths % 100 else hundredths // 100


def scaled_weight(weight: float) -> int:
    """A weight of a hundred in its hundredths, the least that there is."""
    return floor(weight * 100 + 0.5)


def _ingress(settings: Settings, _: str) -> None:
    for listener in records(settings, "Listeners"):
        listener["Protocol"] = (text(listener, "Protocol") or "tcp").lower()


def _intentions(settings: Settings, name: str) -> None:
    sources = records(settings, "Sources")
    for source in sources:
        source["Type"] = text(source, "Type") or "consul"
        best = _TO_ANY if name == WILDCARD else _EXACT
        source["Precedence"] = best - (text(source, "Name") == WILDCARD)
        for legacy in ("LegacyID", "LegacyCreateTime", "LegacyUpdateTime"):
            source.pop(legacy, None)
        for permission in records(source, "Permissions"):
            _raise_methods(mapping(permission, "HTTP"))
    if "Sources" in settings:
        settings["Sources"] = sorted(sources, key=lambda source: -number(source, "Precedence"))


def _raise_methods(http: Settings) -> None:
    if "Methods" in http:
        http["Methods"] = [method.upper() for method in texts(http, "Methods")]


_CHANGES: dict[str, Callable[[Settings, str], None]] = {
    SERVICE_DEFAULTS: _service_defaults,
    SERVICE_ROUTER: _router,
    SERVICE_SPLITTER: _splitter,
    INGRESS_GATEWAY: _ingress,
    SERVICE_INTENTIONS: _intentions,
}
