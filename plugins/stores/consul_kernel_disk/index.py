"""What the log knows without reading a file: its bounds, the terms, where entries are, and the newest entries."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence

from consul_kernel.contracts.store import LogEntry

from .segment import Segment

ENTRY_OVERHEAD_BYTES = 160
"""What an entry costs in memory besides its data."""


class LogIndex:
    """The log as of its last flush. Entries `base_index + 1` to `last_index` exist."""

    def __init__(self, cache_bytes: int) -> None:
        self.base_index = 0
        self.base_term = 0
        self.last_index = 0
        self.segments: list[Segment] = []
        """Files that hold entries of the log, in order, their `base_index` ascending."""
        # Terms as runs: entries from _run_starts[i] up to the next start have _run_terms[i].
        self._run_starts: list[int] = []
        self._run_terms: list[int] = []
        self._cache: list[LogEntry] = []
        self._cache_size = 0
        self._cache_bytes = cache_bytes

    def term(self, index: int) -> int | None:
        """The term of an entry, or of the one just before the log."""
        if self.base_index < index <= self.last_index:
            starts = self._run_starts
            if index >= starts[-1]:
                return self._run_terms[-1]
            return self._run_terms[bisect_right(starts, index) - 1]
        return self.base_term if index == self.base_index else None

    @property
    def cached_from(self) -> int:
        """The first entry in memory; `last_index + 1` when none is."""
        return self.last_index + 1 - len(self._cache)

    def cached(self, first: int, last: int) -> list[LogEntry]:
        """Entries in memory; `first` must be one."""
        offset = self.cached_from
        return self._cache[first - offset : last + 1 - offset]

    def clear(self, index: int, term: int) -> None:
        """The log is empty and goes on after `index`."""
        self.base_index, self.base_term, self.last_index = index, term, index
        self.segments.clear()
        self._run_starts.clear()
        self._run_terms.clear()
        self._cache.clear()
        self._cache_size = 0

    def truncate(self, last: int) -> None:
        """Forget what comes after entry `last`, which is in the log or just before it."""
        if last >= self.last_index:
            return
        kept = max(0, last + 1 - self.cached_from)
        self._cache_size -= sum(len(entry.data) + ENTRY_OVERHEAD_BYTES for entry in self._cache[kept:])
        del self._cache[kept:]
        self.last_index = last
        while self._run_starts and self._run_starts[-1] > last:
            self._run_starts.pop()
            self._run_terms.pop()
        while len(self.segments) > 1 and self.segments[-1].base_index > last:
            self.segments.pop()
        if self.segments:
            segment = self.segments[-1]
            del segment.offsets[max(0, last - segment.base_index) :]

    def begin(self, segment: Segment) -> None:
        """The log goes on in a new file, whose base is its last entry."""
        self.segments = [kept for kept in self.segments if kept.base_index < segment.base_index]
        self.segments.append(segment)

    def extend(self, entries: Sequence[LogEntry], offsets: array[int]) -> None:
        """Entries were added to the last file, after `last_index`."""
        self.segments[-1].offsets.extend(offsets)
        term = self._run_terms[-1] if self._run_terms else -1
        size = 0
        for entry in entries:
            if entry.term != term:
                term = entry.term
                self._run_starts.append(entry.index)
                self._run_terms.append(term)
            size += len(entry.data)
        self.last_index += len(entries)
        self._cache.extend(entries)
        self._cache_size += size + ENTRY_OVERHEAD_BYTES * len(entries)
        if self._cache_size > self._cache_bytes:
            self._evict()

    def compact(self, index: int) -> None:
        """Forget files whose entries are all at or before `index`."""
        keep = 0
        for position, segment in enumerate(self.segments):
            if segment.base_index <= index:
                keep = position
        base = self.segments[keep].base_index
        if base <= self.base_index:
            return
        self.base_term = self.term(base) or 0
        self.base_index = base
        del self.segments[:keep]
        first_run = bisect_right(self._run_starts, base + 1) - 1
        if first_run > 0:
            del self._run_starts[:first_run]
            del self._run_terms[:first_run]
        if self.cached_from <= base:
            self._drop_cached(base + 1 - self.cached_from)

    def _evict(self) -> None:
        """Bring the cache down to three quarters, so that the list is not moved at every append."""
        surplus = self._cache_size - self._cache_bytes * 3 // 4
        count = 0
        for entry in self._cache:
            if surplus <= 0:
                break
            surplus -= len(entry.data) + ENTRY_OVERHEAD_BYTES
            count += 1
        self._drop_cached(count)

    def _drop_cached(self, count: int) -> None:
        self._cache_size -= sum(len(entry.data) + ENTRY_OVERHEAD_BYTES for entry in self._cache[:count])
        del self._cache[:count]
