"""One command's part of a batch: it takes effect whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from consul_kernel.contracts.store import StateWriter

from .generations import FIRST_GENERATION, FIRST_NAMES, Generations, TableNames, unused_generation
from .keys import require_short
from .watches import Topic


class Transaction:
    """Reads and writes for the commands of one batch, one command at a time.

    Each command begins with `begin(log_index)`. `rollback` takes back what the current command wrote and touched;
    earlier commands of the batch stay. `topics` and `instances` grow over the batch: what waits are to be
    woken, and which service instances (keys of the services table) look different now; so does `lock_delays`: keys
    that lost their session, each with the nanoseconds for which it should not be locked again. `generations` and
    `offset` are the state's as of now; who made the batch takes them over once it is complete.
    """

    __slots__ = (
        "_delays_mark",
        "_instances_mark",
        "_names",
        "_topics_mark",
        "_undo",
        "_writer",
        "generations",
        "index",
        "instances",
        "lock_delays",
        "offset",
        "topics",
    )

    def __init__(
        self,
        writer: StateWriter,
        generations: Generations = FIRST_GENERATION,
        offset: int = 0,
        names: TableNames = FIRST_NAMES,
    ) -> None:
        """`names` are those of the current generation."""
        self.index = 0
        """The state's index of the current command."""
        self.topics: list[Topic] = []
        self.instances: list[bytes] = []
        self.lock_delays: list[tuple[bytes, int]] = []
        self.generations = generations
        self.offset = offset
        """What is added to a log index, so that indexes go on after those that a restored state had."""
        self._names = names
        self._writer = writer
        self._undo: list[tuple[str, bytes, bytes | None]] = []
        self._topics_mark = 0
        self._instances_mark = 0
        self._delays_mark = 0

    def begin(self, log_index: int) -> None:
        """Start the command at a log index."""
        self.index = log_index + self.offset
        self._undo.clear()
        self._topics_mark = len(self.topics)
        self._instances_mark = len(self.instances)
        self._delays_mark = len(self.lock_delays)

    def get(self, table: str, key: bytes) -> bytes | None:
        """As `StateReader.get`, with the writes so far."""
        return self._writer.get(self._names[table], key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `StateReader.range`, with the writes so far."""
        return self._writer.range(self._names[table], start, stop, reverse=reverse)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """As `StateWriter.put`. RequestError when the key is too long, which is the fault of names in the request."""
        require_short(key)
        name = self._names[table]
        self._undo.append((name, key, self._writer.get(name, key)))
        self._writer.put(name, key, value)

    def delete(self, table: str, key: bytes) -> bool:
        """As `StateWriter.delete`."""
        name = self._names[table]
        before = self._writer.get(name, key)
        if before is None:
            return False
        self._undo.append((name, key, before))
        return self._writer.delete(name, key)

    def touch(self, kind: str, key: bytes) -> None:
        """Note that what a topic covers has changed."""
        self.topics.append((kind, key))

    def rollback(self) -> None:
        """Undo the current command."""
        while self._undo:
            name, key, before = self._undo.pop()
            if before is None:
                self._writer.delete(name, key)
            else:
                self._writer.put(name, key, before)
        del self.topics[self._topics_mark :]
        del self.instances[self._instances_mark :]
        del self.lock_delays[self._delays_mark :]

    # --- replacing the whole state; not undone by `rollback`: to be called once nothing can be refused any more ---

    def stage(self) -> None:
        """Begin another state, empty, beside this one; what was staged before is waste."""
        current = self.generations.current
        taken = self.generations.kept
        self.generations = Generations(current, unused_generation(self._writer.tables(), taken))

    def unstage(self) -> None:
        """Give up what is staged."""
        self.generations = Generations(self.generations.current)

    def put_staged(self, table: str, pairs: list[bytes]) -> None:
        """Add keys and values, by turns, to a table of the staged state."""
        assert self.generations.staged is not None
        name = TableNames(self.generations.staged)[table]
        put = self._writer.put
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            put(name, key, value)

    def replace_state(self, offset: int) -> None:
        """Let the staged state be the state, and give log indexes a new offset."""
        assert self.generations.staged is not None
        self.index += offset - self.offset
        self.offset = offset
        self.generations = Generations(self.generations.staged)
        self._names = TableNames(self.generations.current)
        self._undo.clear()
