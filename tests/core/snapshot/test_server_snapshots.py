"""A server's part: archives of a moment, and restores that happen whole or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from consul_kernel.contracts.errors import (
    ConsulKernelError,
    LeadershipLostError,
    NotLeaderError,
    RpcError,
    StoreError,
)
from consul_kernel.server.snapshots import MAX_ARRIVING, MAX_SAVES, ServerSnapshots
from consul_kernel.server.waste import WasteRemover
from consul_kernel.snapshot.archive import ArchiveError
from consul_kernel.snapshot.encoding import encode_record
from consul_kernel.snapshot.records import RecordType
from consul_kernel.snapshot.restorer import BYTES_AHEAD
from consul_kernel.snapshot.saver import MAX_ATTEMPTS
from consul_kernel.state import CommandType
from consul_kernel.state.commands import encode_command
from consul_kernel.state.restore import RestoreOp, RestoreRequest
from consul_kernel.state.snapshot import FrozenState
from consul_kernel.state.tables import Reader
from consul_kernel.structs.kv import DirEntry, KeyRequest
from consul_kernel.structs.methods import KVS_GET
from consul_kernel.structs.snapshot import SnapshotRequest
from core.endpoints.harness import Endpoints, settle
from core.snapshot.archives import REAL, pack, state_of, unpack

ENTRIES = [DirEntry(key=b"k/%04d" % n, value=b"x" * 300, create_index=n + 1, modify_index=n + 1) for n in range(3000)]
ARCHIVE = pack(state_of(ENTRIES, last_index=5000), index=5000)


class ServerWorld:
    """A server of a quorum of one, and what it was told to do after a restore."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoints = Endpoints()
        self.reasserted = 0
        self.reassert_error: ConsulKernelError | None = None
        self.snapshots = ServerSnapshots(
            context=self.endpoints.context, spool_folder=folder, on_restored=self._restored
        )

    async def _restored(self) -> None:
        self.reasserted += 1
        if self.reassert_error is not None:
            raise self.reassert_error

    async def save(self, request: SnapshotRequest | None = None) -> bytes:
        saved = await self.snapshots.save(request or SnapshotRequest())
        try:
            return b"".join([piece async for piece in saved.archive])
        finally:
            await saved.archive.aclose()

    async def restore(self, archive: bytes | Sequence[bytes]) -> None:
        await self.snapshots.restore(pieces_of(archive))

    def keys(self) -> list[bytes]:
        return self.endpoints.state.kv.keys(b"")[1]

    def leave_nothing(self) -> None:
        """No file is left, and nothing counts as under way."""
        assert list(self.folder.iterdir()) == []
        assert self.endpoints.state.restore_under_way() == ""


async def pieces_of(archive: bytes | Sequence[bytes]) -> AsyncIterator[bytes]:
    pieces = (
        [archive[at : at + 65536] for at in range(0, len(archive), 65536)] if isinstance(archive, bytes) else archive
    )
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@pytest.fixture
def world(tmp_path: Path) -> ServerWorld:
    return ServerWorld(tmp_path)


# --- saving ---


async def test_what_is_saved_is_restored(world: ServerWorld, tmp_path: Path) -> None:
    for number in range(50):
        await world.endpoints.put(b"a/%d" % number, b"v" * number)
    await world.endpoints.delete(b"a/7")
    archive = await world.save()
    meta, _ = unpack(archive)
    assert (meta.index, meta.term) == (51, 1)
    assert meta.configuration.servers is not None
    assert [server.address for server in meta.configuration.servers] == ["127.0.0.1:8300"]
    other = ServerWorld(tmp_path)
    await other.endpoints.put(b"other")
    await other.restore(archive)
    assert other.keys() == world.keys()
    assert other.reasserted == 1
    assert other.endpoints.state.kv.entries(b"a/7") == world.endpoints.state.kv.entries(b"a/7")
    world.leave_nothing()
    other.leave_nothing()


async def test_an_archive_is_of_one_moment_whatever_is_written_meanwhile(world: ServerWorld) -> None:
    await world.restore(ARCHIVE)
    rng = random.Random(3)
    saving = asyncio.ensure_future(world.save())
    await asyncio.sleep(0)  # its first turn, in which it freezes the state
    writes = 0
    while not saving.done():
        await world.endpoints.put(b"k/%04d" % rng.randrange(3000), b"changed")
        await world.endpoints.delete(b"k/%04d" % rng.randrange(3000))
        writes += 1
        await asyncio.sleep(0)
    assert writes > 5
    meta, state = unpack(await saving)
    assert meta.index == 5001
    assert state == state_of(ENTRIES, last_index=5001) + encode_record(RecordType.CHUNKING_STATE, {"ChunkMap": {}})


async def test_the_answer_tells_the_index_of_the_state_in_the_archive(world: ServerWorld) -> None:
    index = await world.endpoints.put(b"a")
    saved = await world.snapshots.save(SnapshotRequest())
    assert (saved.response.index, saved.response.known_leader, saved.response.last_contact) == (index, True, 0)
    await saved.archive.aclose()


async def test_only_a_leader_saves_unless_stale_is_enough(world: ServerWorld) -> None:
    consensus = world.endpoints.consensus
    await world.endpoints.put(b"a")
    await world.save()
    assert consensus.verified == 1
    consensus.verify_error = NotLeaderError("no")
    with pytest.raises(RpcError, match="No cluster leader"):
        await world.save()
    consensus.is_leader, consensus.last_contact_ms = False, 30
    saved = await world.snapshots.save(SnapshotRequest(allow_stale=True))
    assert saved.response.last_contact == 30_000_000
    await saved.archive.aclose()
    world.leave_nothing()


async def test_a_state_without_anything_is_not_saved(world: ServerWorld) -> None:
    with pytest.raises(RpcError, match="nothing new to snapshot"):
        await world.save()


async def test_so_many_archives_are_saved_at_once_and_no_more(world: ServerWorld) -> None:
    await world.endpoints.put(b"a")
    saved = [await world.snapshots.save(SnapshotRequest()) for _ in range(MAX_SAVES)]
    with pytest.raises(RpcError, match="being saved already"):
        await world.save()
    for each in saved:
        await each.archive.aclose()
        await each.archive.aclose()
    assert await world.save()


class EndingReader:
    """Reads of a view that the store ends after so many."""

    def __init__(self, reader: Reader, reads: int) -> None:
        self._reader = reader
        self._reads = reads

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._reader.get(table, key)

    def range(
        self, table: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for pair in self._reader.range(table, start, stop, reverse=reverse):
            self._reads -= 1
            if self._reads < 0:
                raise StoreError("the snapshot was ended")
            yield pair


@pytest.mark.parametrize("ended", [1, MAX_ATTEMPTS])
async def test_a_view_that_the_store_ends_is_taken_again(world: ServerWorld, ended: int) -> None:
    await world.restore(ARCHIVE)
    state, freeze = world.endpoints.state, world.endpoints.state.freeze
    views: list[FrozenState] = []

    def freezing() -> FrozenState:
        views.append(freeze())
        if len(views) <= ended:
            views[-1].reader = EndingReader(views[-1].reader, 700)  # type: ignore[assignment]
        return views[-1]

    state.freeze = freezing  # type: ignore[method-assign]
    if ended < MAX_ATTEMPTS:
        assert unpack(await world.save())[0].index == 5001
    else:
        with pytest.raises(StoreError, match="the snapshot was ended"):
            await world.save()
    assert len(views) == min(ended + 1, MAX_ATTEMPTS)
    world.leave_nothing()


async def test_a_disk_that_cannot_be_written_is_told(world: ServerWorld) -> None:
    await world.endpoints.put(b"a")
    world.folder.rmdir()
    for _ in range(MAX_SAVES + 1):
        with pytest.raises(ArchiveError, match="failed to read or write snapshot data: No such file"):
            await world.save()
    with pytest.raises(ArchiveError, match="failed to read or write snapshot data: No such file"):
        await world.restore(ARCHIVE)


# --- restoring ---


async def test_a_restore_goes_through_the_log_in_pieces(world: ServerWorld) -> None:
    await world.endpoints.put(b"before")
    await world.restore(ARCHIVE)
    proposals = world.endpoints.consensus.proposals[1:]
    assert all(command[0] == CommandType.RESTORE for command in proposals)
    assert len(proposals) > 5
    assert max(map(len, proposals)) < 256 * 1024
    assert world.keys() == [entry.key for entry in ENTRIES]
    assert await world.endpoints.put(b"new") < 100
    assert world.endpoints.state.kv.get(b"new").modify_index == 5002  # type: ignore[union-attr]
    world.leave_nothing()


async def test_long_values_are_not_all_under_way_at_once(world: ServerWorld) -> None:
    consensus, propose = world.endpoints.consensus, world.endpoints.consensus.propose
    ahead, most = 0, 0

    async def slow(command: bytes, *, timeout_ms: int) -> object:
        nonlocal ahead, most
        ahead += len(command)
        most = max(most, ahead)
        await asyncio.sleep(0.05)
        ahead -= len(command)
        return await propose(command, timeout_ms=timeout_ms)

    consensus.propose = slow  # type: ignore[method-assign]
    entries = [DirEntry(key=b"%d" % n, value=bytes(3 * 1024 * 1024), modify_index=1) for n in range(6)]
    await world.restore(pack(state_of(entries), piece=1 << 20))
    assert len(world.keys()) == 6
    assert 6 * 1024 * 1024 < most < BYTES_AHEAD


async def test_blocked_queries_are_answered(world: ServerWorld) -> None:
    index = await world.endpoints.put(b"a")
    async with world.endpoints.blocked(KVS_GET, KeyRequest(key=b"a", min_query_index=index)) as waiting:
        await world.restore(ARCHIVE)
        reply = await waiting
        assert reply.entries is None
        assert reply.index == 3000


DAMAGED = [
    (b"", "failed to decompress snapshot"),
    (b"no archive at all", "failed to decompress snapshot"),
    (ARCHIVE[:-30], "unexpected EOF|failed to decompress"),
    (pack(state_of(ENTRIES)[:-3], index=5), r"record 3000 of the snapshot \(Index\) is cut short"),
    (pack(state_of(ENTRIES, tail=b"\x03\xc1")), r"record 3001 of the snapshot \(Session\) is no MessagePack"),
    (pack(state_of(ENTRIES, tail=b"\x03\x90")), r"record 3001 of the snapshot \(Session\) cannot be taken"),
    (pack(state_of([*ENTRIES, DirEntry(key=b"x" * 1600)])), r"has a key of 1600 bytes, 1 to 1528 are possible"),
    (pack(b""), "header of the snapshot's state is cut short"),
]


@pytest.mark.parametrize(("archive", "text"), DAMAGED)
async def test_what_is_wrong_with_an_archive_leaves_all_as_it_was(
    world: ServerWorld, archive: bytes, text: str
) -> None:
    index = await world.endpoints.put(b"a")
    with pytest.raises(ArchiveError, match=text):
        await world.restore(archive)
    assert world.keys() == [b"a"]
    assert world.endpoints.state.kv.max_index() == index
    assert world.reasserted == 0
    world.leave_nothing()
    await world.restore(REAL)
    assert len(world.keys()) == 205


class FailingConsensus:
    """Lets so many proposals through, then fails."""

    def __init__(self, world: ServerWorld, after: int) -> None:
        self._propose = world.endpoints.consensus.propose
        self.left = after
        world.endpoints.consensus.propose = self.propose  # type: ignore[method-assign]

    async def propose(self, command: bytes, *, timeout_ms: int) -> object:
        if self.left <= 0:
            raise LeadershipLostError("lost")
        self.left -= 1
        await asyncio.sleep(0)
        return await self._propose(command, timeout_ms=timeout_ms)


@pytest.mark.parametrize("after", [0, 1, 2, 5])
async def test_leadership_that_is_lost_on_the_way_leaves_all_as_it_was(world: ServerWorld, after: int) -> None:
    await world.endpoints.put(b"a")
    failing = FailingConsensus(world, after)
    with pytest.raises(RpcError, match="leadership lost"):
        await world.restore(ARCHIVE)
    assert world.keys() == [b"a"]
    failing.left = 1_000
    assert bool(world.endpoints.state.restore_under_way()) is (after > 0)
    await world.snapshots.abandon()
    world.leave_nothing()
    await world.snapshots.abandon()
    await world.restore(ARCHIVE)
    assert len(world.keys()) == 3000


async def test_another_restore_that_began_meanwhile_ends_this_one(world: ServerWorld) -> None:
    await world.endpoints.put(b"a")
    consensus, propose = world.endpoints.consensus, world.endpoints.consensus.propose
    steps = 0

    async def interfere(command: bytes, *, timeout_ms: int) -> object:
        nonlocal steps
        steps += 1
        if steps == 4:
            await propose(
                encode_command(CommandType.RESTORE, RestoreRequest(op=RestoreOp.BEGIN, id="other")), timeout_ms=1
            )
        return await propose(command, timeout_ms=timeout_ms)

    consensus.propose = interfere  # type: ignore[method-assign]
    with pytest.raises(RpcError, match="Raft error when restoring snapshot: the restore was given up"):
        await world.restore(ARCHIVE)
    assert world.keys() == [b"a"]
    assert world.endpoints.state.restore_under_way() == "other"


async def test_one_archive_is_restored_at_a_time(world: ServerWorld) -> None:
    first = asyncio.ensure_future(world.restore(ARCHIVE))
    while not world.endpoints.state.restore_under_way():
        await asyncio.sleep(0)
    with pytest.raises(RpcError, match="another snapshot is being restored"):
        await world.restore(REAL)
    await first
    assert len(world.keys()) == 3000
    world.leave_nothing()


async def test_archives_that_come_slowly_keep_nobody_from_restoring(world: ServerWorld) -> None:
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield ARCHIVE[:100]
        await gate.wait()
        yield ARCHIVE[100:]

    waiting = [asyncio.ensure_future(world.snapshots.restore(slow())) for _ in range(MAX_ARRIVING - 1)]
    await settle()
    await world.restore(REAL)
    assert len(world.keys()) == 205
    waiting.append(asyncio.ensure_future(world.snapshots.restore(slow())))
    await settle()
    with pytest.raises(RpcError, match="another snapshot is being restored"):
        await world.restore(REAL)
    gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert None in outcomes
    assert all(outcome is None or isinstance(outcome, RpcError) for outcome in outcomes)
    assert len(world.keys()) == 3000
    world.leave_nothing()


async def test_a_restore_goes_on_when_nobody_waits_for_it_any_more(world: ServerWorld) -> None:
    restoring = asyncio.ensure_future(world.restore(ARCHIVE))
    while not world.endpoints.state.restore_under_way():
        await asyncio.sleep(0)
    restoring.cancel()
    while not world.reasserted:
        await asyncio.sleep(0)
    assert len(world.keys()) == 3000
    await world.snapshots.aclose()
    world.leave_nothing()


async def test_a_client_that_goes_away_with_half_an_archive_leaves_nothing(world: ServerWorld) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield ARCHIVE[:100]
        raise RpcError("gone")

    with pytest.raises(RpcError, match="gone"):
        await world.snapshots.restore(broken())
    world.leave_nothing()
    assert not world.endpoints.consensus.proposals


async def test_a_server_that_stops_gives_up_its_restore(world: ServerWorld) -> None:
    await world.endpoints.put(b"a")
    restoring = asyncio.ensure_future(world.restore(ARCHIVE))
    while not world.endpoints.state.restore_under_way():
        await asyncio.sleep(0)
    await world.snapshots.aclose()
    with pytest.raises(asyncio.CancelledError):
        await restoring
    assert world.keys() == [b"a"]
    world.leave_nothing()


async def test_what_fails_after_a_restore_is_logged_and_no_failure_of_it(
    world: ServerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.reassert_error = LeadershipLostError("just now")
    await world.restore(REAL)
    assert len(world.keys()) == 205
    assert "after the restore: just now" in caplog.messages
    assert any("keeps, but does not act on: FederationState (1)" in message for message in caplog.messages)


async def test_what_was_replaced_is_removed_in_the_background(world: ServerWorld) -> None:
    remover = WasteRemover(world.endpoints.state)
    remover.start()
    try:
        await world.restore(ARCHIVE)
        await world.restore(REAL)
        async with asyncio.timeout(10):
            while world.endpoints.state.waste.is_set():
                await asyncio.sleep(0.01)
        assert len(world.keys()) == 205
    finally:
        await remover.aclose()
        await remover.aclose()
