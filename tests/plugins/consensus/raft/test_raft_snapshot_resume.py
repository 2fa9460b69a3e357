"""A snapshot whose connection breaks goes on from where it stopped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from consul_kernel.contracts.errors import TransportError
from consul_kernel.contracts.store import SnapshotMeta, SnapshotSource
from consul_kernel.testing.consensus_quorum import Node, Quorum
from consul_kernel_raft import RaftConsensus, incoming, outgoing, serving
from consul_kernel_raft.serving import SnapshotBytes
from plugins.consensus.raft.raft_quorum import make, run
from plugins.consensus.raft.test_raft_snapshots import offer


@dataclass
class BreakingSource:
    """A source whose connection breaks after some bytes; `broken` counts how often."""

    source: SnapshotSource
    bytes_left: int

    @property
    def meta(self) -> SnapshotMeta:
        return self.source.meta

    async def read(self, max_bytes: int) -> bytes:
        if self.bytes_left <= 0:
            raise TransportError("the cable was pulled")
        self.bytes_left -= max_bytes
        return await self.source.read(max_bytes)

    def close(self) -> None:
        self.source.close()


async def behind_by_a_snapshot(quorum: Quorum) -> tuple[Node, Node]:
    """A leader whose log begins after its snapshot, and a server that needs that snapshot and does not run."""
    leader = await quorum.bootstrap()
    behind = quorum.followers(leader)[0]
    quorum.crash(behind)
    for number in range(40):
        await leader.running.propose(b"%d" % number * 500, timeout_ms=5000)
    for node in quorum.alive:
        await node.running.take_snapshot()
        await quorum.stop(node)
        await quorum.start(node)  # so that nothing before the snapshot is left in memory
    return await quorum.leader(), behind


class Arriving:
    """Counts the bytes of snapshots that servers take from connections."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total = 0
        true_read = SnapshotBytes.read

        async def read(source: SnapshotBytes, max_bytes: int) -> bytes:
            data = await true_read(source, max_bytes)
            self.total += len(data)
            return data

        monkeypatch.setattr(SnapshotBytes, "read", read)


@pytest.mark.parametrize("each", [3000, 7000, 20_000])
def test_it_goes_on_from_where_it_stopped(each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arriving = Arriving(monkeypatch)
    monkeypatch.setattr(outgoing, "CHUNK_BYTES", 1000)

    async def scenario(quorum: Quorum) -> None:
        leader, behind = await behind_by_a_snapshot(quorum)
        opened: list[BreakingSource] = []
        open_whole = leader.snapshots.open

        async def open_snapshot(snapshot_id: str) -> SnapshotSource:
            source = await open_whole(snapshot_id)
            breaking = BreakingSource(source, each * (len(opened) + 1))
            opened.append(breaking)
            return breaking

        monkeypatch.setattr(leader.snapshots, "open", open_snapshot)
        await quorum.start(behind)
        await quorum.until_equal()
        size = opened[0].meta.size
        assert len(opened) >= min(3, 1 + size // each)
        assert arriving.total == size, "every byte came once"
        assert behind.commands == leader.commands

    run(Quorum(make, trailing_logs=2), scenario)


def test_another_snapshot_is_sent_where_the_begun_one_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "CHUNK_BYTES", 1000)

    async def scenario(quorum: Quorum) -> None:
        leader, behind = await behind_by_a_snapshot(quorum)
        open_whole = leader.snapshots.open
        opened: list[str] = []

        async def open_snapshot(snapshot_id: str) -> SnapshotSource:
            opened.append(snapshot_id)
            source = await open_whole(snapshot_id)
            if len(opened) > 1:
                return source
            await leader.running.propose(b"more", timeout_ms=5000)
            await leader.running.take_snapshot()
            del leader.snapshots.kept[1:]
            return BreakingSource(source, 5000)

        monkeypatch.setattr(leader.snapshots, "open", open_snapshot)
        await quorum.start(behind)
        await quorum.until_equal()
        assert opened[0] != opened[-1]
        assert behind.commands[-1] == b"more"

    run(Quorum(make, trailing_logs=2), scenario)


def test_a_server_that_does_not_know_the_question_is_sent_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consul, or an older version of this: it closes the connection."""
    arriving = Arriving(monkeypatch)

    async def scenario(quorum: Quorum) -> None:
        leader, behind = await behind_by_a_snapshot(quorum)
        monkeypatch.setattr(serving, "RPC_TYPES", frozenset(range(5)))
        await quorum.start(behind)
        await quorum.until_equal()
        assert arriving.total == leader.snapshots.kept[0][0].size

    run(Quorum(make, trailing_logs=2), scenario)


def test_what_nobody_completes_is_dropped() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        consensus = node.running
        assert isinstance(consensus, RaftConsensus)
        stream = await offer(quorum, node, 99, 1000, b"\x92\x92\x05")
        await asyncio.sleep(1)
        stream.close()
        await asyncio.sleep(1)
        assert [consensus._acceptor._incoming] != [None]
        await asyncio.sleep(incoming.KEPT_S)
        assert [consensus._acceptor._incoming] == [None]
        await node.running.propose(b"x", timeout_ms=5000)

    run(Quorum(make, size=1), scenario)


def test_a_leader_of_a_newer_term_does_not_wait_for_the_old_one() -> None:
    async def scenario(quorum: Quorum) -> None:
        node = await quorum.bootstrap()
        old = await offer(quorum, node, 99, 1000, b"\x92")
        await asyncio.sleep(0.1)
        new = await offer(quorum, node, 100, 1, b"\x90")
        assert b"Success\xc3" in await new.read(200)
        assert await old.read(100) == b""

    run(Quorum(make, size=1), scenario)
