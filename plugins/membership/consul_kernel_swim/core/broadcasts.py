"""The queue of messages to gossip, each sent a limited number of times.

Picked are those sent least often, among them the largest that fits, among them the newest (memberlist's
TransmitLimitedQueue). A message under a name replaces the queued one of that name. When the queue is full, the one
sent most often, then the shortest, then the oldest makes room. The queue is longer in a large pool.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable

from .packets import COMPOUND_PART_BYTES


class Broadcast:
    """One queued message. `on_sent` is called once: when it was sent often enough, replaced or dropped."""

    __slots__ = ("expires_ms", "message", "name", "on_sent", "sends", "serial")

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
        self.serial = serial
        self.sends = 0
        self.expires_ms = expires_ms


_Entry = tuple[int, int, Broadcast]
"""A place among those sent as often: the longest first, then the newest."""


class BroadcastQueue:
    """Messages are complete: type byte first. It holds `depth_min`, or 2 × `member_count()` if that is more."""

    def __init__(self, depth_min: int, member_count: Callable[[], int] = lambda: 0) -> None:
        self._depth_min = depth_min
        self._member_count = member_count
        self._tiers: dict[int, list[_Entry]] = {}
        self._named: dict[str, Broadcast] = {}
        self._depth = 0
        self._serial = 0
        self.dropped = 0

    def __len__(self) -> int:
        return self._depth

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
            older = self._named.pop(name, None)
            if older is not None:
                self._remove(older)
                self._finish(older)
        if self._depth >= self._depth_min:
            self._prune(self.depth_max - 1)
        self._serial += 1
        broadcast = Broadcast(message, name, on_sent, self._serial, expires_ms)
        if name is not None:
            self._named[name] = broadcast
        self._insert(broadcast)

    def take(self, free_bytes: int, parts_max: int, sends_max: int) -> list[bytes]:
        """Messages for one packet, each costing its length and two bytes of the compound."""
        if not self._depth or parts_max <= 0:
            return []
        picked: list[_Entry] = []
        tiers = self._tiers
        for sends in sorted(tiers) if len(tiers) > 1 else list(tiers):
            tier = tiers[sends]
            at = 0
            while len(picked) < parts_max:
                if -tier[at][0] + COMPOUND_PART_BYTES > free_bytes:
                    at = bisect_left(tier, (COMPOUND_PART_BYTES - free_bytes,), at)
                    if at >= len(tier):
                        break
                entry = tier.pop(at)
                free_bytes += entry[0] - COMPOUND_PART_BYTES
                picked.append(entry)
                if at >= len(tier):
                    break
            if not tier:
                del tiers[sends]
        for entry in picked:
            broadcast = entry[2]
            broadcast.sends += 1
            if broadcast.sends < sends_max:
                insort(tiers.setdefault(broadcast.sends, []), entry)
            else:
                self._depth -= 1
                self._forget_name(broadcast)
                self._finish(broadcast)
        return [entry[2].message for entry in picked]

    def purge(self, now_ms: int) -> None:
        """Drop what nobody needs any more, and what is too much since the pool has become smaller."""
        queued = [entry[2] for tier in self._tiers.values() for entry in tier]
        for broadcast in queued:
            if broadcast.expires_ms is not None and broadcast.expires_ms <= now_ms:
                self._drop(broadcast)
        self._prune(self.depth_max)

    def _prune(self, depth: int) -> None:
        while self._depth > depth:
            self._drop(self._tiers[max(self._tiers)][-1][2])
            self.dropped += 1

    def _drop(self, broadcast: Broadcast) -> None:
        self._remove(broadcast)
        self._forget_name(broadcast)
        self._finish(broadcast)

    def _insert(self, broadcast: Broadcast) -> None:
        entry = (-len(broadcast.message), -broadcast.serial, broadcast)
        insort(self._tiers.setdefault(broadcast.sends, []), entry)
        self._depth += 1

    def _remove(self, broadcast: Broadcast) -> None:
        tier = self._tiers[broadcast.sends]
        del tier[bisect_left(tier, (-len(broadcast.message), -broadcast.serial))]
        if not tier:
            del self._tiers[broadcast.sends]
        self._depth -= 1

    def _forget_name(self, broadcast: Broadcast) -> None:
        if broadcast.name is not None and self._named.get(broadcast.name) is broadcast:
            del self._named[broadcast.name]

    @staticmethod
    def _finish(broadcast: Broadcast) -> None:
        if broadcast.on_sent is not None:
            on_sent, broadcast.on_sent = broadcast.on_sent, None
            on_sent()
