"""A snapshot from a peer: nothing is given up for one that is none."""

from __future__ import annotations

import msgspec
import pytest

from consul_kernel.contracts.consensus import Server
from consul_kernel.contracts.errors import CorruptStoreError
from consul_kernel.contracts.store import SnapshotSource
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.testing.consensus_quorum import PORT, Node, Quorum
from consul_kernel_raft.core.entry import encode_configuration
from consul_kernel_raft.wire import pack
from plugins.consensus.raft.raft_quorum import make, run

GOOD = msgspec.msgpack.encode([(5, b"x"), (900, b"y")])


async def offer(quorum: Quorum, node: Node, term: int, size: int, data: bytes) -> Stream:
    """Begin to send a snapshot to a server, as a leader does."""
    stream = await quorum.network.transport("stranger").dial(Address(node.host, PORT), timeout_ms=1000)
    header = {
        "Addr": b"stranger:1",
        "Configuration": encode_configuration([Server("stranger", "stranger:1")]),
        "ConfigurationIndex": 5,
        "ID": b"stranger",
        "LastLogIndex": 1000,
        "LastLogTerm": term,
        "ProtocolVersion": 3,
        "Size": size,
        "Term": term,
    }
    stream.write(b"\x02" + pack(header) + data)
    return stream


@pytest.mark.parametrize("data", [b"", b"garbage", GOOD[:-1], GOOD + b"\x00"], ids=["empty", "other", "cut", "longer"])
def test_what_cannot_be_restored_costs_the_sender_its_connection_and_nothing_else(data: bytes) -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        await leader.running.propose(b"kept", timeout_ms=5000)
        for node in quorum.nodes:
            stream = await offer(quorum, node, leader.running.status().term, len(data), data)
            assert await stream.read(100) == b""
            assert not node.failures
            assert not node.snapshots.kept
            assert node.log.last_index < 1000
        await leader.running.propose(b"more", timeout_ms=5000)
        assert leader.commands[-2:] == [b"kept", b"more"]

    run(Quorum(make, size=3), scenario)


def test_a_snapshot_that_stops_coming_does_not_bar_the_next_one() -> None:
    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        follower = next(node for node in quorum.nodes if node is not leader)
        term = leader.running.status().term
        silent = await offer(quorum, follower, term, 1000, b"\x92")
        refused = await offer(quorum, follower, term, len(GOOD), GOOD)
        assert await refused.read(100) == b"", "one at a time"
        assert await silent.read(100) == b""
        taken = await offer(quorum, follower, term + 1, len(GOOD), GOOD)
        assert b"Success\xc3" in await taken.read(200)
        assert not follower.failures

    run(Quorum(make, size=3), scenario)


def test_a_damaged_snapshot_is_passed_over_for_one_that_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that needs a snapshot does not wait until the leader's next one, hours later."""

    async def scenario(quorum: Quorum) -> None:
        leader = await quorum.bootstrap()
        behind = quorum.followers(leader)[0]
        quorum.crash(behind)
        for number in range(20):
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
        for node in quorum.alive:
            await node.running.take_snapshot()
            await quorum.stop(node)
            await quorum.start(node)  # so that nothing before the snapshot is left in memory
        leader = await quorum.leader()
        whole = leader.snapshots.kept[0][0]
        damaged = msgspec.structs.replace(whole, id="damaged", index=whole.index + 1000)
        leader.snapshots.kept.insert(0, (damaged, b""))
        open_whole = leader.snapshots.open

        async def open_snapshot(snapshot_id: str) -> SnapshotSource:
            if snapshot_id == "damaged":
                raise CorruptStoreError("its checksum is wrong")
            return await open_whole(snapshot_id)

        monkeypatch.setattr(leader.snapshots, "open", open_snapshot)
        await quorum.start(behind)
        await quorum.until_equal()
        assert len(behind.commands) == 20

    run(Quorum(make, trailing_logs=2), scenario)
