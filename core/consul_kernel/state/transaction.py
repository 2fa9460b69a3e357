"""One command's part of a batch: it takes effect whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from consul_kernel.contracts.store import StateWriter

from .keys import require_short
from .watches import Topic


class Transaction:
    """Reads and writes for the commands of one batch, one command at a time.

    Each command begins with `begin(index)`. `rollback` takes back what the current command wrote and touched;
    earlier commands of the batch stay. `topics` and `instances` grow over the batch: what waits are to be
    woken, and which service instances (keys of the services table) look different now.
    """

    __slots__ = ("_instances_mark", "_topics_mark", "_undo", "_writer", "index", "instances", "topics")

    def __init__(self, writer: StateWriter) -> None:
        self.index = 0
        self.topics: list[Topic] = []
        self.instances: list[bytes] = []
        self._writer = writer
        self._undo: list[tuple[str, bytes, bytes | None]] = []
        self._topics_mark = 0
        self._instances_mark = 0

    def begin(self, index: int) -> None:
        """Start the command at a log index."""
        self.index = index
        self._undo.clear()
        self._topics_mark = len(self.topics)
        self._instances_mark = len(self.instances)

    def get(self, table: str, key: bytes) -> bytes | None:
        """As `StateReader.get`, with the writes so far."""
        return self._writer.get(table, key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `StateReader.range`, with the writes so far."""
        return self._writer.range(table, start, stop, reverse=reverse)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """As `StateWriter.put`. RequestError when the key is too long, which is the fault of names in the request."""
        require_short(key)
        self._undo.append((table, key, self._writer.get(table, key)))
        self._writer.put(table, key, value)

    def delete(self, table: str, key: bytes) -> bool:
        """As `StateWriter.delete`."""
        before = self._writer.get(table, key)
        if before is None:
            return False
        self._undo.append((table, key, before))
        return self._writer.delete(table, key)

    def touch(self, kind: str, key: bytes) -> None:
        """Note that what a topic covers has changed."""
        self.topics.append((kind, key))

    def rollback(self) -> None:
        """Undo the current command."""
        while self._undo:
            table, key, before = self._undo.pop()
            if before is None:
                self._writer.delete(table, key)
            else:
                self._writer.put(table, key, before)
        del self.topics[self._topics_mark :]
        del self.instances[self._instances_mark :]
