"""User events."""

from __future__ import annotations

from .query import QueryMeta, QueryOptions


class EventFireRequest(QueryOptions, kw_only=True):
    """Spread a user event through the LAN pools of a datacenter; `payload` is already in Consul's encoding."""

    name: str = ""
    payload: bytes | None = None


class EventFireResponse(QueryMeta):
    """Nothing but what every reply says of itself."""
