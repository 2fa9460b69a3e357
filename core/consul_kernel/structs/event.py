"""User events."""

from __future__ import annotations

import uuid

from .query import QueryMeta, QueryOptions


class EventFireRequest(QueryOptions, kw_only=True):
    """Spread a user event through the LAN pools of a datacenter; `payload` is already in Consul's encoding."""

    name: str = ""
    payload: bytes | None = None


class EventFireResponse(QueryMeta):
    """Nothing but what every reply says of itself."""


def event_index(event_id: str) -> int:
    """Consul's index of an event: its UUID's two halves, combined by exclusive or."""
    try:
        number = uuid.UUID(event_id).int
    except ValueError:
        return 1
    return (number >> 64) ^ (number & ((1 << 64) - 1)) or 1
