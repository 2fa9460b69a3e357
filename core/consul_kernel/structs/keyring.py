"""Operations on the gossip keys of every pool (Consul: `structs.KeyringRequest`)."""

from __future__ import annotations

from msgspec import field

from .query import QueryMeta, QueryOptions
from .record import Record


class KeyringRequest(QueryOptions, kw_only=True):
    """`operation` is list, install, use or remove, `key` is in base64; `relay_factor` members pass each answer on, too.

    `forwarded` is set by the server that was asked first: who gets it so keeps to its own LAN pool. `local_only` does
    the same for a list.
    """

    operation: str = ""
    key: str = ""
    forwarded: bool = False
    relay_factor: int = 0
    local_only: bool = False


class KeyringResponse(Record, kw_only=True):
    """One pool: what members complained of, by name, and on how many members each key is, and is the primary."""

    wan: bool = False
    datacenter: str = ""
    segment: str = ""
    messages: dict[str, str] | None = field(default_factory=dict)
    keys: dict[str, int] | None = field(default_factory=dict)
    primary_keys: dict[str, int] | None = field(default_factory=dict)
    num_nodes: int = 0
    error: str = ""


class KeyringResponses(QueryMeta, kw_only=True):
    """The WAN pool, this datacenter's LAN pool, then those of the other datacenters."""

    responses: list[KeyringResponse] | None = None
