"""The queue of messages to gossip, each sent a limited number of times.

Picked are those sent least often, among them the largest that fits, among them the newest (memberlist's
TransmitLimitedQueue). A message under a name replaces the queued one of that name. When the queue is full, the one
sent most often, then the shortest, then the oldest makes room. The queue is longer in a large pool.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Final

from .packets import COMPOUND_PART_BYTES

_SERIAL_BITS: Final = 48
_FEW: Final = 4
"""So many are put in their places of a sorted list one by one; for more of them it is sorted anew."""


class Broadcast:
    """One queued message. `on_sent` is called once: when it was sent often enough, replaced or dropped.

    `key` is greater for a longer message, then for a newer one.
    """

    __slots__ = ("expires_ms", "key", "message", "name", "on_sent", "sends")

    def __init__(
        self,
        message: bytes,
        name: str | None,
        on_sent: Callable[[], None] | None,
        serial: int,
        expires_ms: int | None = None,
    ) -> None:
        self.message = message
        self.name = name
        self.on_sent = on_sent
        self.key = len(message) << _SERIAL_BITS | serial
        self.sends = 0
        self.expires_ms = expires_ms


class BroadcastQueue:
    """Messages are complete: type byte first. It holds `depth_min`, or 2 × `member_count()` if that is more."""

    def __init__(self, depth_min: int, member_count: Callable[[], int] = lambda: 0) -> None:
        self._depth_min = depth_min
        self._member_count = member_count
        self._tiers: dict[int, list[int]] = {}
        """The keys of those sent as often, in ascending order."""
        self._queued: dict[int, Broadcast] = {}
        self._named: dict[str, Broadcast] = {}
        self.depth = 0
        """How many are queued."""
        self._serial = 0
        self.dropped = 0

    def __len__(self) -> int:
        return self.depth

    @property
    def depth_max(self) -> int:
        """Serf's MinQueueDepth rule."""
        return max(self._depth_min, 2 * self._member_count())

    def put(
        self,
        message: bytes,
        name: str | None = None,
        on_sent: Callable[[], None] | None = None,
        expires_ms: int | None = None,
    ) -> None:
        """Queue a message. `expires_ms`: when `purge` may drop it."""
        if name is not None:
            older = self._named.get(name)
            if older is not None:
                self._remove(older)
                self._finish(older)
        if self.depth >= self._depth_min:
            self._prune(self.depth_max - 1)
        self._serial += 1
        broadcast = Broadcast(message, name, on_sent, self._serial, expires_ms)
        if name is not None:
            self._named[name] = broadcast
        self._insert(broadcast)

    def take(self, free_bytes: int, parts_max: int, sends_max: int) -> list[bytes]:
        """Messages for one packet, each costing its length and two bytes of the compound."""
        if not self.depth or parts_max <= 0:
            return []
        messages: list[bytes] = []
        picked: list[tuple[int, list[int]]] = []
        tiers, queued = self._tiers, self._queued
        for sends in sorted(tiers) if len(tiers) > 1 else list(tiers):
            keys = _pick(tiers[sends], free_bytes, parts_max - len(messages))
            if keys:
                picked.append((sends, keys))
                found = [queued[key].message for key in keys]
                messages += found
                free_bytes -= sum(map(len, found)) + COMPOUND_PART_BYTES * len(found)
                if not tiers[sends]:
                    del tiers[sends]
        done: list[Broadcast] = []
        for sends, keys in picked:
            if sends + 1 < sends_max:
                self._wait(keys, sends + 1)
            else:
                done += map(self._take_away, keys)
        for broadcast in done:
            self._finish(broadcast)
        return messages

    def _wait(self, keys: list[int], sends: int) -> None:
        """Put what was sent so often where it waits for the next time."""
        for key in keys:
            self._queued[key].sends = sends
        tier = self._tiers.setdefault(sends, [])
        if len(keys) > _FEW:
            tier += keys
            tier.sort()
        else:
            for key in keys:
                insort(tier, key)

    def _take_away(self, key: int) -> Broadcast:
        """Forget what is in no tier any more."""
        broadcast = self._queued.pop(key)
        self.depth -= 1
        self._forget_name(broadcast)
        return broadcast

    def purge(self, now_ms: int) -> None:
        """Drop what nobody needs any more, and what is too much since the pool has become smaller."""
        for broadcast in list(self._queued.values()):
            if broadcast.expires_ms is not None and broadcast.expires_ms <= now_ms:
                self._drop(broadcast)
        self._prune(self.depth_max)

    def _prune(self, depth: int) -> None:
        while self.depth > depth:
            self._drop(self._queued[self._tiers[max(self._tiers)][0]])
            self.dropped += 1

    def _drop(self, broadcast: Broadcast) -> None:
        self._remove(broadcast)
        self._finish(broadcast)

    def _insert(self, broadcast: Broadcast) -> None:
        self._queued[broadcast.key] = broadcast
        insort(self._tiers.setdefault(broadcast.sends, []), broadcast.key)
        self.depth += 1

    def _remove(self, broadcast: Broadcast) -> None:
        tier = self._tiers[broadcast.sends]
        del tier[bisect_left(tier, broadcast.key)]
        if not tier:
            del self._tiers[broadcast.sends]
        self._take_away(broadcast.key)

    def _forget_name(self, broadcast: Broadcast) -> None:
        if broadcast.name is not None and self._named.get(broadcast.name) is broadcast:
            del self._named[broadcast.name]

    @staticmethod
    def _finish(broadcast: Broadcast) -> None:
        if broadcast.on_sent is not None:
            on_sent, broadcast.on_sent = broadcast.on_sent, None
            on_sent()


def _pick(tier: list[int], free_bytes: int, parts_max: int) -> list[int]:
    """Take from a tier what fits: of those that do, always the longest, then the newest."""
    picked: list[int] = []
    end = len(tier)
    while end and len(picked) < parts_max:
        end = bisect_left(tier, (free_bytes - COMPOUND_PART_BYTES + 1) << _SERIAL_BITS, 0, end)
        begin = end
        for key in reversed(tier[max(0, end - parts_max + len(picked)) : end]):
            cost = (key >> _SERIAL_BITS) + COMPOUND_PART_BYTES
            if cost > free_bytes:
                break
            free_bytes -= cost
            begin -= 1
        picked += reversed(tier[begin:end])
        del tier[begin:end]
        end = begin
    return picked
