"""Kinds of log entry, and how the one server is written into one: as Raft writes its configurations.

So a log may change hands: `raft` takes over what this one wrote, and this one a quorum of one server.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgpack

from consul_kernel.contracts.consensus import Configuration, Server, Suffrage
from consul_kernel.contracts.errors import CorruptStoreError


class EntryKind(IntEnum):
    """`LogEntry.kind`. Raft's barriers and the no-ops of its leaders are passed over."""

    COMMAND = 0
    CONFIGURATION = 5


def encode_servers(servers: Sequence[Server]) -> bytes:
    """The servers as a MessagePack map, with the names and numbers of Consul's log."""
    records = [
        {"Address": server.address, "ID": server.id, "Suffrage": 0 if server.suffrage is Suffrage.VOTER else 1}
        for server in servers
    ]
    encoded: bytes = msgpack.packb({"Servers": records}, use_bin_type=False)
    return encoded


def decode_servers(data: bytes, index: int) -> Configuration:
    """Read them back. Raises CorruptStoreError."""
    try:
        decoded: Any = msgpack.unpackb(data, raw=False)
        servers = tuple(
            Server(str(item["ID"]), str(item["Address"]), Suffrage.NONVOTER if item["Suffrage"] else Suffrage.VOTER)
            for item in decoded["Servers"] or ()
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptStoreError(f"entry {index} of the log holds no servers: {error!r}") from error
    return Configuration(servers, index)
