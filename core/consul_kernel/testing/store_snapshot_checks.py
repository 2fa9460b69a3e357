"""Checks of a store's snapshots: clauses S of docs/contracts/store.md."""

from __future__ import annotations

from pathlib import Path

from consul_kernel.contracts.store import SnapshotMeta, SnapshotSource, SnapshotStore

from .clauses import require
from .store_subject import Check, StoreSubject, require_async_refusal, require_equal


async def take(store: SnapshotStore, index: int, data: bytes = b"state", term: int = 1) -> SnapshotMeta:
    """Take a snapshot in two writes."""
    sink = await store.create(index=index, term=term, configuration=b"\x00conf\xff", configuration_index=index - 1)
    await sink.write(data[: len(data) // 3])
    await sink.write(data[len(data) // 3 :])
    return await sink.commit()


async def read(source: SnapshotSource, max_bytes: int = 65536) -> bytes:
    """All that is left of a source, which is then closed."""
    found = b""
    while chunk := await source.read(max_bytes):
        require(len(chunk) <= max_bytes, "S3: more than max_bytes")
        found += chunk
    require_equal(await source.read(max_bytes), b"", "S3: after the end")
    source.close()
    source.close()
    return found


async def check_s1_nothing_before_commit(subject: StoreSubject, folder: Path) -> None:
    """S1, S6: create, write and abort leave nothing; a finished sink refuses."""
    async with subject.opened(folder) as store:
        snapshots = store.snapshots
        require_equal(list(snapshots.list()), [], "S1: a new store")
        sink = await snapshots.create(index=5, term=1, configuration=b"", configuration_index=0)
        await sink.write(b"data")
        require_equal(list(snapshots.list()), [], "S1: before commit")
        await sink.abort()
        await sink.abort()
        require_equal(list(snapshots.list()), [], "S1: after abort")
        await require_async_refusal(sink.write(b"more"), "S6: write after abort")
        await require_async_refusal(sink.commit(), "S6: commit after abort")
        sink = await snapshots.create(index=5, term=1, configuration=b"", configuration_index=0)
        meta = await sink.commit()
        await sink.abort()
        require_equal(list(snapshots.list()), [meta], "S1: abort after commit")
        await require_async_refusal(sink.write(b"more"), "S6: write after commit")
        await require_async_refusal(sink.commit(), "S6: commit twice")


async def check_s2_list_and_meta(subject: StoreSubject, folder: Path) -> None:
    """S2: newest first, all that was given, the real size, and different ids."""
    async with subject.opened(folder) as store:
        first = await take(store.snapshots, 7, b"x" * 1000, term=3)
        wanted = SnapshotMeta(
            id=first.id, index=7, term=3, configuration=b"\x00conf\xff", configuration_index=6, size=1000
        )
        require_equal(first, wanted, "S2: meta")
        twin = await take(store.snapshots, 7, b"y", term=3)
        require(twin.id != first.id, "S2: two snapshots have one id")
        newest = await take(store.snapshots, 9)
        require_equal(store.snapshots.list()[0], newest, "S2: the newest comes first")
        source = await store.snapshots.open(newest.id)
        require_equal(source.meta, newest, "S2: meta of the source")
        source.close()


async def check_s3_bytes_come_back(subject: StoreSubject, folder: Path) -> None:
    """S3: sizes around every boundary, read in pieces."""
    async with subject.opened(folder) as store:
        for number, size in enumerate((0, 1, 2, 4096, 300_001)):
            data = bytes(index * 31 % 251 for index in range(size))
            meta = await take(store.snapshots, number + 1, data)
            require_equal(meta.size, size, "S3: size")
            for max_bytes in (1000, 1 << 20):
                require(await read(await store.snapshots.open(meta.id), max_bytes) == data, "S3: bytes")


async def check_s4_retention(subject: StoreSubject, folder: Path) -> None:
    """S4: few are kept, the newest among them; an open source outlives its snapshot."""
    async with subject.opened(folder) as store:
        first = await take(store.snapshots, 1, b"first" * 50_000)
        source = await store.snapshots.open(first.id)
        require_equal(await source.read(5), b"first", "S4")
        for index in range(2, 12):
            await take(store.snapshots, index)
        kept = [meta.index for meta in store.snapshots.list()]
        require(0 < len(kept) < 11, f"S4: {len(kept)} snapshots are kept")
        require_equal(kept, list(range(11, 11 - len(kept), -1)), "S4: the newest are kept")
        require(await read(source) == (b"first" * 50_000)[5:], "S4: an open source of a dropped snapshot")
        await require_async_refusal(store.snapshots.open(first.id), "S4: a dropped snapshot")


async def check_s5_unknown_ids(subject: StoreSubject, folder: Path) -> None:
    """S5: ids that name nothing, some of which would lead out of a folder."""
    async with subject.opened(folder) as store:
        await take(store.snapshots, 3)
        for unknown in ("", "nothing", "..", "../..", "/etc", "1-3-0", "x" * 500, "\x00"):
            await require_async_refusal(store.snapshots.open(unknown), f"S5: {unknown!r:.20}")


SNAPSHOT_CHECKS: tuple[Check, ...] = (
    check_s1_nothing_before_commit,
    check_s2_list_and_meta,
    check_s3_bytes_come_back,
    check_s4_retention,
    check_s5_unknown_ids,
)
