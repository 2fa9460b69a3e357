"""Configuration entries: their rows."""

from __future__ import annotations

from consul_kernel.structs.config_entry import ConfigEntry

from .keys import fold, pack
from .tables import Table, Writer

config_entries: Table[ConfigEntry] = Table("config_entries", ConfigEntry)
"""By (kind, name)."""


def config_entry_key(kind: str, name: str) -> bytes:
    """Key of an entry."""
    return pack(fold(kind), fold(name))


def put_config_entry(writer: Writer, entry: ConfigEntry) -> None:
    """Add an entry."""
    config_entries.put(writer, config_entry_key(entry.kind, entry.name), entry)
