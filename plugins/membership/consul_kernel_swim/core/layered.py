"""A table by name that may lie over another one, which is shared and never changed.

An agent's own tables lie over nothing. In a simulation thousands of agents know the same thousands of members, and
each table holds only what its agent has learnt besides: what is to be changed is copied first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

ValueT = TypeVar("ValueT")

EVERYTHING: Final = ""
"""Nobody's name: whatever is in the table may have changed."""
_CHANGED_MAX: Final = 4_096


class Layered(Generic[ValueT]):
    """Values in the order in which their names came. `copy` makes a value of one's own out of a shared one.

    `changed` collects the names of those that may have changed; when it is full, it holds `EVERYTHING` instead.
    """

    __slots__ = ("_base", "_changed", "_copy", "_gone", "_own", "_size")

    def __init__(self, copy: Callable[[ValueT], ValueT], changed: set[str] | None = None) -> None:
        self._copy = copy
        self._changed = changed
        self._own: dict[str, ValueT] = {}
        self._base: Mapping[str, ValueT] = {}
        self._gone: set[str] = set()
        self._size = 0

    def lie_over(self, base: Mapping[str, ValueT]) -> None:
        """Take a shared table as the base of one that is still empty."""
        self._base = base
        self._size = len(base)

    def __len__(self) -> int:
        return self._size

    def peek(self, name: str) -> ValueT | None:
        """The value to look at, never to be changed: it may be everybody's."""
        value = self._own.get(name)
        if value is None and self._base and name not in self._gone:
            return self._base.get(name)
        return value

    def get(self, name: str) -> ValueT | None:
        """The value as this table's own, which may be changed."""
        value = self._own.get(name)
        if value is None and self._base and name not in self._gone:
            shared = self._base.get(name)
            if shared is not None:
                value = self._own[name] = self._copy(shared)
        if value is not None and self._changed is not None:
            self._changed.add(name)
        return value

    def put(self, name: str, value: ValueT) -> None:
        """Add a value, or replace the one of that name."""
        if name not in self._own and (name not in self._base or name in self._gone):
            self._size += 1
            self._gone.discard(name)
        self._own[name] = value
        if self._changed is not None:
            if len(self._changed) >= _CHANGED_MAX:
                self._changed.clear()
                self._changed.add(EVERYTHING)
            self._changed.add(name)

    def remove(self, name: str) -> None:
        """Forget a name that is in the table."""
        self._own.pop(name, None)
        self._size -= 1
        if name in self._base:
            self._gone.add(name)
        if self._changed is not None:
            self._changed.add(name)

    def values(self) -> Iterable[ValueT]:
        """Every value, to look at. The table must not change meanwhile."""
        return self._layers() if self._base else self._own.values()

    def own_values(self) -> Iterable[ValueT]:
        """The values that are not the shared ones: all that may have changed."""
        return self._own.values()

    def _layers(self) -> Iterator[ValueT]:
        own, gone = self._own, self._gone
        for name, value in self._base.items():
            if name not in gone:
                yield own.get(name, value)
        for name, value in own.items():
            if name not in self._base:
                yield value

    def shared(self) -> Mapping[str, ValueT]:
        """What is in the table now, for others to lie over; this one is no longer used then."""
        kept = {name: value for name, value in self._base.items() if name not in self._gone}
        return {**kept, **self._own}
