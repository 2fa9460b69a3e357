"""What the stores cost, against what lies below them: `python tests/benchmarks/bench_store.py [FOLDER]`.

Appends are compared with a bare pwrite + fdatasync of the same bytes into a preallocated file of the same folder, reads
and writes of the state with a dict. Run by hand on a quiet machine; ratios are what counts.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from consul_kernel.contracts.store import LogEntry, StateStore, StateWriter, Store
from consul_kernel.testing.store_subject import StoreSubject

ROUNDS = 5
DATA = b"x" * 200
KEYS = 20_000
SUBJECTS = {"memory": StoreSubject("consul_kernel_memory"), "disk": StoreSubject("consul_kernel_disk")}


def say(text: str) -> None:
    """A line of the report."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def bare_flushes(folder: Path, count: int, size: int) -> float:
    """Seconds for each pwrite + fdatasync."""
    descriptor = os.open(folder / "bare", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, count * size)
    data = b"x" * size
    begin = time.perf_counter()
    for number in range(count):
        os.pwrite(descriptor, data, number * size)
        os.fdatasync(descriptor)
    seconds = (time.perf_counter() - begin) / count
    os.close(descriptor)
    (folder / "bare").unlink()
    return seconds


async def appends_one_by_one(store: Store, count: int) -> float:
    """Seconds for each append when the next waits for the one before."""
    append, index = store.log.append, store.log.last_index
    begin = time.perf_counter()
    for number in range(index + 1, index + count + 1):
        await append([LogEntry(number, 1, 0, DATA)])
    return (time.perf_counter() - begin) / count


async def appends_at_once(store: Store, count: int, concurrency: int) -> float:
    """Seconds for each append when so many are under way all the time."""
    log = store.log
    following = log.last_index + 1
    end = following + count

    async def worker() -> None:
        nonlocal following
        while following < end:
            number, following = following, following + 1
            await log.append([LogEntry(number, 1, 0, DATA)])

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.perf_counter() - begin) / count


def each(work: Callable[[], int]) -> float:
    """The best of some rounds, in seconds for each of the operations that `work` says it did."""
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        count = work()
        found.append((time.perf_counter() - begin) / count)
    return min(found)


def state_work(state: StateStore, keys: list[bytes]) -> dict[str, float]:
    """Seconds for each operation on a table of KEYS keys."""
    batches = 200

    def fill(batch: StateWriter) -> None:
        for key in keys:
            batch.put("kv", key, DATA)

    def put() -> int:
        with state.write() as batch:
            fill(batch)
        return len(keys)

    def put_alone() -> int:
        for key in keys[:batches]:
            with state.write() as batch:
                batch.put("kv", key, DATA)
        return batches

    def get() -> int:
        read = state.get
        for key in keys:
            read("kv", key)
        return len(keys)

    def walk() -> int:
        return sum(1 for _ in state.range("kv"))

    def look() -> int:
        for _ in range(batches):
            state.snapshot().close()
        return batches

    return {
        "put": each(put),
        "batch of 1": each(put_alone),
        "get": each(get),
        "range": each(walk),
        "snapshot": each(look),
    }


def dict_work(keys: list[bytes]) -> dict[str, float]:
    """The same puts and gets on a dict."""
    rows: dict[bytes, bytes] = {}

    def put() -> int:
        for key in keys:
            rows[key] = DATA
        return len(keys)

    def get() -> int:
        read = rows.get
        for key in keys:
            read(key)
        return len(keys)

    return {"put": each(put), "get": each(get)}


async def log_report(folder: Path) -> None:
    """Appends and reads of the log."""
    size = 248
    for name, subject in SUBJECTS.items():
        async with subject.opened(folder / name) as store:
            ones, many, bare = [], [], []
            for _ in range(ROUNDS):
                bare.append(bare_flushes(folder, 300, size))
                ones.append(await appends_one_by_one(store, 300))
                many.append(await appends_at_once(store, 3000, 64))
            one, crowd, flush = statistics.median(ones), statistics.median(many), statistics.median(bare)
            say(f"{name:8} bare flush         {flush * 1e6:9.1f} µs")
            say(f"{name:8} append, 1 at a time {one * 1e6:9.1f} µs   x {one / flush:.3f} of a bare flush")
            say(f"{name:8} append, 64 at once  {crowd * 1e6:9.1f} µs   x {crowd / flush:.3f} of a bare flush")
            last = store.log.last_index
            term = store.log.term

            def terms(last: int = last, term: Callable[[int], int | None] = term) -> int:
                for index in range(last - 9_999, last + 1):
                    term(index)
                return 10_000

            def tail(last: int = last, store: Store = store) -> int:
                for _ in range(1000):
                    store.log.entries(last - 63, last, 1 << 20)
                return 1000

            say(f"{name:8} term                {each(terms) * 1e9:9.0f} ns   tail of 64 {each(tail) * 1e6:9.2f} µs")


async def state_report(folder: Path) -> None:
    """Reads and writes of the state."""
    keys = [b"some/prefix/of/keys/%06d" % (number * 7919 % KEYS) for number in range(KEYS)]
    plain = dict_work(keys)
    say("dict     " + "   ".join(f"{name} {seconds * 1e9:.0f} ns" for name, seconds in plain.items()))
    for name, subject in SUBJECTS.items():
        async with subject.opened(folder / f"state-{name}") as store:
            found = state_work(store.state, keys)
        say(f"{name:8} " + "   ".join(f"{work} {seconds * 1e9:.0f} ns" for work, seconds in found.items()))
        say(
            f"{name:8} "
            + "   ".join(f"{work} x {found[work] / seconds:.1f} of a dict" for work, seconds in plain.items())
        )


def main(parent: str | None) -> None:
    """Everything, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        asyncio.run(log_report(Path(folder)))
        asyncio.run(state_report(Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
