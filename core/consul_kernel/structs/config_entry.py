"""Configuration entries: cluster-wide settings of services, by kind and name."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import field

from .query import DatacenterRequest, QueryMeta, QueryOptions
from .record import RaftIndexed


class ConfigEntryOp(StrEnum):
    """What `ConfigEntry.Apply` and `Delete` do."""

    UPSERT = "upsert"
    UPSERT_CAS = "upsert-cas"
    DELETE = "delete"


class ConfigEntry(RaftIndexed, kw_only=True):
    """An entry. `settings` are its other fields under Consul's names, in the values that MessagePack has."""

    kind: str = ""
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


class ConfigEntryRequest(DatacenterRequest, kw_only=True):
    """A write. A check-and-set goes by the entry's `modify_index`, 0 for one that must not be there yet."""

    op: str = ""
    entry: ConfigEntry = field(default_factory=ConfigEntry)


class ConfigEntryQuery(QueryOptions, kw_only=True):
    """A read of one entry, or, without a name, of all of a kind; without a kind, of all."""

    kind: str = ""
    name: str = ""


class ConfigEntryResponse(QueryMeta, kw_only=True):
    """One entry; None where there is none."""

    entry: ConfigEntry | None = None


class IndexedConfigEntries(QueryMeta, kw_only=True):
    """Entries by kind and name."""

    kind: str = ""
    entries: list[ConfigEntry] | None = None
