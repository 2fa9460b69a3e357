"""Configuration entries: cluster-wide settings of services, by kind and name."""

from __future__ import annotations

from typing import Any

from msgspec import field

from .record import RaftIndexed


class ConfigEntry(RaftIndexed, kw_only=True):
    """An entry. `settings` are its other fields under Consul's names, in the values that MessagePack has."""

    kind: str = ""
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
