"""Calls between a pool and a server port: in memory on virtual time, and over loopback TCP."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator

import msgpack
import pytest

from consul_kernel.contracts.errors import RpcError, TransportError
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.errors import RpcTransportError, RpcUnreachableError
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries, KeyRequest, KVSRequest
from consul_kernel.structs.methods import (
    CATALOG_LIST_DATACENTERS,
    KVS_APPLY,
    KVS_GET,
    STATUS_LEADER,
    STATUS_PEERS,
    STATUS_PING,
    Method,
    Route,
)
from consul_kernel.structs.query import DatacenterRequest, QueryOptions
from consul_kernel.structs.record import Empty
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms
from consul_kernel_tcp.transport import TcpTransport
from core.rpc.rpc_cluster import Node, start_servers

TIMEOUT_MS = 5000


async def _start() -> tuple[Node, ConnectionPool, MemoryNetwork]:
    network = MemoryNetwork(random.Random(1))
    (server,) = await start_servers(network, "s1")
    server.lead()
    return server, ConnectionPool(network.transport("10.0.0.50")), network


def test_every_kind_of_reply_comes_back() -> None:
    async def program() -> None:
        server, pool, _ = await _start()
        at = server.entry.address
        assert await pool.call(at, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        assert await pool.call(at, STATUS_LEADER, DatacenterRequest(), timeout_ms=TIMEOUT_MS) == "s1"
        assert await pool.call(at, STATUS_PEERS, DatacenterRequest(), timeout_ms=TIMEOUT_MS) == ["s1"]
        assert await pool.call(at, KVS_APPLY, KVSRequest(), timeout_ms=TIMEOUT_MS) is True
        reply = await pool.call(at, KVS_GET, KeyRequest(key=b"\xff"), timeout_ms=TIMEOUT_MS)
        assert reply == IndexedDirEntries(index=1, consistency_level="s1")
        assert server.endpoints.calls[-1].key == b"\xff"
        assert pool.connection_count == 1
        await pool.aclose()

    run_virtual(program())


def test_calls_share_a_connection_and_do_not_wait_for_each_other() -> None:
    async def program() -> None:
        server, pool, _ = await _start()
        at = server.entry.address
        slow = asyncio.create_task(pool.call(at, STATUS_PEERS, DatacenterRequest(), timeout_ms=TIMEOUT_MS))
        await asyncio.gather(*(pool.call(at, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) for _ in range(200)))
        assert virtual_now_ms() < 100
        assert not slow.done()
        assert await slow == ["s1"]
        connection = pool._connections[at]
        assert len(connection.idle) == 64
        assert pool.connection_count == 1
        await asyncio.sleep(100)
        assert pool.connection_count == 1
        await asyncio.sleep(60)
        assert pool.connection_count == 0
        assert server.server._connections.total == 0

    run_virtual(program())


def test_a_burst_waits_until_the_peer_accepts_its_streams() -> None:
    async def program() -> None:
        server, pool, network = await _start()
        at = server.entry.address
        calls = [pool.call(at, STATUS_PEERS, DatacenterRequest(), timeout_ms=TIMEOUT_MS) for _ in range(2000)]
        assert await asyncio.gather(*calls) == [["s1"]] * 2000
        assert virtual_now_ms() < 2500
        network.partition("10.0.0.50", server.host)
        pings = [pool.call(at, STATUS_PING, Empty(), timeout_ms=300) for _ in range(500)]
        results = await asyncio.gather(*pings, return_exceptions=True)
        assert {type(result) for result in results} == {RpcTransportError, RpcUnreachableError}
        assert sum("accepts no stream within 300 ms" in str(result) for result in results) == 500 - 64 - 256
        network.heal()
        assert await pool.call(at, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        await pool.aclose()

    run_virtual(program())


def test_streams_that_come_back_leave_nobody_waiting_for_room() -> None:
    """A caller whose turn it is may take a used stream instead of a new one; then it is the next one's turn."""

    async def program() -> None:
        server, pool, _ = await _start()
        at = server.entry.address
        pings = [pool.call(at, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) for _ in range(3000)]
        assert await asyncio.gather(*pings) == [Empty()] * 3000
        assert virtual_now_ms() < 1000
        await pool.aclose()

    run_virtual(program())


def test_one_stream_is_served_strictly_in_order() -> None:
    async def program() -> None:
        server, _, network = await _start()
        stream = await network.transport("10.0.0.50").dial(server.entry.address, timeout_ms=1000)
        stream.write(b"\x00")
        for sequence, name in ((1, "Status.Peers"), (2, "Status.Leader")):
            stream.write(msgpack.packb({"Seq": sequence, "ServiceMethod": name}) + b"\x80")
        unpacker = msgpack.Unpacker(raw=False)
        got: list[object] = []
        while len(got) < 4:
            unpacker.feed(await stream.read(1000))
            got.extend(unpacker)
        assert got == [
            {"Error": "", "Seq": 1, "ServiceMethod": "Status.Peers"},
            ["s1"],
            {"Error": "", "Seq": 2, "ServiceMethod": "Status.Leader"},
            "s1",
        ]
        assert virtual_now_ms() >= 2000

    run_virtual(program())


def test_errors_carry_the_endpoint_text_behind_the_prefix() -> None:
    async def program() -> None:
        server, pool, _ = await _start()
        at = server.entry.address

        async def refuse(request: KVSRequest) -> bool:
            raise RpcError("Must provide key")

        server.endpoints.on_apply = refuse
        with pytest.raises(RpcError, match=r"^Must provide key$") as caught:
            await pool.call(at, KVS_APPLY, KVSRequest(), timeout_ms=TIMEOUT_MS)
        assert not isinstance(caught.value, RpcTransportError)
        with pytest.raises(RpcError, match="rpc: can't find service Catalog"):
            await pool.call(at, CATALOG_LIST_DATACENTERS, QueryOptions(), timeout_ms=TIMEOUT_MS)
        for name, text in (
            ("KVS.Nope", "rpc: can't find method KVS.Nope"),
            ("Nope", "rpc: service/method request ill-"),
        ):
            with pytest.raises(RpcError, match=text):
                await pool.call(at, Method(name, Empty, Empty, Route.ANY), Empty(), timeout_ms=TIMEOUT_MS)
        assert await pool.call(at, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        await pool.aclose()

    run_virtual(program())


def test_faulty_endpoint_is_logged_and_its_error_kept_inside(caplog: pytest.LogCaptureFixture) -> None:
    async def program() -> None:
        server, pool, _ = await _start()

        async def fail(request: KVSRequest) -> bool:
            raise ZeroDivisionError("secret detail")

        server.endpoints.on_apply = fail
        with pytest.raises(RpcError, match=r"^internal error$"):
            await pool.call(server.entry.address, KVS_APPLY, KVSRequest(), timeout_ms=TIMEOUT_MS)
        assert await pool.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        await pool.aclose()

    run_virtual(program())
    assert "secret detail" in caplog.text


def test_late_answers_and_cancelled_calls_end_the_work_at_the_server() -> None:
    async def program() -> None:
        server, pool, _ = await _start()
        ended: list[str] = []

        async def block(request: KeyRequest) -> IndexedDirEntries:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append("ended")
            return IndexedDirEntries()

        server.endpoints.on_get = block
        with pytest.raises(RpcTransportError, match=r"rpc error making call: no answer from .* within 500 ms"):
            await pool.call(server.entry.address, KVS_GET, KeyRequest(), timeout_ms=500)
        await asyncio.sleep(0.1)
        assert ended == ["ended"]
        waiting = asyncio.create_task(pool.call(server.entry.address, KVS_GET, KeyRequest(), timeout_ms=TIMEOUT_MS))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.1)
        assert ended == ["ended", "ended"]
        await pool.aclose()

    run_virtual(program())


def test_refused_and_silent_addresses_are_unreachable() -> None:
    async def program() -> None:
        server, pool, network = await _start()
        with pytest.raises(RpcUnreachableError, match=r"rpc error getting client: failed to get conn: .*refused"):
            await pool.call(Address("10.0.0.1", 1), STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS)
        network.partition("10.0.0.50", server.host)
        with pytest.raises(RpcUnreachableError, match="within 300 ms"):
            await pool.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=300)
        await pool.aclose()
        with pytest.raises(RpcUnreachableError, match="closed"):
            await pool.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=300)

    run_virtual(program())


def test_crashed_server_fails_calls_under_way_and_is_found_again() -> None:
    async def program() -> None:
        server, pool, network = await _start()
        at = server.entry.address
        waiting = asyncio.create_task(pool.call(at, STATUS_PEERS, DatacenterRequest(), timeout_ms=TIMEOUT_MS))
        await asyncio.sleep(0.5)
        network.crash(server.host)
        with pytest.raises(RpcTransportError, match="reset") as caught:
            await waiting
        assert not isinstance(caught.value, RpcUnreachableError)
        again = Node(network.transport(server.host), server.host, "s1")
        await again.start()
        again.lead()
        assert await pool.call(at, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        await pool.aclose()

    run_virtual(program())


def test_closing_the_pool_fails_what_waits() -> None:
    async def program() -> None:
        server, pool, network = await _start()
        at = server.entry.address
        waiting = asyncio.create_task(pool.call(at, STATUS_PEERS, DatacenterRequest(), timeout_ms=TIMEOUT_MS))
        await asyncio.sleep(0.5)
        network.partition("10.0.0.50", "10.0.0.9")
        dialling = asyncio.create_task(pool.call(Address("10.0.0.9", 1), STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS))
        await asyncio.sleep(0.01)
        await pool.aclose()
        with pytest.raises(RpcTransportError):
            await waiting
        with pytest.raises(RpcUnreachableError):
            await dialling

    run_virtual(program())


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        (b"\x02", "protocol 2"),
        (b"GET / HTTP/1.1\r\n\r\n", "protocol 71"),
        (b"\x16\x03\x01", "protocol 22"),
        (b"\x04GET / HTTP/1.1\r\n\r\n", "version 71"),
        (b"\x00\xc1\xc1\xc1", "not MessagePack"),
        (b"\x00\x81\xa3Seq\xa1x\x80", "undecodable"),
        (b"\x00" + b"\x91" * 3000, "not MessagePack"),
        (b"\x00\xdb\x7f\xff\xff\xff" + bytes(1_200_000), "longer than 1000000"),
    ],
)
def test_garbage_ends_its_connection_and_nothing_else(
    sent: bytes, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        server, pool, network = await _start()
        stream = await network.transport("10.0.0.66").dial(server.entry.address, timeout_ms=1000)
        for start in range(0, len(sent), 50_000):
            stream.write(sent[start : start + 50_000])
        while await stream.read(100_000):
            pass
        assert virtual_now_ms() < 1000
        assert await pool.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        await pool.aclose()

    with caplog.at_level(logging.WARNING):
        run_virtual(program())
    assert logged in caplog.text


def test_bad_arguments_are_answered_then_the_stream_ends() -> None:
    async def program() -> None:
        server, _, network = await _start()
        stream = await network.transport("10.0.0.66").dial(server.entry.address, timeout_ms=1000)
        stream.write(b"\x00" + msgpack.packb({"Seq": 5, "ServiceMethod": "KVS.Apply"}) + b"\x93\x01\x02\x03")
        data = b""
        while piece := await stream.read(1000):
            data += piece
        unpacker = msgpack.Unpacker(raw=False)
        unpacker.feed(data)
        header, body = unpacker
        assert header["Seq"] == 5
        assert header["Error"].startswith("rpc: undecodable message")
        assert body == {}

    run_virtual(program())


def test_silent_connection_is_closed_after_the_handshake_time() -> None:
    async def program() -> None:
        server, _, network = await _start()
        stream = await network.transport("10.0.0.66").dial(server.entry.address, timeout_ms=1000)
        assert await stream.read(1) == b""
        assert 5000 <= virtual_now_ms() <= 5100
        assert server.server._connections.total == 0

    run_virtual(program())


def test_connections_of_one_host_are_limited() -> None:
    async def program() -> None:
        server, _, network = await _start()
        greedy = network.transport("10.0.0.66")
        streams = [await greedy.dial(server.entry.address, timeout_ms=1000) for _ in range(101)]
        assert await streams[100].read(1) == b""
        assert virtual_now_ms() < 2000
        assert server.server._connections.of("10.0.0.66") == 100
        other = ConnectionPool(network.transport("10.0.0.67"))
        assert await other.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        await other.aclose()

    run_virtual(program())


def test_first_byte_one_goes_to_consensus() -> None:
    async def program() -> None:
        server, _, network = await _start()
        stream = await network.transport("10.0.0.66").dial(server.entry.address, timeout_ms=1000)
        stream.write(b"\x01raft")
        assert await stream.read_exactly(4) == b"raft"
        assert len(server.consensus.served) == 1

    run_virtual(program())


def test_pending_requests_share_a_budget() -> None:
    async def program() -> None:
        server, pool, network = await _start()
        server.server._pending.limit = 2_000_000
        started = b"\x00" + msgpack.packb({"Seq": 1, "ServiceMethod": "KVS.Get"}) + b"\x81\xa3Key\xdb\x00\x0e\x00\x00"
        streams = [await network.transport("10.0.0.66").dial(server.entry.address, timeout_ms=1000) for _ in range(4)]
        for stream in streams:
            stream.write(started + bytes(700_000))
        answers = await asyncio.gather(*(asyncio.wait_for(stream.read(1000), 5) for stream in streams[2:]))
        assert all(b"pending requests hold more" in answer for answer in answers)
        assert 1_400_000 < server.server._pending.held < 1_500_000
        assert await pool.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
        for stream in streams:
            stream.close()
        await asyncio.sleep(1)
        assert server.server._pending.held == 0
        await pool.aclose()

    run_virtual(program())


def test_caller_who_does_not_read_is_cut_off() -> None:
    async def program() -> None:
        server, _, network = await _start()

        async def much(request: KeyRequest) -> IndexedDirEntries:
            return IndexedDirEntries(entries=[DirEntry(key=b"k", value=bytes(900_000))])

        server.endpoints.on_get = much
        stream = await network.transport("10.0.0.66").dial(server.entry.address, timeout_ms=1000)
        stream.write(b"\x00" + (msgpack.packb({"Seq": 1, "ServiceMethod": "KVS.Get"}) + b"\x80") * 100)
        await asyncio.sleep(30)
        assert len(server.endpoints.calls) == 1
        await asyncio.sleep(40)
        assert server.server._connections.total == 0

    run_virtual(program())


# --- the same over loopback TCP, in real time ---


@pytest.fixture
async def tcp_server() -> AsyncIterator[Node]:
    node = Node(TcpTransport(), "127.0.0.1", "s1", port=0)
    await node.start()
    node.lead()
    yield node
    await node.aclose()


async def test_four_hundred_kibibytes_both_ways_over_tcp(tcp_server: Node) -> None:
    pool = ConnectionPool(tcp_server.transport)
    value = random.Random(1).randbytes(400 * 1024)

    async def give_back(request: KeyRequest) -> IndexedDirEntries:
        return IndexedDirEntries(entries=[DirEntry(key=b"k", value=request.key)])

    tcp_server.endpoints.on_get = give_back
    replies = await asyncio.gather(
        *(pool.call(tcp_server.entry.address, KVS_GET, KeyRequest(key=value), timeout_ms=20_000) for _ in range(8))
    )
    assert all(reply.entries is not None and reply.entries[0].value == value for reply in replies)
    await pool.aclose()


async def test_thousand_calls_at_once_over_tcp(tcp_server: Node) -> None:
    pool = ConnectionPool(tcp_server.transport)
    requests = [DatacenterRequest(token=str(number)) for number in range(200)]
    for _ in range(5):
        names = await asyncio.gather(
            *(pool.call(tcp_server.entry.address, STATUS_LEADER, one, timeout_ms=20_000) for one in requests)
        )
        assert names == ["s1"] * 200
    assert pool.connection_count == 1
    await pool.aclose()


async def test_garbage_over_tcp_leaves_the_server_standing(tcp_server: Node) -> None:
    rng = random.Random(9)

    async def throw(data: bytes) -> None:
        stream: Stream = await tcp_server.transport.dial(tcp_server.entry.address, timeout_ms=2000)
        stream.write(data)
        stream.close_write()
        try:
            async with asyncio.timeout(5):
                while await stream.read(1000):
                    pass
        except TransportError:
            pass
        stream.close()

    await asyncio.gather(*(throw(bytes([first]) + rng.randbytes(300)) for first in (0, 4, 2, 3, 5, 8, 22, 71) * 5))
    pool = ConnectionPool(tcp_server.transport)
    assert await pool.call(tcp_server.entry.address, STATUS_PING, Empty(), timeout_ms=TIMEOUT_MS) == Empty()
    await pool.aclose()
