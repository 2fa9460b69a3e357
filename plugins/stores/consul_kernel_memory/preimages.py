"""What changed keys held before they changed: the undo log of a batch, the overlay of a snapshot."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import islice

from sortedcontainers import SortedDict

PAGE_KEYS = 512
"""A range is read this many live keys at a time, so that it survives writes between two steps."""


class _Images:
    """The pre-images of one table: a dict for reads, and its keys in order, sorted when a range needs them."""

    __slots__ = ("_order", "rows")

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self._order: list[bytes] = []

    def between(self, start: bytes, stop: bytes | None) -> list[bytes]:
        """Changed keys with `start <= key < stop`, in order."""
        order = self._order
        if len(order) != len(self.rows):
            # Rows are only ever added, and a dict keeps their order: what is new is at its end.
            order.extend(islice(self.rows, len(order), None))
            order.sort()
        first = bisect_left(order, start)
        return order[first : len(order) if stop is None else bisect_left(order, stop)]


class PreImages:
    """For each table, the value of each changed key before its first change (None: it was not there)."""

    __slots__ = ("_tables",)

    def __init__(self) -> None:
        self._tables: dict[str, _Images] = {}

    def save(self, table: str, key: bytes, value: bytes | None) -> None:
        """Remember a value that is about to change, unless an older one is known."""
        images = self._tables.get(table)
        if images is None:
            images = self._tables[table] = _Images()
        if key not in images.rows:
            images.rows[key] = value

    def rows(self, table: str) -> dict[bytes, bytes | None]:
        """The pre-images of a table, to which keys may be added."""
        return self._tables.setdefault(table, _Images()).rows

    def save_all(self, table: str, rows: Mapping[bytes, bytes]) -> None:
        """Remember a whole table that is about to be emptied."""
        saved = self.rows(table)
        for key, value in rows.items():
            saved.setdefault(key, value)

    def copy(self) -> PreImages:
        """The same pre-images, to go their own way."""
        twin = PreImages()
        for table, images in self._tables.items():
            twin.rows(table).update(images.rows)
        return twin

    def restore(self, live: dict[str, SortedDict]) -> None:
        """Put every old value back."""
        for table, images in self._tables.items():
            rows = live.setdefault(table, SortedDict())
            for key, value in images.rows.items():
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value

    def get(self, live: Mapping[str, SortedDict], table: str, key: bytes) -> bytes | None:
        """The old value of a key."""
        images = self._tables.get(table)
        if images is not None and key in images.rows:
            return images.rows[key]
        rows = live.get(table)
        return None if rows is None else rows.get(key)

    def tables(self, live: Mapping[str, SortedDict]) -> list[str]:
        """Names of the tables that held a key, sorted."""
        names = live.keys() | self._tables.keys()
        return sorted(name for name in names if next(self.range(live, name, b"", None, False), None))

    def range(
        self, live: Mapping[str, SortedDict], table: str, start: bytes, stop: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Old pairs in order. Each page is resolved in one go, so writes between two steps do no harm."""
        while True:
            rows = live.get(table) or SortedDict()
            walk = rows.irange(start, stop, inclusive=(True, False), reverse=reverse)
            keys = list(islice(walk, PAGE_KEYS))
            last_page = len(keys) < PAGE_KEYS
            # The page covers [low, high): as far as the live keys go, or to the end of the range.
            low, high = start, stop
            if not last_page:
                if reverse:
                    low = keys[-1]
                else:
                    high = keys[-1] + b"\x00"
            yield from self._page(rows, keys, table, low, high, reverse)
            if last_page:
                return
            if reverse:
                stop = low
            else:
                start = keys[-1] + b"\x00"

    def _page(
        self, rows: SortedDict, keys: list[bytes], table: str, low: bytes, high: bytes | None, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        images = self._tables.get(table)
        changed = images.between(low, high) if images is not None else []
        if images is None or not changed:
            return [(key, rows[key]) for key in keys]
        page = [(key, rows[key]) for key in keys if key not in images.rows]
        page.extend((key, value) for key in changed if (value := images.rows[key]) is not None)
        page.sort(reverse=reverse)
        return page
