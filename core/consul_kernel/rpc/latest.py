"""The latest reply of each method, beside its octets: what thousands wait for is encoded once, and decoded once.

Everybody who waits for one key or one service gets the same reply. To compare it with the one before costs a
fraction of encoding it, since a server's replies share their records; and to compare octets costs next to nothing.
Records are never changed once they are shared, so a reply may be given to many.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

LARGEST_OCTETS = 2 * 1024 * 1024
"""A larger reply is not kept."""
METHODS_MAX = 16
"""So many methods at most, those of the latest calls."""


class LatestReplies:
    """Pairs of a reply and its octets, by the method's name."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Any, bytes]] = OrderedDict()

    def encoded(self, name: str, reply: Any, encode: Callable[[Any], bytes]) -> bytes:
        """The octets of a reply; made by `encode` where the latest was another."""
        kept = self._kept.get(name)
        if kept is not None and kept[0] == reply:
            return kept[1]
        octets = encode(reply)
        self._keep(name, reply, octets)
        return octets

    def decoded(self, name: str, octets: bytes, decode: Callable[[bytes], Any]) -> Any:
        """The reply in these octets; made by `decode` where the latest were others."""
        kept = self._kept.get(name)
        if kept is not None and kept[1] == octets:
            return kept[0]
        reply = decode(octets)
        self._keep(name, reply, octets)
        return reply

    def _keep(self, name: str, reply: Any, octets: bytes) -> None:
        kept = self._kept
        if len(octets) > LARGEST_OCTETS:
            kept.pop(name, None)
            return
        kept[name] = reply, octets
        kept.move_to_end(name)
        if len(kept) > METHODS_MAX:
            kept.popitem(last=False)
