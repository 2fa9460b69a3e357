"""Peers that read nothing, send half of what they mean, or open streams without end: a server's memory stays bounded.

What is held is measured on the streams themselves, not by the server's own books.
"""

from __future__ import annotations

import asyncio
import gc
import random
import struct
from typing import Any

import msgpack
import pytest

from consul_kernel.contracts.errors import TransportError
from consul_kernel.contracts.transport import Stream
from consul_kernel.rpc import server as server_module
from consul_kernel.rpc.bounds import PendingRequests, UnreadReplies
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.errors import RpcTransportError
from consul_kernel.rpc.yamux import YamuxSession
from consul_kernel.rpc.yamux_settings import YamuxSettings
from consul_kernel.rpc.yamux_stream import YamuxStream
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries, KeyRequest, KVSRequest
from consul_kernel.structs.methods import KVS_APPLY, KVS_GET, STATUS_PING
from consul_kernel.structs.record import Empty
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms
from core.rpc.rpc_cluster import Node, start_servers

HOSTILE, HONEST = "10.0.0.66", "10.0.0.67"
KIB = 1024
REPLY_BYTES = 300 * KIB
GET = msgpack.packb({"Seq": 1, "ServiceMethod": "KVS.Get"}) + b"\x80"


async def _start() -> tuple[Node, MemoryNetwork]:
    network = MemoryNetwork(random.Random(1))
    (server,) = await start_servers(network, "s1")
    server.lead()

    async def much(request: KeyRequest) -> IndexedDirEntries:
        return IndexedDirEntries(entries=[DirEntry(key=b"k", value=bytes(REPLY_BYTES))])

    server.endpoints.on_get = much
    return server, network


async def _session(network: MemoryNetwork, server: Node, **settings: int) -> YamuxSession:
    """A session of the hostile peer, which is as patient as it likes."""
    stream = await network.transport(HOSTILE).dial(server.entry.address, timeout_ms=1000)
    stream.write(b"\x04")
    patient = {"keepalive_interval_ms": 10**9, "accept_backlog": 10**6, "max_streams": 10**6, **settings}
    session = YamuxSession(stream, is_client=True, settings=YamuxSettings(**patient))
    session.start()
    return session


def _held_by_server_streams() -> int:
    """Bytes on every stream of this process that wait to be sent or to be read."""
    streams = [thing for thing in gc.get_objects() if isinstance(thing, YamuxStream)]
    return sum(sum(map(len, stream._pending)) + sum(map(len, stream._chunks)) for stream in streams)


async def _ping(network: MemoryNetwork, server: Node) -> float:
    """How long an honest peer waits for an answer, in ms."""
    pool = ConnectionPool(network.transport(HONEST))
    begun = virtual_now_ms()
    assert await pool.call(server.entry.address, STATUS_PING, Empty(), timeout_ms=1000) == Empty()
    await pool.aclose()
    return virtual_now_ms() - begun


def test_who_reads_no_replies_is_sent_a_few_and_cut_off() -> None:
    async def program() -> None:
        server, network = await _start()
        limit = 10 * REPLY_BYTES
        server.server._unread = UnreadReplies(limit_per_host=limit)
        session = await _session(network, server)
        opened = [session.open_stream() for _ in range(1000)]
        for stream in opened:
            stream.write(GET)
        await asyncio.sleep(5)
        # The windows that the peer granted without reading are in its own memory; what is beyond is held here.
        assert len(server.endpoints.calls) <= 12
        assert _held_by_server_streams() <= limit + 12 * 256 * KIB
        assert limit <= server.server._unread.of(HOSTILE) <= limit + REPLY_BYTES + KIB
        assert await _ping(network, server) < 50
        await asyncio.sleep(70)
        assert len(server.endpoints.calls) <= 24, "the first were reset after a minute, the next took their place"
        await session.aclose()
        await asyncio.sleep(1)
        assert (server.server._unread.held, server.server._streams.total) == (0, 0)

    run_virtual(program())


def test_who_reads_slowly_gets_everything() -> None:
    async def program() -> None:
        server, network = await _start()
        server.server._unread = UnreadReplies(limit_per_host=2 * REPLY_BYTES)
        pool = ConnectionPool(network.transport(HONEST))
        calls = [
            pool.call(server.entry.address, KVS_GET, KeyRequest(), timeout_ms=50_000, connect_timeout_ms=1000)
            for _ in range(300)
        ]
        replies = await asyncio.gather(*calls)
        assert all(reply.entries and len(reply.entries[0].value or b"") == REPLY_BYTES for reply in replies)
        assert server.server._unread.held == 0
        await pool.aclose()

    run_virtual(program())


def test_half_requests_are_bounded_and_given_up_after_a_minute() -> None:
    async def program() -> None:
        server, network = await _start()
        limit = 5_000_000
        server.server._pending = PendingRequests(limit_per_host=limit)
        session = await _session(network, server)
        head = msgpack.packb({"Seq": 1, "ServiceMethod": "KVS.Get"}) + b"\x81\xa3Key\xdb\x00\x0c\x00\x00"
        streams = [session.open_stream() for _ in range(100)]
        for stream in streams:
            stream.write(head + bytes(200 * KIB))
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert limit * 0.9 < server.server._pending.held <= limit
        assert server.server._streams.of(HOSTILE) <= limit / (200 * KIB) + 1
        assert await _ping(network, server) < 50
        await asyncio.sleep(60)
        assert (server.server._pending.held, server.server._streams.total) == (0, 0)
        await session.aclose()

    run_virtual(program())


def test_a_request_that_arrives_slowly_is_taken_within_its_minute() -> None:
    async def program() -> None:
        server, network = await _start()
        session = await _session(network, server)
        stream = session.open_stream()
        for byte in GET:
            stream.write(bytes((byte,)))
            await asyncio.sleep(50 / len(GET))
        assert (await stream.read_exactly(1)) == b"\x83"
        await session.aclose()

    run_virtual(program())


def test_who_sends_ahead_of_being_read_loses_its_session() -> None:
    """Each stream is served one call after the other: behind one that takes long, no more than a window may wait."""

    async def program() -> None:
        server, network = await _start()

        async def never(request: KeyRequest) -> IndexedDirEntries:
            await asyncio.sleep(10**6)
            raise AssertionError("never")

        server.endpoints.on_get = never
        session = await _session(network, server)
        sent = 0
        while session.is_open and sent < 100:
            stream = session.open_stream()
            stream.write(GET)
            await asyncio.sleep(0.01)
            stream.write(bytes(200 * KIB))
            await asyncio.sleep(0.01)
            sent += 1
        assert 15 <= sent <= 25, "four mebibytes, in pieces of 200 KiB"
        await asyncio.sleep(1)
        assert server.server._streams.total == 0
        assert _held_by_server_streams() <= 25 * 200 * KIB, "those of the hostile end itself"
        assert await _ping(network, server) < 50

    run_virtual(program())


def test_streams_beyond_the_bound_are_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    async def program() -> None:
        monkeypatch.setattr(server_module, "MAX_STREAMS_PER_HOST", 50)
        server, network = await _start()
        session = await _session(network, server)
        streams = [session.open_stream() for _ in range(80)]
        await asyncio.sleep(1)
        assert server.server._streams.of(HOSTILE) == 50
        results = await asyncio.gather(
            *(asyncio.wait_for(stream.read(1), 1) for stream in streams), return_exceptions=True
        )
        assert sum(isinstance(result, TransportError) for result in results) == 30
        assert await _ping(network, server) < 50
        for stream in streams:
            stream.reset()
        await asyncio.sleep(1)
        assert server.server._streams.total == 0
        late = session.open_stream()
        late.write(GET)
        assert (await late.read_exactly(1)) == b"\x83"
        await session.aclose()

    run_virtual(program())


async def _flood(stream: Stream, frames: int) -> None:
    """Opens and resets streams, and reads nothing."""
    for number in range(frames):
        stream_id = 2 * number + 1
        stream.write(struct.pack(">BBHII", 0, 1, 1, stream_id, 0) + struct.pack(">BBHII", 0, 1, 8, stream_id, 0))
        if number % 100 == 0:
            await stream.drain()


def test_who_opens_and_resets_streams_and_reads_nothing_is_dropped() -> None:
    async def program() -> None:
        server, network = await _start()
        stream = await network.transport(HOSTILE).dial(server.entry.address, timeout_ms=1000)
        stream.write(b"\x04")
        with pytest.raises(TransportError):
            await _flood(stream, 10**6)
        assert virtual_now_ms() < 30_000
        await asyncio.sleep(1)
        assert server.server._connections.total == 0
        assert await _ping(network, server) < 50

    run_virtual(program())


def test_no_limit_of_connections_is_no_limit() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(1))
        (server,) = await start_servers(network, "s1")
        server.server.limits = type(server.limits)(rpc_max_conns_per_client=0)
        for _ in range(150):
            await network.transport(HONEST).dial(server.entry.address, timeout_ms=1000)
        await asyncio.sleep(1)
        assert server.server._connections.of(HONEST) == 150

    run_virtual(program())


def test_what_gossip_says_of_a_host_ends_the_wait_for_it_and_a_false_word_does_not() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(1), stream_break_ms=600_000)
        (server,) = await start_servers(network, "s1")
        server.lead()

        async def block(request: KeyRequest) -> IndexedDirEntries:
            await asyncio.sleep(10_000)
            raise AssertionError("never")

        server.endpoints.on_get = block
        pool = ConnectionPool(network.transport(HONEST))
        query = KeyRequest(min_query_index=1, max_query_time=10**12)
        waiting = asyncio.create_task(pool.call(server.entry.address, KVS_GET, query, timeout_ms=700_000))
        await asyncio.sleep(200)
        pool.check(server.entry.address)
        await asyncio.sleep(10)
        assert not waiting.done()
        network.isolate(server.host)
        pool.check(server.entry.address)
        begun = virtual_now_ms()
        with pytest.raises(RpcTransportError, match="does not answer"):
            await waiting
        assert virtual_now_ms() - begun < 5_100
        await pool.aclose()

    run_virtual(program())


def test_calls_that_a_silent_former_leader_has_end_soon_after_there_is_another() -> None:
    """Its host has vanished, so that nothing resets the connection."""

    async def program() -> None:
        network = MemoryNetwork(random.Random(1), stream_break_ms=600_000)
        former, asked, successor = await start_servers(network, "s1", "s2", "s3")
        former.lead(asked, successor)
        asked.router.leader_changed()
        reached = asyncio.Event()

        async def hang(_: object) -> Any:
            reached.set()
            await asyncio.sleep(10_000)

        former.endpoints.on_get = former.endpoints.on_apply = hang
        read = asyncio.create_task(asked.router.call(KVS_GET, KeyRequest()))
        write = asyncio.create_task(asked.router.call(KVS_APPLY, KVSRequest()))
        await reached.wait()
        network.isolate(former.host)
        await asyncio.sleep(2)
        successor.lead(asked)
        begun = virtual_now_ms()
        asked.router.leader_changed()
        assert (await read).consistency_level == "s3"
        with pytest.raises(RpcTransportError, match="does not answer"):
            await write  # nobody knows whether it was made
        assert virtual_now_ms() - begun < 1_100

    run_virtual(program())


def test_long_requests_that_wait_are_bounded() -> None:
    """A blocking query holds what was asked, for as long as it takes."""

    async def program() -> None:
        server, network = await _start()
        server.server._pending = PendingRequests(limit_per_host=3_000_000)

        async def block(request: KeyRequest) -> IndexedDirEntries:
            await asyncio.sleep(100)
            return IndexedDirEntries(index=1)

        server.endpoints.on_get = block
        pool = ConnectionPool(network.transport(HOSTILE))
        query = KeyRequest(key=bytes(500_000), min_query_index=1, max_query_time=10**12)
        asked = [pool.call(server.entry.address, KVS_GET, query, timeout_ms=700_000) for _ in range(20)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        refused = [str(result) for result in results if isinstance(result, Exception)]
        assert len(refused) == 15
        assert set(refused) == {"rpc: pending requests of 10.0.0.66 hold more than 3000000 bytes"}
        assert server.server._pending.held == 0
        await pool.aclose()

    run_virtual(program())
