"""Kinds of log entry, and how a configuration is written into one.

Numbers and field names are those of Consul's log, so that tools which read one can read the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgpack

from consul_kernel.contracts.consensus import Configuration, Server, Suffrage
from consul_kernel.contracts.errors import PeerProtocolError


class EntryKind(IntEnum):
    """`LogEntry.kind`. Numbers 2 and 3 were peer changes of an older protocol and are not used."""

    COMMAND = 0
    NOOP = 1
    BARRIER = 4
    CONFIGURATION = 5


_SUFFRAGE_NUMBER = {Suffrage.VOTER: 0, Suffrage.NONVOTER: 1}


def encode_configuration(servers: Sequence[Server]) -> bytes:
    """The servers as a MessagePack map; equal servers in equal order give equal bytes."""
    records = [
        {"Address": server.address, "ID": server.id, "Suffrage": _SUFFRAGE_NUMBER[server.suffrage]}
        for server in servers
    ]
    encoded: bytes = msgpack.packb({"Servers": records}, use_bin_type=False)
    return encoded


def decode_configuration(data: bytes, index: int) -> Configuration:
    """Read what `encode_configuration` wrote. Raises PeerProtocolError for anything else.

    Consul's staging suffrage (2) counts as non-voter, as it does there.
    """
    try:
        decoded: Any = msgpack.unpackb(data, raw=False)
        servers = tuple(
            Server(
                id=_text(record["ID"]),
                address=_text(record["Address"]),
                suffrage=Suffrage.VOTER if record["Suffrage"] == 0 else Suffrage.NONVOTER,
            )
            for record in decoded["Servers"] or ()
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PeerProtocolError(f"entry {index} holds no configuration: {error!r}") from error
    return Configuration(servers, index)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value
