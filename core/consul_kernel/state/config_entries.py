"""Configuration entries: their rows, writes to them, and what is asked of them.

What an entry may say, and which entries fit together, is judged by whoever proposes a write (`server.config_entries`).
"""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.config_entry import ConfigEntry, ConfigEntryOp, ConfigEntryRequest

from .keys import fold, pack
from .tables import Reader, Table, Writer, bump_index, table_index
from .transaction import Transaction
from .watches import CONFIG_ENTRY, CONFIG_KIND, TABLE

CONFIG_ENTRIES = b"config-entries"

config_entries: Table[ConfigEntry] = Table("config_entries", ConfigEntry)
"""By (kind, name)."""


class ConfigEntries:
    """Reads of the entries, of the last completed batch. All answer with the index of the last change to any."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get(self, kind: str, name: str) -> tuple[int, ConfigEntry | None]:
        """One entry."""
        return self._index(), config_entries.get(self._reader, config_entry_key(kind, name))

    def of_kind(self, kind: str) -> tuple[int, list[ConfigEntry]]:
        """The entries of a kind by name; of all kinds for ""."""
        prefix = pack(fold(kind)) if kind else b""
        return self._index(), [entry for _, entry in config_entries.scan(self._reader, prefix)]

    def _index(self) -> int:
        return table_index(self._reader, CONFIG_ENTRIES)


def config_entry_key(kind: str, name: str) -> bytes:
    """Key of an entry."""
    return pack(fold(kind), fold(name))


def put_config_entry(writer: Writer, entry: ConfigEntry) -> None:
    """Add an entry."""
    config_entries.put(writer, config_entry_key(entry.kind, entry.name), entry)


def apply_config_entry(transaction: Transaction, request: ConfigEntryRequest) -> bool:
    """Carry out a write; whether that was done, which a check-and-set refuses where it was changed meanwhile.

    To delete what is not there is done, too. RequestError when it is refused.
    """
    entry = request.entry
    known = config_entries.get(transaction, config_entry_key(entry.kind, entry.name))
    if request.op == ConfigEntryOp.DELETE:
        if known is not None:
            config_entries.delete(transaction, config_entry_key(entry.kind, entry.name))
            _touch(transaction, entry)
        return True
    if request.op not in (ConfigEntryOp.UPSERT, ConfigEntryOp.UPSERT_CAS):
        raise RequestError(f"invalid config entry operation type: {request.op}")
    index = known.modify_index if known is not None else 0
    if request.op == ConfigEntryOp.UPSERT_CAS and entry.modify_index != index:
        return False
    entry.create_index = known.create_index if known is not None else transaction.index
    entry.modify_index = transaction.index
    put_config_entry(transaction, entry)
    _touch(transaction, entry)
    return True


def _touch(transaction: Transaction, entry: ConfigEntry) -> None:
    bump_index(transaction, CONFIG_ENTRIES)
    transaction.touch(TABLE, CONFIG_ENTRIES)
    transaction.touch(CONFIG_KIND, fold(entry.kind))
    transaction.touch(CONFIG_ENTRY, config_entry_key(entry.kind, entry.name))
