"""The log: group commit in front of one writing thread.

Appends queue up in the event loop while the thread flushes; what has queued up goes out together in the next
flush. The event loop's view (`LogIndex`) changes only once a flush has returned, so nobody sees an entry
that is not durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consul_kernel.contracts.errors import StoreError, StoreFullError
from consul_kernel.contracts.store import HardState, LogEntry

from .files import Files
from .index import LogIndex
from .outcomes import Callback, Outcome
from .records import MAX_DATA_BYTES, RECORD_BYTES
from .recovery import Recovered, recover
from .segment import SUFFIX
from .worker import Worker
from .writer import Batch, SegmentWriter, Written

FLUSH_BYTES = 4 << 20
"""Appends are gathered into one flush up to this size."""
QUEUED_APPENDS = 1024
"""More appends than this wait for their turn to queue."""
_U32, _U64 = 1 << 32, 1 << 64


@dataclass(slots=True, eq=False)
class _Append:
    entries: Sequence[LogEntry]
    hard_state: HardState | None
    size: int
    done: Outcome


@dataclass(slots=True, eq=False)
class _Operation:
    """Something that has the files to itself: `work` runs in the thread, then `finish` in the event loop."""

    work: Callable[[], Any]
    finish: Callable[[Any], None]
    done: asyncio.Future[None]
    last_index: int | None = None
    """The log's last index afterwards, where it changes."""


class DiskLog:
    """A `LogStore` in checksummed files. After a failed write or flush it refuses everything (fsyncgate).

    Where there is no room for another file nothing was written: what was asked is refused, and the log goes on.
    """

    def __init__(self, folder: Path, files: Files, *, segment_bytes: int, cache_bytes: int) -> None:
        self._folder = folder
        self._files = files
        self._cache_bytes = cache_bytes
        self._writer = SegmentWriter(files, folder, segment_bytes)
        self._index = LogIndex(cache_bytes)
        self._hard_state = HardState()
        self._refusal: str | None = "the log is not open"
        self._queue: deque[_Append | _Operation] = deque()
        self._queued_last = 0
        self._turns = asyncio.Semaphore(QUEUED_APPENDS)
        self._busy = False
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Worker | None = None

    @property
    def first_index(self) -> int:
        return self._index.base_index + 1

    @property
    def last_index(self) -> int:
        return self._index.last_index

    @property
    def hard_state(self) -> HardState:
        return self._hard_state

    def term(self, index: int) -> int | None:
        return self._index.term(index)

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        if self._refusal is not None:
            raise StoreError(self._refusal)
        index = self._index
        if first <= index.base_index:
            raise StoreError(f"log entry {first} is not kept any more: the first is {index.base_index + 1}")
        last = min(last, index.last_index)
        if first > last:
            return ()
        if first < index.cached_from:
            return self._read(first, last, max_bytes)
        found = index.cached(first, last)
        size = 0
        for count, entry in enumerate(found):
            size += len(entry.data)
            if size > max_bytes and count:
                return found[:count]
        return found

    def exists(self) -> bool:
        """Whether a log was begun here."""
        return next(self._folder.glob(f"*{SUFFIX}"), None) is not None

    async def start(self) -> None:
        """Recover, or begin a log. Raises CorruptStoreError and OSError."""
        self._loop = asyncio.get_running_loop()
        self._thread = Worker("consul-kernel-log")
        recovered: Recovered = await self._thread.call(self._open)
        self._index, self._hard_state = recovered.index, recovered.hard_state
        self._queued_last = recovered.index.last_index
        self._refusal = None

    async def append(self, entries: Sequence[LogEntry], hard_state: HardState | None = None) -> None:
        # A free semaphore is taken without giving way, and waiters are served in order.
        async with self._turns:
            if self._refusal is not None:
                raise StoreError(self._refusal)
            size = self._check(entries)
            if hard_state == self._hard_state and not self._queue and not self._busy:
                hard_state = None
            if not entries and hard_state is None:
                return
            if entries:
                self._queued_last = entries[-1].index
            done = self._future()
            await self._enqueue(_Append(entries, hard_state, size, done), done)

    def append_then(
        self, entries: Sequence[LogEntry], hard_state: HardState | None, done: Callable[[StoreError | None], None]
    ) -> None:
        try:
            if self._refusal is not None:
                raise StoreError(self._refusal)
            size = self._check(entries)
        except StoreError as error:
            asyncio.get_running_loop().call_soon(done, error)
            return
        if entries:
            self._queued_last = entries[-1].index
        self._queue.append(_Append(entries, hard_state, size, Callback(done)))
        self._dispatch()

    async def compact(self, index: int) -> None:
        def work() -> None:
            # The index cannot change meanwhile: the operation has the log to itself.
            self._writer.compact(min(index, self._index.last_index))

        def finish(_: None) -> None:
            self._index.compact(min(index, self._index.last_index))

        async with self._turns:
            if self._refusal is not None:
                raise StoreError(self._refusal)
            done = self._future()
            await self._enqueue(_Operation(work, finish, done), done)

    async def reset(self, index: int, term: int) -> None:
        def finish(segment: Any) -> None:
            self._index.clear(index, term)
            self._index.begin(segment)

        async with self._turns:
            if self._refusal is not None:
                raise StoreError(self._refusal)
            self._queued_last = index
            done = self._future()
            await self._enqueue(_Operation(lambda: self._writer.reset(index, term), finish, done, index), done)

    async def aclose(self) -> None:
        """Flush what is queued and close the files."""
        refusal, self._refusal = self._refusal, self._refusal or "the store is closed"
        if refusal is None:
            closed = self._future()
            self._queue.append(_Operation(self._writer.close, lambda _: None, closed))
            self._schedule()
            await asyncio.wait([closed])
            closed.exception()  # who waited for the flush that failed has been told
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.call(self._writer.close)
            await thread.aclose()

    def _open(self) -> Recovered:
        """Runs in the thread."""
        self._files.make_folder(self._folder)
        recovered = recover(self._folder, self._files, self._cache_bytes)
        if recovered.headers:
            self._writer.resume(
                recovered.headers, recovered.position, recovered.checksum, recovered.hard_state, mend=recovered.torn
            )
        else:
            recovered.index.begin(self._writer.begin())
        return recovered

    def _read(self, first: int, last: int, max_bytes: int) -> list[LogEntry]:
        """Entries that are no more in memory, from their files."""
        found: list[LogEntry] = []
        size = 0
        segments = self._index.segments
        for segment, following in zip(segments, [*segments[1:], None], strict=True):
            end = last if following is None else min(last, following.base_index)
            if end < first:
                continue
            for entry in segment.read(first, end):
                size += len(entry.data)
                if size > max_bytes and found:
                    return found
                found.append(entry)
            first = end + 1
        return found

    def _check(self, entries: Sequence[LogEntry]) -> int:
        """Bytes of the entries. Raises StoreError, having changed nothing, for entries that do not join the log."""
        if not entries:
            return 0
        first, size = entries[0].index, 0
        if not 0 < first <= self._queued_last + 1:
            raise StoreError(f"an append at {first} does not join the log, which ends at {self._queued_last}")
        for index, entry in enumerate(entries, first):
            if entry.index != index:
                raise StoreError(f"entries to append are not contiguous: {entry.index} where {index} was due")
            if not (0 <= entry.kind < _U32 and 0 <= entry.term < _U64):
                raise StoreError(f"entry {index}: kind {entry.kind} or term {entry.term} is out of range")
            size += len(entry.data) + RECORD_BYTES
        if size > MAX_DATA_BYTES:
            raise StoreError(f"an append of {size} bytes is larger than the {MAX_DATA_BYTES} that are allowed")
        return size

    # --- the queue and the thread ---

    def _future(self) -> asyncio.Future[None]:
        if self._loop is None:
            raise StoreError("the log is not open")
        return self._loop.create_future()

    async def _enqueue(self, item: _Append | _Operation, done: asyncio.Future[None]) -> None:
        self._queue.append(item)
        self._schedule()
        await done

    def _schedule(self) -> None:
        """Flush at the end of this turn of the event loop, with all that queues up until then."""
        if not self._busy and not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        if self._busy or not self._queue or self._thread is None:
            return
        self._busy = True
        item = self._queue.popleft()
        if isinstance(item, _Operation):
            self._submit(item.work, [item], item.finish)
            return
        base = item.entries[0].index - 1 if item.entries else self._index.last_index
        term = self._index.term(base)
        if term is None:
            self._busy = False
            self._settle()
            error = StoreError(f"entry {base + 1} was compacted away: nothing can be appended there")
            self._future().get_loop().call_soon(_fail, item.done, error)
            return
        group = self._gather(item)
        batch = _join(base, term, group)

        def finish(written: Written) -> None:
            self._flushed(batch, written)

        self._submit(lambda: self._writer.append(batch), group, finish)

    def _settle(self) -> None:
        """Go on with the queue; where there is none, what is in the log is what the next append joins."""
        if self._queue:
            self._schedule()
        else:
            self._queued_last = self._index.last_index

    def _gather(self, first: _Append) -> list[_Append | _Operation]:
        """The appends that go out together: in order, none that replaces what another brings."""
        group: list[_Append | _Operation] = [first]
        size = first.size
        last = first.entries[-1].index if first.entries else self._index.last_index
        while self._queue:
            item = self._queue[0]
            if not isinstance(item, _Append) or size + item.size > FLUSH_BYTES:
                break
            if item.entries and item.entries[0].index != last + 1:
                break
            if item.entries:
                last = item.entries[-1].index
            size += item.size
            group.append(self._queue.popleft())
        return group

    def _submit(self, work: Callable[[], Any], group: list[Any], finish: Callable[[Any], None]) -> None:
        if self._thread is None:
            raise StoreError("the log is not open")

        def done(result: Any, error: BaseException | None) -> None:
            self._done(result, error, group, finish)

        self._thread.submit(work, done)

    def _done(self, result: Any, error: BaseException | None, group: list[Any], finish: Callable[[Any], None]) -> None:
        """Back in the event loop: take the outcome over, wake who waited, and go on."""
        self._busy = False
        if error is None:
            finish(result)
            self._settle()  # first: who is told may append again at once
            for item in group:
                if not item.done.done():
                    item.done.set_result(None)
            return
        if isinstance(error, StoreFullError):
            self._refuse_for_room(group, error)
            return
        self._refusal = f"{self._folder}: the log could not be written ({error}) and takes no more: restart the agent"
        group += self._queue
        self._queue.clear()
        for item in group:
            _fail(item.done, StoreError(self._refusal), error)

    def _refuse_for_room(self, group: list[Any], error: StoreFullError) -> None:
        """Nothing was written: the appends behind have nothing to join. What else is queued may even make room."""
        group += [item for item in self._queue if isinstance(item, _Append)]
        self._queue = deque(item for item in self._queue if isinstance(item, _Operation))
        resets = [
            item.last_index for item in self._queue if isinstance(item, _Operation) and item.last_index is not None
        ]
        self._queued_last = resets[-1] if resets else self._index.last_index
        self._settle()
        for item in group:
            _fail(item.done, StoreFullError(str(error)), error)

    def _flushed(self, batch: Batch, written: Written) -> None:
        if batch.entries:
            self._index.truncate(batch.base_index)
        if written.segment is not None:
            self._index.begin(written.segment)
        if batch.entries:
            self._index.extend(batch.entries, written.offsets)
        if batch.hard_state is not None:
            self._hard_state = batch.hard_state


def _join(base_index: int, base_term: int, group: Sequence[Any]) -> Batch:
    if len(group) == 1:
        return Batch(base_index, base_term, group[0].entries, group[0].hard_state)
    entries = [entry for item in group for entry in item.entries]
    hard_states = [item.hard_state for item in group if item.hard_state is not None]
    return Batch(base_index, base_term, entries, hard_states[-1] if hard_states else None)


def _fail(done: Outcome, error: StoreError, cause: BaseException | None = None) -> None:
    if not done.done():
        error.__cause__ = cause
        done.set_exception(error)
