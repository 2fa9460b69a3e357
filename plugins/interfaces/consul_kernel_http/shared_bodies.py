"""Bodies of answers that many ask for: encoded once for as long as what they show is the same.

A server answers equal reads with the very same list of instances, or the very same entry, until that changes, since
replies are never changed once they are shared (`AgentApi.call`). So what is shown is itself the key, compared by
identity, and held as long as its body is, so that nothing else can take its place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MAX_OCTETS = 32 * 1024 * 1024
MAX_BODIES = 1024
_LARGEST_SHARE = 8
"""A body larger than this part of all is not worth its place."""


class SharedBodies:
    """The bodies asked for last, bounded by number and octets; the one asked for longest ago makes room."""

    def __init__(self, *, max_octets: int = MAX_OCTETS, max_bodies: int = MAX_BODIES) -> None:
        self._max_octets = max_octets
        self._max_bodies = max_bodies
        self._kept: OrderedDict[tuple[int, str], tuple[object, bytes]] = OrderedDict()
        self._octets = 0

    def body(self, shared: object, form: str, encode: Callable[[], bytes]) -> bytes:
        """The body that shows `shared` in this form; `encode` makes it where it is not kept."""
        key = (id(shared), form)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept[1]
        body = encode()
        if shared and len(body) * _LARGEST_SHARE <= self._max_octets:
            self._kept[key] = (shared, body)
            self._octets += len(body)
            while self._octets > self._max_octets or len(self._kept) > self._max_bodies:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._octets -= len(dropped)
        return body
