"""The snapshot stream between agents, and who is asked over it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import cast

import pytest

from consul_kernel.contracts.consensus import Consensus, Server
from consul_kernel.contracts.errors import RpcError, TransportError
from consul_kernel.contracts.interface import SavedSnapshot
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.rpc.errors import RpcTransportError, RpcUnreachableError
from consul_kernel.rpc.server import RpcServer
from consul_kernel.rpc.wire import decode, encode
from consul_kernel.snapshot import stream as stream_module
from consul_kernel.snapshot.dispatch import SnapshotDispatcher
from consul_kernel.snapshot.pieces import Pieces
from consul_kernel.snapshot.stream import FIRST_BYTE, SnapshotStreams, request_restore, request_save
from consul_kernel.structs.snapshot import SnapshotOp, SnapshotRequest, SnapshotResponse
from consul_kernel.testing.memory_network import MemoryNetwork
from core.rpc.rpc_cluster import DecidedConsensus
from core.snapshot.archives import REAL

PORT = 8300
BIG = REAL * 300
"""Longer than any buffer on the way; only its first 7 kB are an archive."""


class FakeServer:
    """A server whose archives are what a test says."""

    def __init__(self, network: MemoryNetwork, number: int, *, datacenter: str = "dc1") -> None:
        self.name = f"s{number}"
        self.address = Address(f"10.0.0.{number}", PORT)
        self.entry = ServerEntry(self.name, self.name, datacenter, self.address)
        self.transport = network.transport(self.address.host)
        self.consensus = DecidedConsensus()
        self.directory = ServerDirectory(random.Random(number))
        self.dispatcher = SnapshotDispatcher(
            datacenter=datacenter,
            directory=self.directory,
            transport=self.transport,
            now_ms=lambda: int(asyncio.get_running_loop().time() * 1000),
            rng=random.Random(number),
            server_id=self.name,
            local=self,
            consensus=cast("Consensus", self.consensus),
            hold_timeout_ms=200,
        )
        self.archive: list[bytes | Exception] = [REAL[:3000], REAL[3000:]]
        self.closed = 0
        self.requests: list[SnapshotRequest] = []
        self.restored: list[bytes] = []
        self.refusal: Exception | None = None

    async def start(self) -> None:
        streams = SnapshotStreams(self.dispatcher.save, self.dispatcher.restore)

        async def dispatch(method: object, request: object) -> object:
            raise AssertionError("no call is made")

        server = RpcServer(EndpointTable(), dispatch, snapshot_serve=streams.serve)
        await self.transport.listen(self.address, server.serve)

    async def save(self, request: SnapshotRequest) -> SavedSnapshot:
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal

        async def close() -> None:
            self.closed += 1

        return SavedSnapshot(SnapshotResponse(index=7, known_leader=True), Pieces(self._pieces(), close))

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        for piece in self.archive:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def restore(self, archive: AsyncIterator[bytes]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.restored.append(b"".join([piece async for piece in archive]))


Serve = Callable[..., Awaitable[list[FakeServer]]]


@pytest.fixture
async def network() -> AsyncIterator[MemoryNetwork]:
    made = MemoryNetwork(random.Random(1))
    yield made
    for number in range(1, 10):
        await made.transport(f"10.0.0.{number}").aclose()


async def start(network: MemoryNetwork, count: int, *, leader: int = 1) -> list[FakeServer]:
    servers = [FakeServer(network, number) for number in range(1, count + 1)]
    for server in servers:
        await server.start()
        server.consensus.is_leader = server is servers[leader - 1]
        server.consensus.leader = Server(servers[leader - 1].name, str(servers[leader - 1].address))
        for other in servers:
            server.directory.add(other.entry)
    return servers


def client_of(network: MemoryNetwork, *servers: FakeServer) -> SnapshotDispatcher:
    directory = ServerDirectory(random.Random(5))
    for server in servers:
        directory.add(server.entry)
    return SnapshotDispatcher(
        datacenter="dc1",
        directory=directory,
        transport=network.transport("10.0.0.9"),
        now_ms=lambda: 0,
        rng=random.Random(5),
    )


async def whole(saved: SavedSnapshot) -> bytes:
    async with aclosing(saved.archive) as archive:
        return b"".join([piece async for piece in archive])


async def pieces(data: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


# --- routing ---


async def test_the_leader_saves_whoever_is_asked(network: MemoryNetwork) -> None:
    leader, follower, _ = await start(network, 3)
    client = client_of(network, follower)
    for dispatcher in (leader.dispatcher, follower.dispatcher, client):
        saved = await dispatcher.save(SnapshotRequest())
        assert (saved.response.index, saved.response.known_leader) == (7, True)
        assert await whole(saved) == REAL
    assert [request.datacenter for request in leader.requests] == ["dc1"] * 3
    assert leader.closed == 3
    assert not follower.requests


async def test_any_server_saves_when_stale_is_enough(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)
    for dispatcher in (follower.dispatcher, client_of(network, follower)):
        assert await whole(await dispatcher.save(SnapshotRequest(allow_stale=True))) == REAL
    assert len(follower.requests) == 2
    assert not leader.requests


async def test_the_leader_restores_whoever_is_asked(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)
    for dispatcher in (leader.dispatcher, follower.dispatcher, client_of(network, follower)):
        await dispatcher.restore(SnapshotRequest(), pieces(BIG))
    assert leader.restored == [BIG] * 3


async def test_a_stale_restore_is_refused(network: MemoryNetwork) -> None:
    _, follower = await start(network, 2)
    for dispatcher in (follower.dispatcher, client_of(network, follower)):
        with pytest.raises(RpcError, match=r"^stale not allowed for restore$"):
            await dispatcher.restore(SnapshotRequest(allow_stale=True), pieces(REAL))


async def test_other_datacenters_are_asked_by_their_servers(network: MemoryNetwork) -> None:
    (here,) = await start(network, 1)
    there = FakeServer(network, 5, datacenter="dc2")
    await there.start()
    there.consensus.is_leader = True
    with pytest.raises(RpcError, match=r"^No path to datacenter$"):
        await here.dispatcher.save(SnapshotRequest(datacenter="dc2"))
    here.directory.add(there.entry)
    assert await whole(await here.dispatcher.save(SnapshotRequest(datacenter="dc2"))) == REAL
    await client_of(network, here).restore(SnapshotRequest(datacenter="dc2"), pieces(REAL))
    assert there.restored == [REAL]
    here.directory.lose("dc2", there.name)
    with pytest.raises(RpcError, match=r"^Remote DC has no server currently reachable$"):
        await here.dispatcher.save(SnapshotRequest(datacenter="dc2"))


async def test_nobody_to_ask(network: MemoryNetwork) -> None:
    with pytest.raises(RpcError, match=r"^No known Consul servers$"):
        await client_of(network).save(SnapshotRequest())
    (server,) = await start(network, 1)
    server.consensus.is_leader, server.consensus.leader = False, None
    with pytest.raises(RpcError, match=r"^No cluster leader$"):
        await server.dispatcher.save(SnapshotRequest())


async def test_a_leader_that_is_elected_soon_is_waited_for(network: MemoryNetwork) -> None:
    (server,) = await start(network, 1)
    server.consensus.is_leader, server.consensus.leader = False, None
    waiting = asyncio.ensure_future(server.dispatcher.save(SnapshotRequest()))
    await asyncio.sleep(0)
    server.consensus.is_leader = True
    assert await whole(await waiting) == REAL


async def test_a_server_that_cannot_be_reached_is_followed_by_the_next(network: MemoryNetwork) -> None:
    (there,) = await start(network, 1)
    gone = FakeServer(network, 2)
    client = client_of(network, there, gone)
    while client._directory.pick("dc1") != gone.entry:
        client._directory.rebalance()
    assert await whole(await client.save(SnapshotRequest())) == REAL
    assert client._directory.pick("dc1") == there.entry
    client._directory.fail(there.entry)
    await client.restore(SnapshotRequest(), pieces(REAL))
    assert there.restored == [REAL]
    client._directory.remove("dc1", there.name)
    with pytest.raises(RpcUnreachableError):
        await client.save(SnapshotRequest())
    with pytest.raises(RpcUnreachableError):
        await client.restore(SnapshotRequest(), pieces(REAL))


# --- what goes wrong ---


async def test_a_refusal_comes_with_its_text_and_without_a_prefix(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)
    leader.refusal = RpcError("Permission denied")
    with pytest.raises(RpcError, match=r"^Permission denied$"):
        await follower.dispatcher.save(SnapshotRequest())
    with pytest.raises(RpcError, match=r"^Permission denied$"):
        await client_of(network, follower).restore(SnapshotRequest(), pieces(REAL))


async def test_a_refusal_is_heard_though_the_archive_has_not_come_to_its_end(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)
    leader.refusal = RpcError("not this one")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(100_000)

    with pytest.raises(RpcError, match="not this one"):
        await follower.dispatcher.restore(SnapshotRequest(), endless())
    assert sent < 1000


async def test_an_archive_that_breaks_off_is_not_passed_on_as_whole(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)
    broken: list[list[bytes | Exception]] = [[REAL[:5000], RpcError("disk gone")], [REAL[:5000]], [b"nonsense"]]
    for leader.archive in broken:
        saved = await follower.dispatcher.save(SnapshotRequest())
        with pytest.raises(RpcTransportError, match=r"broke off|sent no archive"):
            await whole(saved)


async def test_a_connection_that_breaks_is_told(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)
    gate = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        yield REAL[:100]
        await gate.wait()

    leader._pieces = slow  # type: ignore[method-assign]
    saved = await follower.dispatcher.save(SnapshotRequest())
    network.crash(leader.address.host)
    with pytest.raises(RpcTransportError):
        await whole(saved)
    with pytest.raises(RpcUnreachableError):
        await follower.dispatcher.restore(SnapshotRequest(), pieces(REAL))


async def test_an_archive_that_nobody_wants_any_more_is_closed(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)
    leader.archive = [bytes(200_000)] * 100
    saved = await follower.dispatcher.save(SnapshotRequest())
    await saved.archive.aclose()
    await saved.archive.aclose()
    async with asyncio.timeout(5):
        while not leader.closed:
            await asyncio.sleep(0.001)


async def test_a_source_that_breaks_ends_the_restore(network: MemoryNetwork) -> None:
    leader, follower = await start(network, 2)

    async def broken() -> AsyncIterator[bytes]:
        yield REAL
        raise RuntimeError("the client is gone")

    with pytest.raises(RuntimeError, match="the client is gone"):
        await follower.dispatcher.restore(SnapshotRequest(), broken())
    assert leader.restored in ([], [REAL])


async def test_who_falls_silent_is_given_up(network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "IDLE_TIMEOUT_S", 0.05)
    (leader,) = await start(network, 1)
    dialler = network.transport("10.0.0.9")
    for said in (b"", encode(SnapshotRequest(datacenter="dc1", op=SnapshotOp.RESTORE)) + REAL[:10]):
        stream = await dialler.dial(leader.address, timeout_ms=1000)
        stream.write(bytes((FIRST_BYTE,)) + said)
        answer = b""
        while data := await stream.read(1000):
            answer += data
        assert b"sent nothing for" in answer or not said
        stream.close()
    assert leader.restored == []


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x93\x01\x02\x03", b"\xdb\x7f\xff\xff\xff" + bytes(100_000)])
async def test_garbage_ends_its_connection_and_no_other(network: MemoryNetwork, garbage: bytes) -> None:
    (leader,) = await start(network, 1)
    stream = await network.transport("10.0.0.9").dial(leader.address, timeout_ms=1000)
    stream.write(bytes((FIRST_BYTE,)) + garbage)
    stream.close_write()
    async with asyncio.timeout(5):
        while await stream.read(1000):
            pass
    stream.close()
    saved = await request_save(network.transport("10.0.0.9"), leader.address, SnapshotRequest(datacenter="dc1"))
    assert await whole(saved) == REAL


async def test_answers_that_are_none_are_told(network: MemoryNetwork) -> None:
    answers = iter((b"", b"\xc1", b"\xa5hello"))

    async def serve(stream: Stream) -> None:
        stream.write(next(answers))

    listener = await network.transport("10.0.0.7").listen(Address("10.0.0.7", PORT), serve)
    for _ in range(3):
        with pytest.raises(RpcTransportError, match="failed to decode response"):
            await request_save(network.transport("10.0.0.9"), listener.address, SnapshotRequest())
    with pytest.raises(RpcUnreachableError):
        await request_restore(network.transport("10.0.0.9"), Address("10.0.0.8", PORT), SnapshotRequest(), pieces(b""))


async def test_the_wire_is_consuls(network: MemoryNetwork) -> None:
    """Request and answer as `V:snapshot` of the facts has them: sorted Go names in one map each."""
    (leader,) = await start(network, 1)
    stream = await network.transport("10.0.0.9").dial(leader.address, timeout_ms=1000)
    request = b"\x84\xaaAllowStale\xc2\xaaDatacenter\xa3dc1\xa2Op\x00\xa5Token\xa0"
    assert encode(SnapshotRequest(datacenter="dc1")) == request
    stream.write(b"\x05" + request)
    stream.close_write()
    received = b""
    while data := await stream.read(65536):
        received += data
    head = received[: -len(REAL)]
    assert received[len(head) :] == REAL
    response = decode(SnapshotResponse, head)
    assert (response.error, response.index) == ("", 7)
    assert head.startswith(b"\x87\xa7Backend\x00\xb0ConsistencyLevel\xa0\xa5Error\xa0\xa5Index\x07")
    with pytest.raises(TransportError):
        await network.transport("10.0.0.9").dial(Address("10.0.0.8", 1), timeout_ms=100)
