"""The base of all records: Consul's field names from Python's."""

from __future__ import annotations

import msgspec

_INITIALISMS = {
    word.lower(): word
    for word in ("ID", "HTTP", "TCP", "TTL", "GRPC", "TLS", "H2PING", "WAN", "LAN", "DNS", "ACL", "CAS", "DC", "KV")
}


def go_name(name: str) -> str:
    """Go's exported name for a Python one: `service_id` becomes `ServiceID`."""
    return "".join(_INITIALISMS.get(word, word.capitalize()) for word in name.split("_"))


class Record(msgspec.Struct, kw_only=True, rename=go_name):
    """Base of the API's records. Unknown fields are ignored, missing ones take their defaults, as in Go."""


class RaftIndexed(Record, kw_only=True):
    """A record of the replicated state: the log indexes that made it and last changed it."""

    create_index: int = 0
    modify_index: int = 0


class Empty(Record):
    """Go's `struct{}`: a request or a reply with nothing in it."""
