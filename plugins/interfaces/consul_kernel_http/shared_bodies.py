"""Bodies of answers that many ask for: encoded once for as long as what they show is the same.

A server answers equal reads of a service with the very same list until the service changes, since replies are
never changed once they are shared (`AgentApi.call`). So the list itself is the key, compared by identity, and
held as long as its body is, so that no other list can take its place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

MAX_OCTETS = 32 * 1024 * 1024
MAX_BODIES = 1024
_LARGEST_SHARE = 8
"""A body larger than this part of all is not worth its place."""


class SharedBodies:
    """The bodies asked for last, bounded by number and octets; the one asked for longest ago makes room."""

    def __init__(self, *, max_octets: int = MAX_OCTETS, max_bodies: int = MAX_BODIES) -> None:
        self._max_octets = max_octets
        self._max_bodies = max_bodies
        self._kept: OrderedDict[tuple[int, str], tuple[list[Any], bytes]] = OrderedDict()
        self._octets = 0

    def body(self, records: list[Any], form: str, encode: Callable[[], bytes]) -> bytes:
        """The body that shows `records` in this form; `encode` makes it where it is not kept."""
        key = (id(records), form)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept[1]
        body = encode()
        if records and len(body) * _LARGEST_SHARE <= self._max_octets:
            self._kept[key] = (records, body)
            self._octets += len(body)
            while self._octets > self._max_octets or len(self._kept) > self._max_bodies:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._octets -= len(dropped)
        return body
