"""Hashes of what is known of each member, in buckets whose sums tell two agents whether they know the same.

A bucket holds the members whose keys begin with the same bits; the key is a hash of the name. Sums are modulo 2^64, so
that one member's change is one subtraction and one addition (incremental hashing: Bellare, Micciancio, 1997). Only
those are hashed anew that may have changed since the last comparison.

What is hashed is what a push/pull would say of the member, for it and for Serf's layer: equal hashes mean that neither
side could learn from the other. Not hashed is in what two agents differ that both know all: since when a state lasts,
who accused, and whether a member that is gone is still in the table, was reaped, or never known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from .digest_messages import BUCKETS_MAX
from .layered import EVERYTHING
from .nodes import Node, NodeTable
from .versions import without_exchange

_MASK: Final = (1 << 64) - 1
_BUCKET_SHIFT: Final = 56
_MEMBERS_PER_BUCKET: Final = 32
_KEYS_KEPT: Final = 16_384
_GONE: Final = 0
"""The hash of whoever is known and is not there: adds nothing to the sum."""

HASHED_AT_ONCE: Final = 16
"""Members that are hashed between two yields."""


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


@lru_cache(_KEYS_KEPT)
def key_of(name: str) -> int:
    """The 64 bits that stand for a name, the same everywhere."""
    return _hash(name.encode())


def bucket_count(members: int) -> int:
    """How many buckets a pool is compared in: some 16 to 32 members each, up to 256 buckets of 8 bytes."""
    return min(BUCKETS_MAX, 1 << (max(members, 1) // _MEMBERS_PER_BUCKET).bit_length())


@dataclass(frozen=True, slots=True)
class SharedHashes:
    """A table as it is, for others to lie over. Nobody changes it."""

    buckets: Sequence[Mapping[str, int]]
    sums: Sequence[int]
    other_speakers: Collection[str]


class DigestTable:
    """Always in 256 buckets; a peer that compares fewer gets the sums of neighbours.

    `changed` has the names of those whose state may be another than when it was hashed; `status_time` tells the upper
    layer's Lamport time of a member, `names` whom it knows.
    """

    def __init__(
        self,
        nodes: NodeTable,
        changed: set[str],
        status_time: Callable[[str], int | None],
        names: Callable[[], Iterable[str]],
    ) -> None:
        self._nodes = nodes
        self._changed = changed
        self._status_time = status_time
        self._names = names
        self._own: dict[int, dict[str, int | None]] = {}
        """By bucket: the hash by name, None for a name of the shared table that was forgotten."""
        self._base: Sequence[Mapping[str, int]] = ()
        self._sums: list[int] = [0] * BUCKETS_MAX
        self._other_speakers: dict[str, None] = {}

    # --- keeping up ---

    def refresh(self) -> Generator[None, None, None]:
        """Hash what may have changed; yields after each 16 members."""
        changed = self._changed
        changed.add(self._nodes.own_name)
        names = self._all_names() if EVERYTHING in changed else list(changed)
        changed.clear()
        for start in range(0, len(names), HASHED_AT_ONCE):
            for name in names[start : start + HASHED_AT_ONCE]:
                self._update(name)
            yield

    def _all_names(self) -> list[str]:
        hashed = (name for bucket in range(BUCKETS_MAX) for name in self._bucket(bucket))
        return list(dict.fromkeys((*(node.name for node in self._nodes), *self._names(), *hashed)))

    def _update(self, name: str) -> None:
        bucket = key_of(name) >> _BUCKET_SHIFT
        before, now = self._known(bucket, name), self._hash_of(name)
        self._note_versions(name)
        if before == now:
            return
        self._sums[bucket] = (self._sums[bucket] - (before or 0) + (now or 0)) & _MASK
        own = self._own.setdefault(bucket, {})
        if now is None and not self._base:
            own.pop(name, None)
        else:
            own[name] = now

    def _note_versions(self, name: str) -> None:
        node = self._nodes.peek(name)
        if node is None or without_exchange(node.versions) == without_exchange(self._nodes.own.versions):
            self._other_speakers.pop(name, None)
        else:
            self._other_speakers[name] = None

    def spoken(self) -> list[Node]:
        """Nodes that speak every version that any node spoke at the last refresh: this agent, and those unlike it."""
        others = map(self._nodes.peek, sorted(self._other_speakers))
        return [self._nodes.own, *(node for node in others if node is not None)]

    def _hash_of(self, name: str) -> int | None:
        """The hash of a living member, 0 of one that is gone, None of nobody known."""
        node, status_time = self._nodes.peek(name), self._status_time(name)
        if node is None or node.is_gone():
            return None if node is None and status_time is None else _GONE
        return _hash(node.line() + (status_time or 0).to_bytes(8, "big")) or 1

    def _known(self, bucket: int, name: str) -> int | None:
        own = self._own.get(bucket)
        if own is not None and name in own:
            return own[name]
        return self._base[bucket].get(name) if self._base else None

    # --- comparing ---

    def sums(self, count: int) -> tuple[int, ...]:
        """The digest in so many buckets, a power of two up to 256."""
        if count == BUCKETS_MAX:
            return tuple(self._sums)
        width = BUCKETS_MAX // count
        sums = self._sums
        return tuple(sum(sums[at : at + width]) & _MASK for at in range(0, BUCKETS_MAX, width))

    def members(self, index: int, count: int) -> Iterator[tuple[str, int]]:
        """Names and hashes in one of `count` buckets; the hash of those who are gone is 0."""
        width = BUCKETS_MAX // count
        for bucket in range(index * width, (index + 1) * width):
            yield from self._bucket(bucket).items()

    def names_of(self, keys: Iterable[int]) -> Generator[None, None, list[str]]:
        """The names that these keys stand for, of those that are known, in order; yields after each bucket."""
        wanted: dict[int, set[int]] = {}
        for key in keys:
            wanted.setdefault(key >> _BUCKET_SHIFT, set()).add(key)
        names: list[str] = []
        for bucket, some in wanted.items():
            names += [name for name in self._bucket(bucket) if key_of(name) in some]
            yield
        return names

    def _bucket(self, bucket: int) -> Mapping[str, int]:
        own = self._own.get(bucket, {})
        merged = {**self._base[bucket], **own} if self._base else own
        return {name: value for name, value in merged.items() if value is not None}

    # --- tables that many agents share ---

    def shared(self) -> SharedHashes:
        """All hashes, up to date."""
        for _ in self.refresh():
            pass
        return SharedHashes(
            [self._bucket(bucket) for bucket in range(BUCKETS_MAX)], tuple(self._sums), tuple(self._other_speakers)
        )

    def lie_over(self, base: SharedHashes) -> None:
        """Know what is hashed in `base`, instead of what was before."""
        self._own = {}
        self._base = base.buckets
        self._sums = list(base.sums)
        self._other_speakers = dict.fromkeys(base.other_speakers)
        self._changed.clear()
